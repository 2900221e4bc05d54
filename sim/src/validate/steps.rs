//! Steps of the timeline: when, on what, and what is done.

use super::{Checker, STEPS_MAX};
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
            Action::Slow { path: p, by } => {
                self.path(&format!("{path}.slow.path"), p);
                self.within(&format!("{path}.slow.by"), *by);
            }
            Action::ClockRate { host, ppm } => {
                self.host(&format!("{path}.clock_rate.host"), host);
                self.rate(&format!("{path}.clock_rate.ppm"), (*ppm).into());
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
