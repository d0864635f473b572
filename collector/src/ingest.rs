//! What phones say: verify, decide, judge, seal, and store in one transaction.
//!
//! Invariants (design §3, wire.md §4): a session's records are decided strictly in order; nothing is
//! acknowledged before it is committed; the head moves by compare-and-set in the transaction that
//! stores what moved it; what is refused leaves its hash and reason, what is held leaves nothing and
//! stops the chain.

mod commit;
mod decide;
mod judge;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use mingjing_proto::chain::Link;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category, HoldReason, RefusalReason};
use mingjing_proto::validate::{Content, Record};

pub use commit::{Committer, Outcome};
pub use view::View;

use crate::Shared;
use crate::archive::{RecordRow, TallyKey, TallyValue};
use crate::consent;
use crate::devices::Head;
use crate::error::{Error, Result};
use crate::findings::NewFinding;
use crate::gaps::NewGap;
use crate::notice::Received;
use crate::policy::Accepted;
use crate::seal::{KeyName, NO_DAY, Purpose};

/// Everything one batch adds, ready for the transaction.
#[derive(Debug)]
pub struct Prepared {
    /// Whose.
    pub device: DeviceId,
    /// Where the head must stand.
    pub from: Head,
    /// Where it stands afterwards.
    pub to: Head,
    records: Vec<RecordRow>,
    tallies: HashMap<TallyKey, TallyValue>,
    findings: Vec<NewFinding>,
    counted: Vec<judge::Counted>,
    refusals: Vec<RefusalRow>,
    gaps: Vec<NewGap>,
    consents: Vec<((u64, u64), consent::Record)>,
    policies_accepted: Vec<(Accepted, Vec<u8>)>,
    notices_received: Vec<((u64, u64), Received)>,
    /// What the phone is told was refused.
    pub refused: Vec<pb::Refused>,
    /// Events stored.
    pub events: u64,
}

#[derive(Debug)]
struct RefusalRow {
    epoch: u64,
    seq: u64,
    reason: RefusalReason,
    inner: Link,
}

/// What a batch came to.
#[derive(Debug)]
pub struct Decided {
    /// New records to commit, if any.
    pub prepared: Option<Prepared>,
    /// What stopped the batch before its end.
    pub stop: Option<Stop>,
    /// Last seq of the records that were found stored or are to be stored; `None` when the first stopped.
    pub through: Option<u64>,
}

/// Why the rest of a batch, and those after it, are dropped.
#[derive(Debug, PartialEq)]
pub enum Stop {
    /// Records are missing: send again from here.
    Hole {
        /// The next seq wanted.
        resend_from: u64,
    },
    /// A record can't be stored until IT has fixed something.
    Held {
        /// Its first seq.
        seq: u64,
        /// What IT has to fix.
        reason: HoldReason,
    },
    /// Another history than the stored one.
    Fork {
        /// The last seq both agree on.
        after_seq: u64,
        /// The record that differs, for quarantine.
        record: Box<Record>,
    },
}

impl Prepared {
    fn new(device: DeviceId, head: Head) -> Self {
        Self {
            device,
            from: head,
            to: head,
            records: Vec::new(),
            tallies: HashMap::new(),
            findings: Vec::new(),
            counted: Vec::new(),
            refusals: Vec::new(),
            gaps: Vec::new(),
            consents: Vec::new(),
            policies_accepted: Vec::new(),
            notices_received: Vec::new(),
            refused: Vec::new(),
            events: 0,
        }
    }
}

impl Prepared {
    /// What the phone's holder is told of its findings: rule and time, no content.
    pub fn notices(&self) -> Vec<pb::FindingNotice> {
        self.findings
            .iter()
            .map(|finding| pb::FindingNotice {
                finding_id: hex::encode(finding.id),
                rule_id: finding.rule.clone(),
                rule_title: String::new(),
                at_ms: finding.at_ms,
                state: "new".to_owned(),
                through_ms: 0,
            })
            .collect()
    }
}

/// Decides the records of a batch in order and advances the view past those to be stored.
pub async fn decide(shared: &Shared, view: &mut View, records: Vec<Record>) -> Result<Decided> {
    let mut prepared = Prepared::new(view.device.device, view.head);
    let (mut stop, mut through) = (None, None);
    for record in records {
        let last_seq = record.last_seq();
        if last_seq <= view.head.seq {
            if let Some(after_seq) = known(shared, view, view.head.epoch, &record).await? {
                let record = Box::new(record);
                stop = Some(Stop::Fork { after_seq, record });
                break;
            }
            through = Some(last_seq);
            continue;
        }
        if record.first_seq <= view.head.seq && record.gap().is_none() {
            // It begins before the head and ends behind it: no honest phone cuts records anew.
            let after_seq = record.first_seq - 1;
            let record = Box::new(record);
            stop = Some(Stop::Fork { after_seq, record });
            break;
        }
        if record.first_seq > view.head.seq + 1 {
            let resend_from = view.head.seq + 1;
            stop = Some(Stop::Hole { resend_from });
            break;
        }
        if let Some(reason) = add(shared, view, &mut prepared, &record).await? {
            let seq = record.first_seq;
            stop = Some(Stop::Held { seq, reason });
            break;
        }
        through = Some(last_seq);
    }
    let prepared = (prepared.to != prepared.from).then_some(prepared);
    Ok(Decided {
        prepared,
        stop,
        through,
    })
}

