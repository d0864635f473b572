//! What a session says and when, without any IO: messages and the time in, decisions out.
//!
//! Invariants (wire.md §4):
//! - batches go out in order from the first unacknowledged record; a hole or a hold moves the place to
//!   send from, and whatever was in flight counts as not sent;
//! - only an acknowledgement of the present epoch deletes anything;
//! - while a record is held nothing is sent, until `Resume`, a reconnect, or the wait is over.

use std::collections::VecDeque;

use mingjing_proto::chain::Link;
use mingjing_proto::limits;
use mingjing_proto::pb::{self, to_device::Body};
use mingjing_proto::vocabulary::Named;

use crate::buffer::Position;

/// How often the collector may ask for the same seq again before the session begins anew.
const SAME_RESENDS: u32 = 5;

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// The server's time.
    Anchor(i64),
    /// The phone was confirmed, the session stands.
    Welcomed,
    /// If the link at `through` is this one, everything up to it is acknowledged.
    AckIfEqual { through: u64, link: Link },
    /// Everything up to here is acknowledged.
    Ack { epoch: u64, through: u64 },
    /// Events the collector refused for good, by reason.
    Refused(Vec<(&'static str, u64)>),
    /// A record is held; or not any more.
    Held(Option<(u64, &'static str)>),
    /// Move what is left to a new epoch.
    Relink {
        epoch: u64,
        after_seq: u64,
        previous: Link,
    },
    /// Something signed or written for the employee.
    Take(pb::ToDevice),
    /// End the session: a newer one of this device took over.
    Superseded,
    /// End the session: the collector broke the protocol.
    Broken(&'static str),
}

/// What to read from the buffer next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) from_seq: u64,
    pub(crate) max_events: usize,
    pub(crate) max_bytes: usize,
}

/// One session's state.
#[derive(Debug)]
pub(crate) struct Machine {
    welcomed: bool,
    epoch: u64,
    next_seq: u64,
    first_seq: u64,
    in_flight: VecDeque<u64>,
    max_in_flight: usize,
    batch_events: usize,
    batch_bytes: usize,
    held_until_ms: Option<u64>,
    held_wait_ms: u64,
    resend: (u64, u32),
}

fn link(bytes: &[u8]) -> Option<Link> {
    bytes.try_into().ok()
}

fn at_most(limit: Option<u32>, ours: usize) -> usize {
    let limit = limit
        .and_then(|it| usize::try_from(it).ok())
        .unwrap_or(ours);
    ours.min(limit).max(1)
}

impl Machine {
    /// A session that has said hello from `position`.
    pub(crate) fn new(position: &Position, batch_events: usize, held_wait_ms: u64) -> Self {
        Self {
            welcomed: false,
            epoch: position.epoch,
            next_seq: position.first_seq,
            first_seq: position.first_seq,
            in_flight: VecDeque::new(),
            max_in_flight: 1,
            batch_events,
            batch_bytes: limits::BATCH_BYTES,
            held_until_ms: None,
            held_wait_ms,
            resend: (0, 0),
        }
    }

    /// The collector said something at `now_ms` of elapsed time.
    pub(crate) fn heard(&mut self, message: pb::ToDevice, now_ms: u64) -> Vec<Effect> {
        match message.body {
            Some(Body::Welcome(welcome)) => self.welcome(welcome),
            _ if !self.welcomed => vec![Effect::Broken("it did not begin with a welcome")],
            Some(Body::Ack(ack)) => self.ack(ack, now_ms),
            Some(Body::Resume(_)) => self.resume(),
            Some(Body::NewEpoch(new)) => vec![self.new_epoch(&new)],
            Some(Body::Superseded(_)) => vec![Effect::Superseded],
            Some(
                Body::Signed(_)
                | Body::FindingNotice(_)
                | Body::ReadReceipt(_)
                | Body::Coaching(_)
                | Body::Directive(_)
                | Body::LetterReceived(_),
            ) => vec![Effect::Take(message)],
            // A newer collector may say what this agent does not know.
            None => Vec::new(),
        }
    }

    fn welcome(&mut self, welcome: pb::Welcome) -> Vec<Effect> {
        if self.welcomed {
            return vec![Effect::Broken("it welcomed twice")];
        }
        self.welcomed = true;
        let limits = welcome.limits;
        self.max_in_flight = at_most(limits.map(|it| it.max_in_flight), limits::IN_FLIGHT);
        self.batch_events = at_most(limits.map(|it| it.max_batch_events), self.batch_events);
        self.batch_bytes = at_most(limits.map(|it| it.max_batch_bytes), self.batch_bytes);
        let mut effects = vec![Effect::Anchor(welcome.server_time_ms), Effect::Welcomed];
        effects.extend(welcome.audit_checkpoints.into_iter().map(|signed| {
            Effect::Take(pb::ToDevice {
                body: Some(Body::Signed(signed)),
            })
        }));
        if let Some(new) = welcome.new_epoch {
            effects.push(self.new_epoch(&new));
        } else if welcome.epoch != self.epoch {
            effects.push(Effect::Broken("it is in another epoch and names none"));
        } else if let Some(link) = link(&welcome.through_link)
            && welcome.through >= self.next_seq
        {
            let through = welcome.through;
            effects.push(Effect::AckIfEqual { through, link });
        }
        effects
    }

    fn new_epoch(&mut self, new: &pb::NewEpoch) -> Effect {
        let Some(previous) = link(&new.previous_link) else {
            return Effect::Broken("a new epoch without a link");
        };
        if new.epoch <= self.epoch {
            return Effect::Broken("a new epoch that is not newer");
        }
        self.epoch = new.epoch;
        self.first_seq = 1;
        self.next_seq = 1;
        self.in_flight.clear();
        self.held_until_ms = None;
        self.resend = (0, 0);
        Effect::Relink {
            epoch: new.epoch,
            after_seq: new.after_seq,
            previous,
        }
    }

    fn ack(&mut self, ack: pb::Ack, now_ms: u64) -> Vec<Effect> {
        if ack.epoch != self.epoch {
            return Vec::new();
        }
        let mut effects = vec![Effect::Ack {
            epoch: ack.epoch,
            through: ack.through,
        }];
        self.acked(ack.through);
        let mut refused: Vec<(&'static str, u64)> = Vec::new();
        for event in ack.refused.iter().flat_map(|it| &it.events) {
            let reason = event.reason().name();
            match refused.iter_mut().find(|(name, _)| *name == reason) {
                Some((_, count)) => *count += 1,
                None => refused.push((reason, 1)),
            }
        }
        if !refused.is_empty() {
            effects.push(Effect::Refused(refused));
        }
        if let Some(held) = ack.held {
            self.held_until_ms = Some(now_ms + self.held_wait_ms);
            self.send_from(held.seq);
            effects.push(Effect::Held(Some((held.seq, held.reason().name()))));
        } else if ack.resend_from != 0 {
            self.resend = match self.resend {
                (seq, count) if seq == ack.resend_from => (seq, count + 1),
                _ => (ack.resend_from, 1),
            };
            if self.resend.1 > SAME_RESENDS {
                effects.push(Effect::Broken("it asks for the same again and again"));
            }
            self.send_from(ack.resend_from);
        }
        effects
    }

    /// Everything up to `through` is done with.
    pub(crate) fn acked(&mut self, through: u64) {
        if through >= self.first_seq {
            self.first_seq = through + 1;
            self.resend = (0, 0);
        }
        self.next_seq = self.next_seq.max(self.first_seq);
        while self.in_flight.front().is_some_and(|last| *last <= through) {
            self.in_flight.pop_front();
        }
    }

    fn send_from(&mut self, seq: u64) {
        self.next_seq = seq.max(self.first_seq);
        self.in_flight.clear();
    }

    /// IT repaired what a record was held for, or somebody wants to try.
    pub(crate) fn resume(&mut self) -> Vec<Effect> {
        match self.held_until_ms.take() {
            Some(_) => vec![Effect::Held(None)],
            None => Vec::new(),
        }
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now_ms: u64) -> Vec<Effect> {
        if self.held_until_ms.is_some_and(|until| until <= now_ms) {
            return self.resume();
        }
        Vec::new()
    }

    /// When [`Machine::tick`] has something to do.
    pub(crate) fn wakes_at_ms(&self) -> Option<u64> {
        self.held_until_ms
    }

    /// What to send next, if anything may be sent.
    pub(crate) fn wants(&self) -> Option<Want> {
        let may = self.welcomed
            && self.held_until_ms.is_none()
            && self.in_flight.len() < self.max_in_flight;
        may.then_some(Want {
            from_seq: self.next_seq,
            max_events: self.batch_events,
            max_bytes: self.batch_bytes,
        })
    }

    /// A batch that ends at `last_seq` went out.
    pub(crate) fn sent(&mut self, last_seq: u64) {
        self.in_flight.push_back(last_seq);
        self.next_seq = last_seq + 1;
    }

    /// Whether the session stands.
    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Whether the record at (`epoch`, `seq`) has gone out or is known to the collector.
    pub(crate) fn has_sent(&self, epoch: u64, seq: u64) -> bool {
        self.welcomed && (epoch < self.epoch || epoch == self.epoch && seq < self.next_seq)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn position(first_seq: u64) -> Position {
        Position {
            epoch: 1,
            first_seq,
            link_before: [0; 32],
            head_seq: 100,
            head_link: [1; 32],
        }
    }

    fn down(body: Body) -> pb::ToDevice {
        pb::ToDevice { body: Some(body) }
    }

    fn welcome(through: u64, new_epoch: Option<pb::NewEpoch>) -> pb::ToDevice {
        down(Body::Welcome(pb::Welcome {
            server_time_ms: 5,
            epoch: new_epoch.as_ref().map_or(1, |it| it.epoch),
            through,
            through_link: vec![7; 32],
            limits: Some(pb::Limits {
                max_batch_bytes: 1000,
                max_in_flight: 2,
                max_batch_events: 50,
            }),
            audit_checkpoints: Vec::new(),
            new_epoch,
        }))
    }

    fn ack(through: u64, resend_from: u64, held: Option<u64>) -> pb::ToDevice {
        down(Body::Ack(pb::Ack {
            epoch: 1,
            through,
            resend_from,
            held: held.map(|seq| pb::Held {
                seq,
                reason: pb::HoldReason::ScheduleMissing.into(),
            }),
            refused: Vec::new(),
        }))
    }

    fn from(machine: &Machine) -> Option<u64> {
        machine.wants().map(|want| want.from_seq)
    }

    fn streaming(first_seq: u64) -> Machine {
        let mut machine = Machine::new(&position(first_seq), 100, 1_000);
        assert_eq!(machine.wants(), None, "nothing before the welcome");
        machine.heard(welcome(first_seq - 1, None), 0);
        machine
    }

    /// A collector one release ahead may say more than this agent knows.
    #[test]
    fn a_message_of_an_unknown_kind_changes_nothing() {
        // Field 99 of `ToDevice`: decoded by this release it has no body.
        let unknown = pb::ToDevice::decode(&[0x9a, 0x06, 0x03, b'n', b'e', b'w'][..]);
        let mut machine = streaming(1);
        let effects = machine.heard(unknown.expect("protobuf skips unknown fields"), 0);
        assert!(effects.is_empty(), "{effects:?}");
    }

    #[test]
    fn batches_go_out_in_order_within_the_limits() {
        let mut machine = streaming(4);
        let want = machine.wants().expect("may send");
        assert_eq!(
            (want.from_seq, want.max_events, want.max_bytes),
            (4, 50, 1000)
        );
        machine.sent(10);
        machine.sent(20);
        assert_eq!(machine.wants(), None, "two in flight");
        let effects = machine.heard(ack(10, 0, None), 0);
        assert_eq!(
            effects,
            [Effect::Ack {
                epoch: 1,
                through: 10
            }]
        );
        assert_eq!(from(&machine), Some(21));
    }

    #[test]
    fn a_hole_is_sent_again_but_not_for_ever() {
        let mut machine = streaming(1);
        machine.sent(10);
        machine.heard(ack(3, 4, None), 0);
        assert_eq!(from(&machine), Some(4));
        let mut broken = false;
        for _ in 0..10 {
            let effects = machine.heard(ack(3, 4, None), 0);
            broken |= effects.iter().any(|it| matches!(it, Effect::Broken(_)));
        }
        assert!(broken);
    }

    #[test]
    fn a_held_record_stops_sending_until_resume_or_the_wait_is_over() {
        let mut machine = streaming(1);
        machine.sent(10);
        machine.sent(20);
        machine.heard(ack(5, 0, Some(6)), 100);
        assert_eq!(from(&machine), None);
        assert_eq!(machine.wakes_at_ms(), Some(1_100));
        assert!(machine.tick(1_099).is_empty());
        assert_eq!(machine.tick(1_100), [Effect::Held(None)]);
        assert_eq!(from(&machine), Some(6));
        machine.heard(ack(5, 0, Some(6)), 2_000);
        machine.heard(down(Body::Resume(pb::Resume {})), 2_001);
        assert_eq!(from(&machine), Some(6));
    }

    #[test]
    fn a_new_epoch_begins_at_one_and_old_acks_do_not_count() {
        let new = pb::NewEpoch {
            epoch: 3,
            after_seq: 8,
            previous_link: vec![9; 32],
        };
        let mut machine = Machine::new(&position(4), 100, 1_000);
        let effects = machine.heard(welcome(0, Some(new.clone())), 0);
        assert!(effects.contains(&Effect::Relink {
            epoch: 3,
            after_seq: 8,
            previous: [9; 32]
        }));
        assert_eq!(from(&machine), Some(1));
        assert!(machine.heard(ack(50, 0, None), 0).is_empty());
        assert!(machine.has_sent(1, 1));
        assert!(!machine.has_sent(3, 1));
        let again = machine.heard(down(Body::NewEpoch(new)), 0);
        assert!(matches!(again[..], [Effect::Broken(_)]));
    }

    #[test]
    fn a_position_ahead_is_believed_only_by_its_link() {
        let mut machine = Machine::new(&position(4), 100, 1_000);
        let effects = machine.heard(welcome(9, None), 0);
        assert!(effects.contains(&Effect::AckIfEqual {
            through: 9,
            link: [7; 32]
        }));
        assert_eq!(from(&machine), Some(4));
        machine.acked(9);
        assert_eq!(from(&machine), Some(10));
    }

    #[test]
    fn anything_before_the_welcome_ends_the_session() {
        let mut machine = Machine::new(&position(1), 100, 1_000);
        let effects = machine.heard(ack(1, 0, None), 0);
        assert!(matches!(effects[..], [Effect::Broken(_)]));
        let superseded = streaming(1).heard(down(Body::Superseded(pb::Superseded {})), 0);
        assert_eq!(superseded, [Effect::Superseded]);
    }
}
