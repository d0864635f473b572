//! One `record` call: signals in, sealed records on the disk out.
//!
//! Invariants:
//! - scope, hours, consent and pause are asked before a signal's text is looked at;
//! - activities are grouped by account, category and UTC day in the order they happened, cut into
//!   records of at most 25 events and about 4 kB, and are on the disk in one flush before the call
//!   returns, together with a replay's input line;
//! - a signal's times become event times before it is recognised, so that all that follows from it,
//!   also later, carries event times;
//! - when the disk fails, what was recognised is kept in memory (bounded) and written with the next
//!   call; the caller must not hand the same signals over again.

use mingjing_proto::limits;
use mingjing_proto::pb::{self, Category, TimeSource};
use prost::Message;

use super::Core;
use crate::buffer::{BufferError, NewRecord, Unanchored};
use crate::clock::Moment;
use crate::pack::WindowRole;
use crate::proof::{Effect, Place, Proven, Whose};
use crate::recognise::{Recogniser, Watch};
use crate::scope::{Drop, without_text};

/// Events kept in memory while the disk fails.
const UNWRITTEN: usize = 10_000;

/// What a `record` call did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Events now on the disk.
    pub events: u64,
    /// Signals and activities dropped by this call, for whatever reason.
    pub dropped: u64,
    /// Seq of the consent record this call wrote, if any.
    pub consent_seq: Option<u64>,
}

/// An activity on its way to the disk.
#[derive(Debug)]
pub(super) struct Found {
    account: String,
    activity: pb::Activity,
    unanchored: Option<Unanchored>,
}

impl Found {
    pub(super) fn category(&self) -> Category {
        self.activity.kind().category()
    }
}

impl Core {
    /// Looks at signals in order and keeps what they say.
    pub(crate) fn record_signals(&mut self, signals: pb::Signals) -> Result<Recorded, BufferError> {
        let before: u64 = self.drops.values().sum();
        if signals.lost > 0 {
            self.note_lost(signals.lost);
        }
        for signal in signals.signals.into_iter().take(limits::SIGNALS) {
            let mut found = Vec::new();
            if let Err(reason) = self.look(signal, &mut found) {
                self.dropped(reason, 1);
            }
            self.unwritten.append(&mut found);
        }
        let events = self.write(signals.input_line)?;
        let after: u64 = self.drops.values().sum();
        Ok(Recorded {
            events,
            dropped: after - before,
            consent_seq: None,
        })
    }

    /// Whether one signal may be looked at, and what it says.
    fn look(&mut self, mut signal: pb::Signal, found: &mut Vec<Found>) -> Result<(), Drop> {
        let (moment, live) = self.time.of_signal(&signal);
        self.last_signal_ms = moment.at_ms;
        let place: Place = (signal.package.clone(), signal.user);
        if let Some(pb::signal::Body::State(state)) = &signal.body {
            self.note_state(&signal.package, state);
        }
        let of_phone =
            signal.package.is_empty() && matches!(signal.body, Some(pb::signal::Body::State(_)));
        let now_ms = self.time.now().at_ms;
        if !of_phone {
            self.gate(now_ms).place(&place.0, place.1)?;
            if !signal.app_version.is_empty() {
                let version = limits_cut(&signal.app_version, 64).to_owned();
                self.app_versions.insert(place.0.clone(), version);
            }
        }
        let role = self.role(&signal);
        if matches!(role, Some(WindowRole::Login | WindowRole::SwitchAccount)) {
            return self.account_window(&signal, &place, moment, live, found);
        }
        if let Err(reason) = self.gate(now_ms).moment(moment.at_ms, live) {
            // What was on the screen before is history once capture may go on.
            if let Some(recogniser) = self.recognisers.get_mut(&place) {
                recogniser.forget();
            }
            return Err(reason);
        }
        let whose = self.whose(&signal, &place, moment);
        if matches!(role, Some(WindowRole::Excluded | WindowRole::Moments)) {
            signal = without_text(&signal);
        }
        let proven = match whose {
            Whose::Proven(proven) => proven,
            _ if of_phone => Proven {
                account: String::new(),
                own_name: String::new(),
                since_ms: moment.at_ms,
            },
            Whose::Ends(_) | Whose::Nobody => return Err(Drop::Unproven),
        };
        self.recognise(signal, &place, &proven, moment, live, found);
        Ok(())
    }