/// How far records sent again from an epoch that has ended are the stored ones: the last seq of those
/// that are, and whether another one came after it.
pub async fn compare(
    shared: &Shared,
    view: &View,
    ended: Head,
    records: &[Record],
) -> Result<(u64, bool)> {
    let mut through = records[0].first_seq - 1;
    for record in records {
        let stored = record.last_seq() <= ended.seq
            && known(shared, view, ended.epoch, record).await?.is_none();
        if !stored {
            // Half of a gap may be stored: it is split there (wire.md §3).
            let split = record.gap().is_some() && record.first_seq <= ended.seq;
            return Ok((if split { ended.seq } else { through }, true));
        }
        through = record.last_seq();
    }
    Ok((through, false))
}

/// A record at or before the end of its epoch: `None` when it is the stored one, else the last seq agreed
/// on.
async fn known(shared: &Shared, view: &View, epoch: u64, record: &Record) -> Result<Option<u64>> {
    if record.gap().is_some() {
        // What it covers is committed; a gap is never a fork (wire.md §3).
        return Ok(None);
    }
    let device = view.device.device;
    let before = record.first_seq - 1;
    // Batches of this session may still be on their way to the disk: ask the view first.
    let previous = view.link_at(shared, epoch, before).await?;
    let stored = view.link_at(shared, epoch, record.last_seq()).await?;
    match (previous, stored) {
        (Some(previous), Some(stored)) if record.link(&previous, epoch) == stored => Ok(None),
        (Some(_), _) => Ok(Some(before)),
        (None, _) => {
            tracing::debug!(%device, epoch, before, "no record ends there");
            Ok(Some(0))
        }
    }
}

/// Adds the next record of the chain; a reason when it must be held instead.
async fn add(
    shared: &Shared,
    view: &mut View,
    prepared: &mut Prepared,
    record: &Record,
) -> Result<Option<HoldReason>> {
    let epoch = view.head.epoch;
    let first_seq = record.first_seq.max(view.head.seq + 1);
    let link = record.link(&view.head.link, epoch);
    let mut row = RecordRow {
        device: view.device.device,
        epoch,
        first_seq,
        count: record.last_seq() - first_seq + 1,
        category: record.category,
        account: String::new(),
        day: i64::from(NO_DAY),
        inner: record.inner(),
        link,
        partial: false,
        facets: Vec::new(),
        sealed: Vec::new(),
        received_ms: shared.clock.now_ms(),
    };
    match &record.content {
        Content::UnknownVersion => return Ok(Some(HoldReason::UnknownRecordVersion)),
        Content::Malformed(problem) => {
            tracing::warn!(device = %view.device.device, first_seq, problem, "malformed record");
            refuse_all(prepared, record, &row, RefusalReason::Malformed);
            row.partial = true;
        }
        Content::Control(control) => {
            let accepted = add_control(view, prepared, record, control);
            if let Err(error) = accepted {
                tracing::warn!(device = %view.device.device, first_seq, %error, "control record refused");
                refuse_all(prepared, record, &row, RefusalReason::Malformed);
                row.partial = true;
            } else {
                let name = KeyName {
                    account: view.device.device.to_string(),
                    day: NO_DAY,
                    category: Category::Control as i32,
                };
                let key = shared
                    .sealer
                    .key(&shared.db, &name, row.received_ms)
                    .await?;
                let plain = [&record.salt[..], &record.body].concat();
                row.sealed = key.seal(Purpose::Record, &row.aad(), &plain);
            }
        }
        Content::Events(events) => {
            let verdicts = match decide::events(view, record, events, row.received_ms) {
                decide::Verdict::Held(reason) => return Ok(Some(reason)),
                decide::Verdict::Refused(verdicts) => verdicts,
            };
            add_events(shared, view, prepared, record, events, &verdicts, &mut row).await?;
        }
    }
    let head = Head {
        epoch,
        seq: record.last_seq(),
        link,
    };
    view.advance(head);
    prepared.to = head;
    prepared.records.push(row);
    Ok(None)
}

fn refuse_all(prepared: &mut Prepared, record: &Record, row: &RecordRow, reason: RefusalReason) {
    let all: Vec<_> = (0..record.count.min(25))
        .map(|index| (index, reason))
        .collect();
    refuse(prepared, record, row, &all);
}

