//! Foreground minutes of each app, per hour of the phone's local time (S52).
//!
//! Invariant: a stretch is told once, when it ends, split at full hours.

use std::collections::BTreeMap;

use mingjing_proto::pb::{self, Confidence, Direction, Interval, Kind, Source};

use super::Context;
use super::draft::Draft;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A stretch without any end in sight is cut here: the end was missed.
const LONGEST_MS: i64 = 4 * HOUR_MS;

#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Since when each app is in front.
    front: BTreeMap<String, i64>,
}

impl Usage {
    pub(super) fn clear(&mut self) {
        self.front.clear();
    }

    pub(super) fn read(&mut self, context: &Context<'_>, state: &pb::DeviceState) -> Vec<Draft> {
        let app = if state.value.is_empty() {
            &context.signal.package
        } else {
            &state.value
        };
        let at_ms = context.signal.at_ms;
        match state.kind.as_str() {
            "foreground" if context.packs.reads(app) => {
                let before = self.end_others(context, app);
                self.front.entry(app.clone()).or_insert(at_ms);
                before
            }
            // Another app in front ends the stretch as well.
            "foreground" | "shutdown" => self.end_others(context, ""),
            "boot" => {
                self.front.clear();
                Vec::new()
            }
            "background" => match self.front.remove(app) {
                Some(from_ms) => stretch(context, app, from_ms),
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn end_others(&mut self, context: &Context<'_>, but: &str) -> Vec<Draft> {
        let others: Vec<(String, i64)> = self
            .front
            .iter()
            .filter(|(app, _)| *app != but)
            .map(|(app, from_ms)| (app.clone(), *from_ms))
            .collect();
        self.front.retain(|app, _| app == but);
        others
            .iter()
            .flat_map(|(app, from_ms)| stretch(context, app, *from_ms))
            .collect()
    }
}

fn stretch(context: &Context<'_>, app: &str, from_ms: i64) -> Vec<Draft> {
    let to_ms = context.signal.at_ms;
    let from_ms = from_ms.max(context.watch.since_ms);
    let offset_ms = i64::from(context.signal.utc_offset_min) * MINUTE_MS;
    if to_ms <= from_ms || to_ms - from_ms > LONGEST_MS {
        return Vec::new();
    }
    let mut drafts = Vec::new();
    let mut begin_ms = from_ms;
    let mut told = 0;
    while begin_ms < to_ms {
        let hour_end_ms = ((begin_ms + offset_ms).div_euclid(HOUR_MS) + 1) * HOUR_MS - offset_ms;
        let end_ms = hour_end_ms.min(to_ms);
        // Rounding the running sum keeps the minutes of all hours together right.
        let sum = (end_ms - from_ms + MINUTE_MS / 2) / MINUTE_MS;
        let minutes = u32::try_from(sum - told).unwrap_or(0);
        told = sum;
        if minutes > 0 {
            let mut draft = context.draft(Kind::Usage, Direction::None, Source::State);
            draft.confidence(Confidence::Certain);
            draft.activity.at_ms = begin_ms;
            draft.activity.target = app.to_owned();
            draft.activity.count = minutes;
            draft.activity.interval = Some(Interval {
                from_ms: begin_ms,
                to_ms: end_ms,
            });
            drafts.push(draft);
        }
        begin_ms = end_ms;
    }
    drafts
}