    /// Whose a signal is, by the proof; what ends there is forgotten.
    fn whose(&mut self, signal: &pb::Signal, place: &Place, moment: Moment) -> Whose {
        let accounts = self
            .policy
            .as_ref()
            .map_or(&[][..], |it| &it.policy.accounts);
        let packs = &self.packs;
        let (whose, effect) = self
            .watch
            .look(packs, place, signal, accounts, moment.at_ms);
        self.after(effect);
        whose
    }

    fn role(&self, signal: &pb::Signal) -> Option<WindowRole> {
        let Some(pb::signal::Body::Screen(screen)) = &signal.body else {
            return None;
        };
        Some(self.packs.window(&signal.package, &screen.window))
    }

    /// A login or switch window: seen at all hours, by class name alone. What it says of the account
    /// that was proven until now counts only where capture is allowed.
    fn account_window(
        &mut self,
        signal: &pb::Signal,
        place: &Place,
        moment: Moment,
        live: bool,
        found: &mut Vec<Found>,
    ) -> Result<(), Drop> {
        let accounts: &[pb::WorkAccount] = &[];
        let (whose, effect) = self
            .watch
            .look(&self.packs, place, signal, accounts, moment.at_ms);
        let now_ms = self.time.now().at_ms;
        let allowed = self.gate(now_ms).moment(moment.at_ms, live);
        if let (Whose::Ends(proven), Ok(())) = (whose, allowed) {
            let bare = without_text(signal);
            self.recognise(bare, place, &proven, moment, live, found);
        }
        self.after(effect);
        allowed
    }

    fn after(&mut self, effect: Effect) {
        if effect == Effect::Ended {
            tracing::info!("an account is not proven any more");
            self.forget_all();
        }
    }

    fn note_state(&mut self, package: &str, state: &pb::DeviceState) {
        if matches!(state.kind.as_str(), "listener" | "accessibility") {
            let on = !matches!(state.value.as_str(), "off" | "false" | "0" | "disconnected");
            self.permissions.insert(state.kind.clone(), on);
        }
        let effect = self.watch.state(package, state);
        self.after(effect);
    }

    fn recognise(
        &mut self,
        mut signal: pb::Signal,
        place: &Place,
        proven: &Proven,
        moment: Moment,
        live: bool,
        found: &mut Vec<Found>,
    ) {
        let delta_ms = signal.at_ms - moment.at_ms;
        shift(&mut signal, -delta_ms);
        let hours_since = self
            .policy
            .as_ref()
            .and_then(|it| it.hours.as_ref()?.since(moment.at_ms));
        let granted_since = self.consents.since_ms(Category::Messages).filter(|_| live);
        let paused_until = Some(self.pause.until_ms);
        let since_ms = [
            hours_since,
            granted_since,
            paused_until,
            Some(proven.since_ms),
        ]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(proven.since_ms);
        let marks = &self.private.marks;
        let private = |conversation: &str| {
            marks.iter().any(|mark| {
                mark.conversation == conversation
                    && (mark.account.is_empty() || mark.account == proven.account)
            })
        };
        let packs = &self.packs;
        let activities = self
            .recognisers
            .entry(place.clone())
            .or_insert_with(|| Recogniser::new(packs.clone()))
            .recognise(
                &signal,
                &Watch {
                    own_name: &proven.own_name,
                    since_ms,
                    private: &private,
                },
            );
        for mut activity in activities {
            activity.wall_delta_ms = delta_ms;
            activity.time_source = moment.source.into();
            if let Err(reason) = self.admit(activity, proven, moment, live, found) {
                self.dropped(reason, 1);
            }
        }
    }