fn refuse(
    prepared: &mut Prepared,
    record: &Record,
    row: &RecordRow,
    verdicts: &[(u32, RefusalReason)],
) {
    if verdicts.is_empty() {
        return;
    }
    for &(index, reason) in verdicts {
        prepared.refusals.push(RefusalRow {
            epoch: row.epoch,
            seq: record.first_seq + u64::from(index),
            reason,
            inner: row.inner,
        });
    }
    prepared.refused.push(pb::Refused {
        first_seq: record.first_seq,
        events: verdicts
            .iter()
            .map(|&(index, reason)| pb::RefusedEvent {
                index,
                reason: reason.into(),
            })
            .collect(),
    });
}

async fn add_events(
    shared: &Shared,
    view: &View,
    prepared: &mut Prepared,
    record: &Record,
    events: &pb::Events,
    verdicts: &[(u32, RefusalReason)],
    row: &mut RecordRow,
) -> Result<()> {
    refuse(prepared, record, row, verdicts);
    row.account.clone_from(&events.account);
    row.day = i64::from(events.day);
    row.partial = !verdicts.is_empty();
    let refused = |index: usize| verdicts.iter().any(|(at, _)| *at as usize == index);
    let account = if record.category == Category::Device {
        view.device.device.to_string()
    } else {
        events.account.clone()
    };
    let mut kept = 0;
    for (index, activity) in events.activities.iter().enumerate() {
        if refused(index) {
            continue;
        }
        kept += 1;
        let seq = record.first_seq + index as u64;
        row.push_facet(&shared.sealer, &events.account, activity);
        let tally = prepared
            .tallies
            .entry(TallyKey::new(&account, events.day, activity))
            .or_default();
        tally.add(activity.at_ms);
        judge::event(shared, view, prepared, seq, events, activity).await?;
    }
    prepared.events += kept;
    if kept == 0 {
        return Ok(());
    }
    let name = KeyName {
        account,
        day: events.day,
        category: record.category as i32,
    };
    let key = shared
        .sealer
        .key(&shared.db, &name, row.received_ms)
        .await?;
    let plain = if verdicts.is_empty() {
        [&record.salt[..], &record.body].concat()
    } else {
        // What is refused is cut out before sealing; the salt dies with it, `inner` stays as the proof.
        let mut cut = events.clone();
        let mut index = 0;
        cut.activities.retain(|_| {
            index += 1;
            !refused(index - 1)
        });
        [&[0; 16][..], &prost::Message::encode_to_vec(&cut)].concat()
    };
    row.sealed = key.seal(Purpose::Record, &row.aad(), &plain);
    Ok(())
}

fn add_control(
    view: &mut View,
    prepared: &mut Prepared,
    record: &Record,
    control: &pb::control::Body,
) -> Result<()> {
    use pb::control::Body;
    let place = (view.head.epoch, record.first_seq);
    match control {
        Body::Consent(signed) => {
            let consent = consent::Record::verify(signed, &view.device)?;
            view.consents.add(place, &consent);
            prepared.consents.push((place, consent));
        }
        Body::PolicyAccepted(accepted) => {
            let known = view.policies.get(&accepted.version);
            if known.is_none_or(|known| known.sha256 != accepted.sha256) {
                return Err(Error::Invalid(
                    "it accepts a policy that was never given".to_owned(),
                ));
            }
            let row = Accepted {
                epoch: place.0,
                seq: place.1,
                version: accepted.version,
            };
            view.accepted.push(row);
            prepared
                .policies_accepted
                .push((row, accepted.sha256.clone()));
        }
        Body::NoticeReceived(received) => {
            let row = Received {
                version: received.version,
                at_ms: received.at_ms,
            };
            view.received.push(row);
            prepared.notices_received.push((place, row));
        }
        Body::Gap(signed) => {
            let gap = record
                .gap()
                .ok_or_else(|| Error::Invalid("not a gap".to_owned()))?;
            let bytes = mingjing_proto::device_signed::Purpose::Gap.bytes(&signed.payload);
            // A gap is never refused: with a bad signature it still closes its place in the chain, marked.
            let by_device = mingjing_proto::device_signed::verify(
                &view.device.point,
                &bytes,
                &signed.signature,
            );
            if by_device.is_err() {
                tracing::warn!(device = %view.device.device, "a gap is not signed by its phone");
            }
            prepared.gaps.push(NewGap {
                epoch: place.0,
                first_seq: record.first_seq.max(view.head.seq + 1),
                last_seq: gap.last_seq,
                reason: gap.reason(),
                signed: signed.clone(),
            });
        }
    }
    Ok(())
}

/// Shared by all sessions.
pub type SharedCommitter = Arc<Committer>;
