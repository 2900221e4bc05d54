//! One server instance. (Skeleton: the echo session, pings only.)

use crate::config::Config;
use crate::io::{Effect, Effects, Input, LinkId};
use crate::types::{Instant, Micros};

/// One server instance: its sessions, witness seats and links.
#[derive(Clone, Debug)]
pub struct Instance {
    config: Config,
    links: Vec<LinkId>,
    next_ping: Option<Instant>,
    dialled: u64,
    heard: u64,
}

impl Instance {
    /// An instance before its [`Input::Start`].
    pub fn new(config: Config) -> Self {
        Instance { config, links: Vec::new(), next_ping: None, dialled: 0, heard: 0 }
    }

    /// The only mutation. `now` never goes back.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        match input {
            Input::Start => {
                self.next_ping = Some(now + self.config.tuning.ping_interval);
                for i in 0..self.config.addresses.len() as u8 {
                    if i > self.config.id.0 {
                        self.dialled += 2;
                        out.push(Effect::Connect {
                            link: LinkId(self.dialled),
                            to: crate::types::InstanceId(i),
                        });
                    }
                }
            }
            Input::Timeout => {}
            Input::LinkUp { link, .. } => self.links.push(link),
            Input::LinkDown { link, .. } => self.links.retain(|l| *l != link),
            Input::Frame { bytes, .. } => self.heard = self.heard.rotate_left(5) ^ bytes.len() as u64,
            Input::Disk { .. } | Input::Client { .. } | Input::Statement { .. } => {}
        }
        if self.next_ping.is_some_and(|at| at <= now) {
            self.next_ping = Some(now + Micros::from_secs(1));
            for &link in &self.links {
                out.push(Effect::Send { link, bytes: vec![0u8; 64].into() });
            }
        }
    }

    /// When to be called with [`Input::Timeout`] at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.next_ping
    }

    /// A number that differs, almost surely, when the state differs in anything that matters; cheap. For the digest.
    pub fn fingerprint(&self) -> u64 {
        self.heard
    }

    /// Asserts every invariant of the state; for use now and then.
    pub fn check(&self) {}
}
