//! Foreground minutes of each app, per hour of the phone's local time (S52).
//!
//! Invariants: an hour is told once, at the first signal after it; minutes outside the present watch and
//! stretches whose end was missed count nothing; at most [`HOURS`] hours wait.

use std::collections::BTreeMap;

use mingjing_proto::pb::{self, Confidence, Direction, Interval, Kind, Source};

use super::Context;
use super::draft::Draft;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A stretch without any end in sight is not counted beyond this: the end was missed.
const LONGEST_MS: i64 = 4 * HOUR_MS;
/// Hours of apps that wait to be told.
const HOURS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Since when each app is in front, and when that stretch began.
    front: BTreeMap<String, i64>,
    /// By local hour and app: first and last moment, and milliseconds in front.
    hours: BTreeMap<(i64, String), Hour>,
}

#[derive(Debug)]
struct Hour {
    first_ms: i64,
    last_ms: i64,
    front_ms: i64,
}

impl Usage {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a state in and tells the hours that are over.
    pub(super) fn read(&mut self, context: &Context<'_>) -> Vec<Draft> {
        let at_ms = context.signal.at_ms;
        if let Some(pb::signal::Body::State(state)) = &context.signal.body {
            let app = if state.value.is_empty() {
                &context.signal.package
            } else {
                &state.value
            };
            match state.kind.as_str() {
                "foreground" => {
                    self.end(context, |front| front != app);
                    if context.packs.reads(app) {
                        self.front.entry(app.clone()).or_insert(at_ms);
                    }
                }
                "background" => self.end(context, |front| front == app),
                "shutdown" => self.end(context, |_| true),
                "boot" => self.front.clear(),
                _ => {}
            }
        }
        self.over(context)
    }

    fn end(&mut self, context: &Context<'_>, which: impl Fn(&str) -> bool) {
        let ended: Vec<(String, i64)> = self
            .front
            .iter()
            .filter(|(app, _)| which(app))
            .map(|(app, from_ms)| (app.clone(), *from_ms))
            .collect();
        self.front.retain(|app, _| !which(app));
        for (app, from_ms) in ended {
            self.count(context, &app, from_ms, context.signal.at_ms);
        }
    }

    /// Adds a stretch to its hours.
    fn count(&mut self, context: &Context<'_>, app: &str, from_ms: i64, to_ms: i64) {
        // A stretch from before the watch has an end nobody saw.
        if from_ms < context.watch.since_ms || to_ms.saturating_sub(from_ms) > LONGEST_MS {
            return;
        }
        let mut begin_ms = from_ms;
        while begin_ms < to_ms {
            let hour = local_hour(context.signal, begin_ms);
            let end_ms = hour_end_ms(context.signal, hour).min(to_ms);
            if end_ms <= begin_ms || self.hours.len() >= HOURS {
                return;
            }
            let entry = self.hours.entry((hour, app.to_owned())).or_insert(Hour {
                first_ms: begin_ms,
                last_ms: end_ms,
                front_ms: 0,
            });
            entry.last_ms = end_ms;
            entry.front_ms += end_ms - begin_ms;
            begin_ms = end_ms;
        }
    }

    /// The hours before the signal's.
    fn over(&mut self, context: &Context<'_>) -> Vec<Draft> {
        if self.front.is_empty() && self.hours.is_empty() {
            return Vec::new();
        }
        let now = local_hour(context.signal, context.signal.at_ms);
        let begin_ms = hour_end_ms(context.signal, now - 1);
        let running: Vec<(String, i64)> = self
            .front
            .iter()
            .filter(|(_, from_ms)| **from_ms < begin_ms)
            .map(|(app, from_ms)| (app.clone(), *from_ms))
            .collect();
        for (app, from_ms) in running {
            self.count(context, &app, from_ms, begin_ms);
            self.front.insert(app, begin_ms);
        }
        let later = self.hours.split_off(&(now, String::new()));
        let over = std::mem::replace(&mut self.hours, later);
        over.iter()
            .filter_map(|((_, app), hour)| tell(context, app, hour))
            .collect()
    }
}

fn tell(context: &Context<'_>, app: &str, hour: &Hour) -> Option<Draft> {
    let minutes = u32::try_from((hour.front_ms + MINUTE_MS / 2) / MINUTE_MS).ok()?;
    if minutes == 0 {
        return None;
    }
    let mut draft = context.draft(Kind::Usage, Direction::None, Source::State);
    draft.confidence(Confidence::Certain);
    draft.activity.at_ms = hour.first_ms;
    draft.activity.target = app.to_owned();
    draft.activity.count = minutes;
    draft.activity.interval = Some(Interval {
        from_ms: hour.first_ms,
        to_ms: hour.last_ms,
    });
    Some(draft)
}

fn local_hour(signal: &pb::Signal, at_ms: i64) -> i64 {
    let offset_ms = i64::from(signal.utc_offset_min).saturating_mul(MINUTE_MS);
    at_ms.saturating_add(offset_ms).div_euclid(HOUR_MS)
}

fn hour_end_ms(signal: &pb::Signal, hour: i64) -> i64 {
    let offset_ms = i64::from(signal.utc_offset_min).saturating_mul(MINUTE_MS);
    hour.saturating_add(1)
        .saturating_mul(HOUR_MS)
        .saturating_sub(offset_ms)
}