    fn admit(
        &self,
        mut activity: pb::Activity,
        proven: &Proven,
        moment: Moment,
        live: bool,
        found: &mut Vec<Found>,
    ) -> Result<(), Drop> {
        let category = activity.kind().category();
        let now_ms = self.time.now().at_ms;
        self.gate(now_ms).category(category, activity.at_ms, live)?;
        let account = if category == Category::Device {
            String::new()
        } else {
            proven.account.clone()
        };
        if account.is_empty() && category != Category::Device {
            return Err(Drop::NoAccount);
        }
        cut(&mut activity);
        let unanchored = (live && moment.source == TimeSource::Wall).then(|| Unanchored {
            boot_id: moment.boot_id.to_vec(),
            offset_ms: now_ms - moment.elapsed_ms.cast_signed(),
        });
        found.push(Found {
            account,
            activity,
            unanchored,
        });
        Ok(())
    }

    /// The shell's queue overflowed: a coverage gap, as far as coverage may be kept at all.
    fn note_lost(&mut self, lost: u64) {
        let now = self.time.now();
        let allowed = self.gate(now.at_ms).moment(now.at_ms, true).and_then(|()| {
            self.gate(now.at_ms)
                .category(Category::Device, now.at_ms, true)
        });
        if allowed.is_err() {
            return;
        }
        self.unwritten.push(Found {
            account: String::new(),
            activity: pb::Activity {
                at_ms: now.at_ms,
                kind: pb::Kind::Coverage.into(),
                content: "gap".to_owned(),
                count: u32::try_from(lost).unwrap_or(u32::MAX),
                source: pb::Source::State.into(),
                confidence: pb::Confidence::Certain.into(),
                time_source: now.source.into(),
                wall_delta_ms: now.wall_ms - now.at_ms,
                ..Default::default()
            },
            unanchored: None,
        });
    }

    /// Puts what was found on the disk.
    fn write(&mut self, input_line: u64) -> Result<u64, BufferError> {
        if self.unwritten.len() > UNWRITTEN {
            let excess = self.unwritten.len() - UNWRITTEN;
            self.unwritten.drain(..excess);
            self.dropped(Drop::Disk, excess as u64);
        }
        // A withdrawal since the disk failed ends what was waiting, too.
        let granted = |found: &Found, core: &Self| core.keys.get(found.category()).is_some();
        let mut found = std::mem::take(&mut self.unwritten);
        found.retain(|it| granted(it, self));
        let records = records(&found);
        let now_ms = self.now_ms();
        match self.buffer.append(&self.keys, records, input_line, now_ms) {
            Ok(_) => Ok(found.len() as u64),
            Err(error) => {
                self.unwritten = found;
                Err(error)
            }
        }
    }
}

/// Groups by (account, category, UTC day) in order of appearance and cuts each group into records.
fn records(found: &[Found]) -> Vec<NewRecord> {
    type Group<'a> = (&'a str, Category, i32, Option<&'a Unanchored>);
    let mut groups: Vec<(Group<'_>, Vec<&pb::Activity>)> = Vec::new();
    for it in found {
        let group = (
            it.account.as_str(),
            it.activity.kind().category(),
            crate::utc_day(it.activity.at_ms),
            it.unanchored.as_ref(),
        );
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, activities)) => activities.push(&it.activity),
            None => groups.push((group, vec![&it.activity])),
        }
    }
    let mut records = Vec::new();
    for ((account, category, day, unanchored), activities) in groups {
        let record = |activities: Vec<pb::Activity>| NewRecord {
            category,
            count: u32::try_from(activities.len()).unwrap_or(u32::MAX),
            body: pb::Events {
                version: mingjing_proto::RECORD_VERSION,
                account: account.to_owned(),
                day,
                activities,
            }
            .encode_to_vec(),
            unanchored: unanchored.cloned(),
            consent_of: Vec::new(),
        };
        let mut bytes = 0;
        let mut cut: Vec<pb::Activity> = Vec::new();
        for activity in activities {
            let size = activity.encoded_len() + 4;
            let full = cut.len() == limits::RECORD_EVENTS
                || bytes + size + account.len() + 16 > limits::RECORD_BYTES;
            if full && !cut.is_empty() {
                records.push(record(std::mem::take(&mut cut)));
                bytes = 0;
            }
            bytes += size;
            cut.push(activity.clone());
        }
        records.push(record(cut));
    }
    records
}

