//! One server instance: its links, its sessions, its witness seats. Inputs come in here and are routed; nothing of
//! the protocol is decided here.

use crate::config::{Config, Part};
use crate::control;
use crate::io::{
    Area, ClientEvent, ConnId, DiskOp, DiskResult, Effect, Effects, FileId, FileKind, Input, Notice, Ticket,
};
use crate::message::Message;
use crate::record::{self, Keeper, Record, Version};
use crate::session::channel::Cx;
use crate::session::partner::{Partner, refuse};
use crate::storage::{Copy, CopyImage, Device, RecoveryError};
use crate::transport::{Transport, TransportEvent};
use crate::types::{InstanceId, Instant, RoleSequence, Safety, SessionId};
use crate::view::Status;
use crate::wire::Header;
use crate::witness::Seat;
use std::collections::BTreeMap;

/// One session on this instance.
#[derive(Clone, Debug, Hash)]
enum Place {
    /// Its files are being read.
    Loading {
        /// The database's name.
        database: String,
        /// Partner or witness.
        part: Part,
        /// The session record, once it is read.
        record: Option<Box<(u64, Record)>>,
        /// The files of the copy, as far as they are read.
        image: Box<[Option<Vec<u8>>; 4]>,
        /// What peers have said already on the links that stand.
        early: Vec<(InstanceId, Header, Message)>,
    },
    /// A partner.
    Partner(Box<Partner>),
    /// A witness seat.
    Seat(Box<Seat>),
    /// A witness seat that was given up; its record file is at this version.
    Left(Version),
    /// Its files cannot be used, or have failed: nothing happens any more before the process starts again. [FL-18, FL-31]
    Broken,
}

/// One server instance.
#[derive(Clone, Debug)]
pub struct Instance {
    config: Config,
    transport: Transport,
    places: BTreeMap<SessionId, Place>,
    /// Sessions of client connections.
    conns: BTreeMap<ConnId, SessionId>,
    now: Instant,
    events: Vec<TransportEvent>,
}

/// The files of a copy, in the order of the image array.
const COPY_FILES: [FileKind; 4] = [FileKind::Boot, FileKind::Log, FileKind::Data, FileKind::DoubleWrite];

impl Instance {
    /// An instance before its [`Input::Start`].
    pub fn new(config: Config) -> Self {
        Instance {
            transport: Transport::new(&config),
            config,
            places: BTreeMap::new(),
            conns: BTreeMap::new(),
            now: Instant(0),
            events: Vec::new(),
        }
    }

