//! Asks the rules about one event and makes findings of the hits.
//!
//! Invariants: only active rules raise findings; a finding's id follows from (device, epoch, seq, rule),
//! or from (rule, scope, window) for rules that count, so a repeated batch raises nothing twice; a
//! finding keeps its own copy of what it needs, sealed under its own key.

use std::cell::RefCell;

use mingjing_proto::pb;

use super::Prepared;
use super::view::View;
use crate::Shared;
use crate::error::Result;
use crate::findings::{self, FindingContent, NewFinding};
use crate::normalise::normalise;
use crate::rules::counts::{BUCKETS, Counts, Window};
use crate::rules::{CountBy, Event, Hit, Status};

/// An addition to a count, decided in the transaction.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) addition: Addition,
    /// The finding raised when the window is fuller than the rule allows.
    pub(super) over: i64,
    pub(super) finding: NewFinding,
}

/// What a rule adds to a count.
#[derive(Debug)]
pub(super) struct Addition {
    pub(super) rule: String,
    pub(super) scope: String,
    pub(super) bucket: i64,
    pub(super) by: i64,
}

/// Writes down what a rule adds and lets every count pass: the transaction knows the sums.
#[derive(Debug)]
struct Additions<'a> {
    shared: &'a Shared,
    added: RefCell<Vec<Addition>>,
}

impl Counts for Additions<'_> {
    fn scope(&self, by: CountBy, event: &Event<'_>) -> String {
        let hashed = |name: &str| {
            let named = format!("{}\n{name}", event.account);
            format!("{:016x}", self.shared.sealer.keyed_hash(&named))
        };
        match by {
            CountBy::Account => event.account.to_owned(),
            CountBy::Conversation => {
                let title = event
                    .activity
                    .conversation
                    .as_ref()
                    .map(|it| it.title.as_str());
                hashed(title.unwrap_or(&event.activity.peer))
            }
            CountBy::Peer => hashed(&event.activity.peer),
            CountBy::Department => event.department.to_owned(),
        }
    }

    fn add(&self, rule: &str, scope: &str, bucket: i64, by: i64) -> Window {
        self.added.borrow_mut().push(Addition {
            rule: rule.to_owned(),
            scope: scope.to_owned(),
            bucket,
            by,
        });
        Window {
            first_bucket: bucket - BUCKETS + 1,
            sum: i64::MAX,
        }
    }
}

fn hits(
    shared: &Shared,
    view: &View,
    account: &str,
    activity: &pb::Activity,
) -> (Vec<Hit>, Vec<Addition>) {
    let normalised = normalise(&activity.text);
    let local = view
        .hours
        .as_ref()
        .and_then(|hours| hours.local(activity.at_ms));
    let event = Event {
        account,
        department: &view.person.department,
        class: &view.person.class,
        local_minute_of_day: local.map_or(0, |local| local.minute),
        weekday: local.map_or(1, |local| local.weekday),
        activity,
        normalised: &normalised,
    };
    let counts = Additions {
        shared,
        added: RefCell::default(),
    };
    let mut hits = Vec::new();
    view.rules.judge(&event, &counts, &mut hits);
    (hits, counts.added.into_inner())
}

/// Judges one event and adds its findings to the batch.
pub(super) async fn event(
    shared: &Shared,
    view: &View,
    prepared: &mut Prepared,
    seq: u64,
    events: &pb::Events,
    activity: &pb::Activity,
) -> Result<()> {
    let (hits, mut added) = hits(shared, view, &events.account, activity);
    for hit in hits {
        let rule = view.rules.at(hit.rule);
        if rule.status != Status::Active {
            continue;
        }
        let epoch = view.head.epoch;
        let id = match &hit.count {
            // The window is known to the transaction only; a finding stands for a window's length.
            Some(count) => {
                let window = count.first_bucket.div_euclid(BUCKETS);
                findings::counted_id(&rule.id, &count.scope, window)
            }
            None => findings::finding_id(view.device.device, epoch, seq, &rule.id),
        };
        let name = findings::key_name(&events.account, activity.at_ms, activity.kind());
        let now_ms = shared.clock.now_ms();
        let key = shared.sealer.key(&shared.db, &name, now_ms).await?;
        let content = FindingContent {
            activity: activity.clone(),
            spans: hit
                .spans
                .iter()
                .map(|span| (span.range.start, span.range.end, span.list.to_string()))
                .collect(),
        };
        let finding = NewFinding {
            sealed: findings::seal_content(&key, &id, &content),
            id,
            device: view.device.device,
            epoch,
            seq,
            account: events.account.clone(),
            person: view.person.person.clone(),
            department: view.person.department.clone(),
            rule: rule.id.clone(),
            rule_set: view.rules.version(),
            level: rule.level as i64,
            kind: i64::from(activity.kind),
            direction: i64::from(activity.direction),
            at_ms: activity.at_ms,
            created_ms: now_ms,
        };
        match &hit.count {
            None => prepared.findings.push(finding),
            Some(count) => {
                let addition = added
                    .iter()
                    .position(|it| it.rule == rule.id && it.scope == count.scope);
                if let Some(at) = addition {
                    prepared.counted.push(Counted {
                        addition: added.swap_remove(at),
                        over: rule.count_over().unwrap_or(i64::MAX),
                        finding,
                    });
                }
            }
        }
    }
    Ok(())
}