/// Moves a signal's own times.
fn shift(signal: &mut pb::Signal, by_ms: i64) {
    signal.at_ms += by_ms;
    if let Some(pb::signal::Body::Notification(notification)) = &mut signal.body {
        for message in &mut notification.messages {
            message.at_ms += by_ms;
        }
    }
}

fn limits_cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Cuts an activity's fields to the wire's limits; cut text is marked.
fn cut(activity: &mut pb::Activity) {
    if activity.text.len() > limits::TEXT_BYTES {
        activity.full_bytes = u32::try_from(activity.text.len()).unwrap_or(u32::MAX);
        activity.truncated = true;
        let end = activity.text.floor_char_boundary(limits::TEXT_BYTES);
        activity.text.truncate(end);
    }
    let short = |text: &mut String| {
        let end = text.floor_char_boundary(limits::NAME_BYTES);
        text.truncate(end);
    };
    short(&mut activity.peer);
    short(&mut activity.sender);
    short(&mut activity.content);
    short(&mut activity.target);
    if let Some(conversation) = &mut activity.conversation {
        short(&mut conversation.title);
    }
    activity.members.truncate(limits::MEMBERS);
    activity.members.iter_mut().for_each(short);
    let room = limits::EVENT_BYTES.saturating_sub(limits::TEXT_BYTES + 6 * limits::NAME_BYTES);
    let mut bytes = 0;
    activity.members.retain(|member| {
        bytes += member.len() + 3;
        bytes <= room
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(account: &str, kind: pb::Kind, at_ms: i64, text: &str) -> Found {
        Found {
            account: account.into(),
            activity: pb::Activity {
                at_ms,
                kind: kind.into(),
                text: text.into(),
                ..Default::default()
            },
            unanchored: None,
        }
    }

    #[test]
    fn activities_are_grouped_in_order_and_cut_by_count_and_size() {
        const DAY: i64 = 86_400_000;
        let mut all: Vec<Found> = (0..30)
            .map(|it| found("a", pb::Kind::Message, it, "你好"))
            .collect();
        all.insert(3, found("a", pb::Kind::TransferSent, 3, ""));
        all.push(found("b", pb::Kind::Message, 5, ""));
        all.push(found("a", pb::Kind::Message, DAY, ""));
        all.push(found("a", pb::Kind::Message, 40, &"长".repeat(1500)));
        let shapes: Vec<_> = records(&all)
            .iter()
            .map(|it| {
                let events = pb::Events::decode(&*it.body).expect("events");
                (it.category, events.account, events.day, it.count)
            })
            .collect();
        let messages = Category::Messages;
        let expected = [
            (messages, "a".to_owned(), 0, 25),
            (messages, "a".to_owned(), 0, 5),
            (messages, "a".to_owned(), 0, 1),
            (Category::Money, "a".to_owned(), 0, 1),
            (messages, "b".to_owned(), 0, 1),
            (messages, "a".to_owned(), 1, 1),
        ];
        assert_eq!(shapes, expected);
    }

    #[test]
    fn long_text_is_cut_at_a_character_and_marked() {
        let mut activity = pb::Activity {
            text: "长".repeat(20_000),
            members: vec!["名".repeat(1000); 600],
            ..Default::default()
        };
        cut(&mut activity);
        assert!(activity.truncated);
        assert_eq!(activity.full_bytes, 60_000);
        assert!(activity.text.len() <= limits::TEXT_BYTES);
        assert!(activity.encoded_len() <= limits::EVENT_BYTES);
    }
}
