//! Steps of the timeline: when, on what, and what is done.

use super::{Checker, STEPS_MAX};
use crate::clock::PPM_BOUNDS;
use crate::fault::{Action, Path};
use crate::names::{CLIENTS, FILES, FRAMES, STEPS};
use crate::scenario::{Step, Trigger};
use crate::time::Time;

/// Why `text` is no control statement, with line and column inside it.
fn sql_problem(text: &str) -> Option<String> {
    dbm_core::control::parse_detailed(text).err().map(|error| error.to_string())
}

impl Checker<'_> {
    pub(super) fn timeline(&mut self) {
        let steps = &self.scenario.timeline;
        if steps.len() > STEPS_MAX {
            self.bad("timeline", format!("{} steps are too many; expected up to {STEPS_MAX}", steps.len()));
            return;
        }
        let mut latest = Time(0);
        for (i, step) in steps.iter().enumerate() {
            let path = format!("timeline[{i}]");
            self.when(&path, i, step);
            if let Some(time) = step.at.or(step.between.map(|[from, _]| from)) {
                if time < latest {
                    self.bad(
                        &path,
                        format!("time goes back, to {time} after {latest}; expected steps in order"),
                    );
                }
                latest = latest.max(step.at.unwrap_or(latest));
            }
            self.action(&format!("{path}.do"), &step.action);
        }
    }

    fn when(&mut self, path: &str, index: usize, step: &Step) {
        let forms = usize::from(step.at.is_some())
            + usize::from(step.between.is_some())
            + usize::from(step.on.is_some());
        if forms != 1 {
            self.bad(path, format!("has {forms} of `at`, `between`, `on`; expected exactly one"));
        }
        if let Some(at) = step.at {
            self.within(&format!("{path}.at"), at);
        }
        if let Some([from, to]) = step.between {
            self.window(&format!("{path}.between"), from, to);
        }
        let Some(trigger) = &step.on else {
            for (field, present) in [
                ("nth", step.nth.is_some()),
                ("after_step", step.after_step.is_some()),
                ("delay", step.delay.is_some()),
                ("until", step.until.is_some()),
            ] {
                if present {
                    self.bad(format!("{path}.{field}"), "belongs to a step with `on`");
                }
            }
            return;
        };
        if step.nth == Some(0) {
            self.bad(format!("{path}.nth"), "is 0; expected the occurrence, counted from 1");
        }
        if let Some(after) = step.after_step {
            let steps = self.scenario.timeline.len();
            if after >= steps || after == index {
                let what = format!("{after} names no other step; expected 0 to {}", steps - 1);
                self.bad(format!("{path}.after_step"), what);
            }
        }
        if let Some(delay) = step.delay {
            self.within(&format!("{path}.delay"), delay);
        }
        if let Some(until) = step.until {
            self.within(&format!("{path}.until"), until);
        }
        self.trigger(&format!("{path}.on"), trigger);
    }

    fn trigger(&mut self, path: &str, trigger: &Trigger) {
        let (kind, instance) = match trigger {
            Trigger::Sent { frame, from, to } => return self.frame(&format!("{path}.sent"), frame, from, to),
            Trigger::Delivered { frame, from, to } => {
                return self.frame(&format!("{path}.delivered"), frame, from, to);
            }
            Trigger::DiskIssued { instance, file } => {
                self.known(&format!("{path}.disk_issued.file"), "file", file, FILES.iter().copied());
                ("disk_issued", instance)
            }
            Trigger::DiskDone { instance, file } => {
                self.known(&format!("{path}.disk_done.file"), "file", file, FILES.iter().copied());
                ("disk_done", instance)
            }
            Trigger::Reached { instance, step } => {
                self.known(&format!("{path}.reached.step"), "step", step, STEPS.iter().copied());
                ("reached", instance)
            }
            Trigger::Started { instance } => ("started", instance),
            Trigger::Role { instance, .. } => {
                return self.partner(&format!("{path}.role.instance"), instance);
            }
            Trigger::State { instance, .. } => {
                return self.partner(&format!("{path}.state.instance"), instance);
            }
            Trigger::Serving { instance } => {
                return self.partner(&format!("{path}.serving.instance"), instance);
            }
            Trigger::Event { instance, number } => {
                self.event(&format!("{path}.event.number"), *number);
                return self.partner(&format!("{path}.event.instance"), instance);
            }
        };
        self.instance(&format!("{path}.{kind}.instance"), instance);
    }

    fn frame(&mut self, path: &str, frame: &str, from: &str, to: &str) {
        self.known(&format!("{path}.frame"), "frame", frame, FRAMES.iter().copied());
        self.instance(&format!("{path}.from"), from);
        self.instance(&format!("{path}.to"), to);
        self.differ(path, from, to);
    }

    fn differ(&mut self, path: &str, from: &str, to: &str) {
        if from == to {
            self.bad(path, format!("`from` and `to` are both `{from}`; expected two ends"));
        }
    }

    fn path(&mut self, place: &str, path: &Path) {
        for (field, end) in [("from", &path.from), ("to", &path.to)] {
            if end != CLIENTS {
                self.instance(&format!("{place}.{field}"), end);
            }
        }
        self.differ(place, &path.from, &path.to);
    }

    fn between_instances(&mut self, place: &str, path: &Path) {
        for (field, end) in [("from", &path.from), ("to", &path.to)] {
            self.instance(&format!("{place}.{field}"), end);
        }
        self.differ(place, &path.from, &path.to);
    }

    fn at_least_one(&mut self, path: &str, value: u64, what: &str) {
        if value == 0 {
            self.bad(path, format!("is 0; expected {what}"));
        }
    }

    fn file_of(&mut self, path: &str, instance: &str, file: &str) {
        self.instance(&format!("{path}.instance"), instance);
        self.known(&format!("{path}.file"), "file", file, FILES.iter().copied());
    }

    fn action(&mut self, path: &str, action: &Action) {
        match action {
            Action::Crash(instance) => self.instance(&format!("{path}.crash"), instance),
            Action::Restart(instance) => self.instance(&format!("{path}.restart"), instance),
            Action::Pause(instance) => self.instance(&format!("{path}.pause"), instance),
            Action::Unpause(instance) => self.instance(&format!("{path}.unpause"), instance),
            Action::DiskStall(instance) => self.instance(&format!("{path}.disk_stall"), instance),
            Action::DiskHeal(instance) => self.instance(&format!("{path}.disk_heal"), instance),
            Action::DiskSlow { instance, by } => {
                self.instance(&format!("{path}.disk_slow.instance"), instance);
                self.within(&format!("{path}.disk_slow.by"), *by);
            }
            Action::HostDown(host) => self.host(&format!("{path}.host_down"), host),
            Action::HostUp(host) => self.host(&format!("{path}.host_up"), host),
            Action::Cut(p) => self.path(&format!("{path}.cut"), p),
            Action::Stall(p) => self.path(&format!("{path}.stall"), p),
            Action::Refuse(p) => self.path(&format!("{path}.refuse"), p),
            Action::Reset(p) => self.path(&format!("{path}.reset"), p),
            Action::Heal(p) => self.path(&format!("{path}.heal"), p),
            Action::Slow { path: p, by, jitter } => {
                self.path(&format!("{path}.slow.path"), p);
                self.within(&format!("{path}.slow.by"), *by);
                self.within(&format!("{path}.slow.jitter"), *jitter);
            }
            Action::Throttle { path: p, bytes_s } => {
                self.between_instances(&format!("{path}.throttle.path"), p);
                self.at_least_one(&format!("{path}.throttle.bytes_s"), *bytes_s, "bytes per second");
            }
            Action::Corrupt { path: p, one_in } => {
                self.between_instances(&format!("{path}.corrupt.path"), p);
                self.at_least_one(&format!("{path}.corrupt.one_in"), (*one_in).into(), "1 for every frame");
            }
            Action::SlowStart { path: p, by } => {
                self.path(&format!("{path}.slow_start.path"), p);
                self.within(&format!("{path}.slow_start.by"), *by);
            }
            Action::DiskError { instance, count } => {
                self.instance(&format!("{path}.disk_error.instance"), instance);
                self.at_least_one(
                    &format!("{path}.disk_error.count"),
                    (*count).into(),
                    "operations that fail",
                );
            }
            Action::DiskFail(instance) => self.instance(&format!("{path}.disk_fail"), instance),
            Action::DiskFull(instance) => self.instance(&format!("{path}.disk_full"), instance),
            Action::DiskLie(instance) => self.instance(&format!("{path}.disk_lie"), instance),
            Action::Misdirect { instance, file } => {
                self.file_of(&format!("{path}.misdirect"), instance, file);
            }
            Action::Rot { instance, file } => self.file_of(&format!("{path}.rot"), instance, file),
            Action::SlowCpu { instance, by } => {
                self.instance(&format!("{path}.slow_cpu.instance"), instance);
                self.within(&format!("{path}.slow_cpu.by"), *by);
                if by.is_zero() {
                    self.bad(format!("{path}.slow_cpu.by"), "is 0; expected a time, or `fast_cpu`");
                }
            }
            Action::FastCpu(instance) => self.instance(&format!("{path}.fast_cpu"), instance),
            Action::RestartLoop { instance, times, up, down } => {
                let path = format!("{path}.restart_loop");
                self.instance(&format!("{path}.instance"), instance);
                self.at_least_one(&format!("{path}.times"), (*times).into(), "how often the process dies");
                self.within(&format!("{path}.up"), *up);
                self.within(&format!("{path}.down"), *down);
                let (times, duration) = (u64::from(*times), self.scenario.duration);
                let whole = Time((up.0.saturating_add(down.0)).saturating_mul(times).saturating_sub(up.0));
                if whole > duration {
                    self.bad(&path, format!("takes {whole}; expected at most `duration`, {duration}"));
                }
            }
            Action::ClockRate { host, ppm } => {
                self.host(&format!("{path}.clock_rate.host"), host);
                // Beyond the guarantee of [OQ-8] as well: what still holds then is for the promise to say.
                self.range(&format!("{path}.clock_rate.ppm"), *ppm, PPM_BOUNDS.0, PPM_BOUNDS.1);
            }
            Action::ClockStep { host, ms } => {
                self.host(&format!("{path}.clock_step.host"), host);
                self.step_ms(&format!("{path}.clock_step.ms"), *ms);
            }
            Action::ClockFreeze { host, .. } => self.host(&format!("{path}.clock_freeze.host"), host),
            Action::HealAll => {}
            Action::Sql { on, text, error } => {
                self.instance(&format!("{path}.sql.on"), on);
                // A scenario may be about error 102 itself.
                if let Some(problem) = sql_problem(text).filter(|_| *error != Some(102)) {
                    self.bad(format!("{path}.sql.text"), problem);
                }
                if error.is_some_and(|e| e == 0 || e < -1) {
                    self.bad(format!("{path}.sql.error"), "expected an error number, or -1 for any end");
                }
            }
            Action::Inject { from, to, frame } => self.frame(&format!("{path}.inject"), frame, from, to),
        }
    }
}