    /// The only mutation. `now` never goes back.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Effects) {
        assert!(now >= self.now, "the monotonic clock went back");
        self.now = now;
        match input {
            Input::Start => self.start(out),
            // Time is looked at after every input.
            Input::Timeout => self.advance_all(out),
            Input::LinkUp { link, to } => self.transport.link_up(now, link, to, out),
            Input::LinkDown { link, cause } => {
                let event = self.transport.link_down(now, link, cause);
                self.events.extend(event);
            }
            Input::Frame { link, bytes } => {
                let mut events = std::mem::take(&mut self.events);
                self.transport.frame(now, link, &bytes, &mut events, out);
                self.events = events;
            }
            Input::Disk { ticket, result } => self.disk(ticket, result, out),
            Input::Client { conn, event } => self.client(conn, event, out),
            Input::Statement { request, sql } => self.statement(request, &sql, out),
        }
        self.dispatch(out);
        self.transport.tick(now, out);
    }

    /// When to be called with [`Input::Timeout`] at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        let sessions = self.places.values().filter_map(|place| match place {
            Place::Partner(p) => p.next_timeout(self.now, &self.config.tuning),
            Place::Seat(s) => Some(s.next_timeout(self.now, &self.config.tuning)),
            Place::Loading { .. } | Place::Left(_) | Place::Broken => None,
        });
        sessions.chain(self.transport.next_timeout()).min()
    }

    fn start(&mut self, out: &mut Effects) {
        for (session, part, database) in self.config.sessions.clone() {
            let file = FileId { session, kind: FileKind::Record };
            let ticket = Ticket::new(session, Area::Start, FileKind::Record as u64);
            out.push(Effect::Disk { ticket, op: DiskOp::ReadAll { file } });
            let image = Box::new([None, None, None, None]);
            let early = Vec::new();
            self.places.insert(session, Place::Loading { database, part, record: None, image, early });
        }
    }

    fn disk(&mut self, ticket: Ticket, result: DiskResult, out: &mut Effects) {
        let session = ticket.session();
        let Some(place) = self.places.get_mut(&session) else { return };
        let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
        match (ticket.area(), place) {
            // A version that did not reach the disk must never look durable. [P-1]
            (Area::Record, Place::Partner(_) | Place::Seat(_)) if result == DiskResult::Failed => {
                self.database_failed(session, 1459, out);
            }
            (Area::Record, Place::Partner(p)) => p.written(cx),
            (Area::Record, Place::Seat(s)) => s.written(cx),
            (Area::Copy, Place::Partner(p)) => match p.disk(cx, ticket.serial(), result) {
                Ok(()) => {}
                Err(Device::Log) => self.database_failed(session, 9001, out),
                Err(Device::Data) => self.database_failed(session, 823, out),
            },
            (Area::Start, Place::Loading { .. }) => self.loaded(session, ticket.serial(), result, out),
            (Area::Record | Area::Copy | Area::Start, _) => {}
        }
    }

    /// A file of the session has failed: the database ends here until the process starts again. [FL-18, OQ-35]
    fn database_failed(&mut self, session: SessionId, number: u32, out: &mut Effects) {
        let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
        match self.places.get_mut(&session) {
            Some(Place::Partner(p)) => p.database_failed(cx, number),
            Some(Place::Seat(s)) => s.database_failed(cx),
            Some(Place::Loading { .. } | Place::Left(_) | Place::Broken) | None => {}
        }
        self.broken(session, number, out);
    }

    /// One file of a session has been read. The record decides what else is needed.
    fn loaded(&mut self, session: SessionId, serial: u64, result: DiskResult, out: &mut Effects) {
        let now = self.now;
        let Some(Place::Loading { database, part, record, image, .. }) = self.places.get_mut(&session) else {
            return;
        };
        let DiskResult::Read(bytes) = result else {
            let data = [FileKind::Data as u64, FileKind::DoubleWrite as u64].contains(&serial);
            let record = serial == FileKind::Record as u64;
            self.broken(
                session,
                if record {
                    1459
                } else if data {
                    823
                } else {
                    9001
                },
                out,
            );
            return;
        };
        if serial == FileKind::Record as u64 {
            match record::newest(&bytes) {
                // It died while SET WITNESS made its seat: nothing was promised yet. [P-1]
                None if *part == Part::Witness && record::unmade(&bytes) => {
                    self.opened(session, Place::Left(Version(0)), out);
                }
                None => self.broken(session, 1459, out),
                Some((version, found)) if *part == Part::Witness && Seat::is_over(&found, self.config.id) => {
                    self.places.insert(session, Place::Left(Version(version)));
                }
                Some((version, found)) if *part == Part::Witness => {
                    let keeper = Keeper::open(session, version, found);
                    let cx = &mut Cx { now, config: &self.config, transport: &mut self.transport, out };
                    let seat = Seat::open(cx, session, keeper);
                    self.opened(session, Place::Seat(Box::new(seat)), out);
                }
                Some(found) => {
                    *record = Some(Box::new(found));
                    for kind in COPY_FILES {
                        let file = FileId { session, kind };
                        let ticket = Ticket::new(session, Area::Start, kind as u64);
                        out.push(Effect::Disk { ticket, op: DiskOp::ReadAll { file } });
                    }
                }
            }
            return;
        }
        let Some(slot) = COPY_FILES.iter().position(|kind| *kind as u64 == serial) else { return };
        image[slot] = Some(bytes);
        if image.iter().any(Option::is_none) {
            return;
        }
        let [boot, log, data, double_write] = std::mem::take(&mut **image).map(Option::unwrap_or_default);
        let image = CopyImage { boot, log, data, double_write };
        let (version, found) = *record.take().expect("the record is read first");
        let database = std::mem::take(database);
        let refetch = found.undo.iter().flat_map(|u| u.pages.iter().copied()).collect();
        let Some(branches) = found.branches.clone() else {
            self.broken(session, 1459, out);
            return;
        };
        let recovered =
            Copy::recover(session, image, self.config.tuning.geometry, branches, &refetch, self.config.bug);
        match recovered {
            Ok((copy, _report)) => {
                let keeper = Keeper::open(session, version, found);
                let cx = &mut Cx { now, config: &self.config, transport: &mut self.transport, out };
                let partner = Partner::open(cx, session, database, keeper, copy);
                self.opened(session, Place::Partner(Box::new(partner)), out);
            }
            Err(RecoveryError::PageCorrupt(_)) => self.broken(session, 824, out),
            Err(_) => self.broken(session, 9004, out),
        }
    }

    /// The session takes part from now on: on the links that stand already it says its record, and hears what was said
    /// while its files were read.
    fn opened(&mut self, session: SessionId, place: Place, out: &mut Effects) {
        let before = self.places.insert(session, place);
        let early = match before {
            Some(Place::Loading { early, .. }) => early,
            Some(Place::Partner(_) | Place::Seat(_) | Place::Left(_) | Place::Broken) | None => Vec::new(),
        };
        let peers = (0..self.config.addresses.len()).map(|i| InstanceId(i as u8));
        for peer in peers {
            let Some(channel) = self.transport.channel(peer) else { continue };
            let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
            match self.places.get_mut(&session) {
                Some(Place::Partner(p)) => p.link_up(cx, peer, channel),
                Some(Place::Seat(s)) => s.link_up(cx, peer, channel),
                Some(Place::Loading { .. } | Place::Left(_) | Place::Broken) | None => {}
            }
        }
        for (peer, header, message) in early {
            self.events.push(TransportEvent::Message { peer, header, message });
        }
    }

    /// What is on the disk cannot be used: said, never skipped. [P-11, FL-31]
    fn broken(&mut self, session: SessionId, number: u32, out: &mut Effects) {
        out.push(Effect::Notice(Notice::Message { session, number }));
        if let Some(Place::Loading { early, part, .. }) = self.places.insert(session, Place::Broken) {
            if part == Part::Partner {
                let status = Status::offline(RoleSequence(0), Safety::Full);
                out.push(Effect::Notice(Notice::Status { session, status }));
            }
            early.into_iter().for_each(|(peer, _, message)| self.say_broken(peer, session, &message, out));
        }
    }

    /// Whoever speaks of the session hears that its database has failed here. [OQ-35]
    fn say_broken(&mut self, peer: InstanceId, session: SessionId, heard: &Message, out: &mut Effects) {
        if !matches!(heard, Message::DatabaseFailed | Message::NoSession | Message::SessionEnd { .. }) {
            self.transport.send(peer, session, RoleSequence(0), &Message::DatabaseFailed, out);
        }
    }

    /// Routes what the transport has to say.
    fn dispatch(&mut self, out: &mut Effects) {
        if self.events.is_empty() {
            return;
        }
        let mut events = std::mem::take(&mut self.events);
        // A partner goes on after each message by itself; once more is needed only after it has done something.
        let quiet = out.len();
        let mut advanced = true;
        for event in events.drain(..) {
            advanced &= matches!(event, TransportEvent::Message { .. });
            let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
            match event {
                TransportEvent::Up { peer, channel } => {
                    for place in self.places.values_mut() {
                        match place {
                            Place::Partner(p) => p.link_up(cx, peer, channel),
                            Place::Seat(s) => s.link_up(cx, peer, channel),
                            Place::Loading { .. } | Place::Left(_) | Place::Broken => {}
                        }
                    }
                }
                TransportEvent::Down { peer, loss } => {
                    for place in self.places.values_mut() {
                        match place {
                            Place::Partner(p) => p.link_down(cx, peer, loss),
                            Place::Seat(s) => s.link_down(peer, loss),
                            Place::Loading { early, .. } => early.retain(|(from, ..)| *from != peer),
                            Place::Left(_) | Place::Broken => {}
                        }
                    }
                }
                TransportEvent::Refused { peer } => {
                    for place in self.places.values_mut() {
                        match place {
                            Place::Partner(p) => p.refused(peer),
                            Place::Seat(s) => s.refused(peer),
                            Place::Loading { .. } | Place::Left(_) | Place::Broken => {}
                        }
                    }
                }
                TransportEvent::Message { peer, header, message } => {
                    match self.places.get_mut(&header.session) {
                        Some(Place::Partner(p)) => p.message(cx, peer, header, message),
                        Some(Place::Seat(s)) => {
                            s.message(cx, peer, header, message);
                            advanced = false;
                        }
                        Some(Place::Loading { early, .. }) => early.push((peer, header, message)),
                        Some(Place::Broken) => {
                            self.say_broken(peer, header.session, &message, out);
                            advanced = false;
                        }
                        Some(Place::Left(_)) | None => {
                            self.stranger(peer, header.session, message, out);
                            advanced = false;
                        }
                    }
                }
            }
        }
        self.events = events;
        if !advanced || out.len() != quiet {
            self.advance_all(out);
        }
    }

    /// A message for a session that is not here: only SET WITNESS may create one. [OQ-1, OQ-16]
    fn stranger(&mut self, peer: InstanceId, session: SessionId, message: Message, out: &mut Effects) {
        let me = self.config.id;
        let last = match self.places.get(&session) {
            Some(Place::Left(version)) => *version,
            _ => Version(0),
        };
        let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
        match message {
            Message::WitnessSet { record } | Message::Record { record, .. }
                if (matches!(message, Message::WitnessSet { .. }) && record.owner == peer
                    || cx.bug(crate::bugs::Bug::WitnessFromHello))
                    && record.witness.value.named() == Some(me) =>
            {
                let mut keeper = Keeper::create(session, Seat::record_for(&record), last);
                keeper.write(cx.out);
                let mut seat = Seat::open(cx, session, keeper);
                seat.created(cx, peer, &record);
                self.places.insert(session, Place::Seat(Box::new(seat)));
            }
            Message::NoSession | Message::SessionEnd { .. } | Message::DatabaseFailed => {}
            _ => {
                cx.transport.send(peer, session, RoleSequence(0), &Message::NoSession, cx.out);
            }
        }
    }

    fn advance_all(&mut self, out: &mut Effects) {
        let me = self.config.id;
        let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
        for place in self.places.values_mut() {
            match place {
                Place::Partner(p) => p.advance(cx),
                Place::Seat(s) => s.tick(cx),
                Place::Loading { .. } | Place::Left(_) | Place::Broken => {}
            }
        }
        for place in self.places.values_mut() {
            if let Place::Seat(seat) = place
                && seat.ended(me)
            {
                *place = Place::Left(seat.version());
            }
        }
    }

    fn client(&mut self, conn: ConnId, event: ClientEvent, out: &mut Effects) {
        let session = match event {
            ClientEvent::Open { database } => {
                self.conns.insert(conn, database);
                Some(database)
            }
            ClientEvent::Closed => self.conns.remove(&conn),
            ClientEvent::Request(_) => self.conns.get(&conn).copied(),
        };
        let place = session.and_then(|s| self.places.get_mut(&s));
        let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
        match place {
            Some(Place::Partner(p)) => p.client(cx, conn, event),
            Some(Place::Loading { .. }) => refuse(cx, conn, &event, 922),
            Some(Place::Broken) => refuse(cx, conn, &event, 945),
            Some(Place::Seat(_) | Place::Left(_)) | None => refuse(cx, conn, &event, 4060),
        }
    }

    fn statement(&mut self, request: u64, sql: &str, out: &mut Effects) {
        let parsed = control::parse(sql);
        let cx = &mut Cx { now: self.now, config: &self.config, transport: &mut self.transport, out };
        let error = match parsed {
            Err(error) => error,
            Ok(statement) => {
                let name = statement.database();
                let known = self.config.sessions.iter().find(|(_, _, n)| n.eq_ignore_ascii_case(name));
                let place = known.and_then(|(session, ..)| self.places.get_mut(session));
                match place {
                    Some(Place::Partner(p)) => return p.statement(cx, request, &statement),
                    // No settings can be made on the witness. [C-48]
                    Some(Place::Seat(_) | Place::Left(_)) => control::sql_error(1416),
                    Some(Place::Loading { .. }) => control::sql_error(922),
                    Some(Place::Broken) => control::sql_error(1459),
                    None => control::sql_error(5011),
                }
            }
        };
        cx.out.push(Effect::StatementDone { request, result: Err(error) });
    }

    /// A number that differs, almost surely, when the state differs in anything that matters; cheap. For the digest.
    pub fn fingerprint(&self) -> u64 {
        let mut mix = 0u64;
        for place in self.places.values() {
            let one = match place {
                Place::Partner(p) => p.fingerprint(),
                Place::Seat(s) => s.fingerprint(),
                Place::Loading { .. } => 1,
                Place::Broken => 2,
                Place::Left(_) => 3,
            };
            mix = (mix ^ one).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
        mix
    }

    /// Asserts every invariant of the state; for use now and then.
    pub fn check(&self) {
        for place in self.places.values() {
            match place {
                Place::Partner(p) => p.check(),
                Place::Seat(s) => s.check(),
                Place::Loading { .. } | Place::Left(_) | Place::Broken => {}
            }
        }
    }
}

/// All that decides what the instance will do. Its configuration does not change. [`crate::canon`]
impl std::hash::Hash for Instance {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.transport.hash(state);
        self.places.hash(state);
        self.conns.hash(state);
    }
}
