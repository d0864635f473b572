//! Whether an event may be stored: consent, account, hours, notice, time (wire.md §4).
//!
//! Invariants: a pure function of the view, the record and the time; the first reason that applies is
//! given; what only IT can repair is held, what must not be kept is refused.

use mingjing_proto::limits;
use mingjing_proto::pb::{self, Category, HoldReason, RefusalReason};
use mingjing_proto::validate::Record;

use super::view::View;
use crate::consent::Standing;

/// How far ahead of the collector's clock an event may be.
const AHEAD_MS: i64 = 10 * 60_000;
/// How old an event may be: a phone keeps records 7 days; one more for its clock.
const OLD_MS: i64 = (limits::BUFFER_DAYS as i64 + 1) * 86_400_000;

/// What becomes of a record's events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Held(HoldReason),
    /// Stored but for these.
    Refused(Vec<(u32, RefusalReason)>),
}

/// Decides all events of a record.
pub(super) fn events(view: &View, record: &Record, events: &pb::Events, now_ms: i64) -> Verdict {
    let all = |reason| {
        let indexes = 0..u32::try_from(events.activities.len()).unwrap_or(u32::MAX);
        Verdict::Refused(indexes.map(|index| (index, reason)).collect())
    };
    let (epoch, seq) = (view.head.epoch, record.first_seq);
    let notice_version = match view.consents.standing(record.category, epoch, seq) {
        Standing::Granted { notice_version } => notice_version,
        Standing::None => return all(RefusalReason::NoConsent),
        Standing::Withdrawn => return all(RefusalReason::Withdrawn),
    };
    let device_record = record.category == Category::Device;
    let mut suspended_ms = None;
    if !device_record {
        if !account_accepted(view, &events.account, record.category, epoch, seq) {
            return all(RefusalReason::AccountNotInPolicy);
        }
        let Some(account) = view.register.get(&events.account) else {
            return Verdict::Held(HoldReason::AccountNotRegistered);
        };
        suspended_ms = account.suspended_ms;
    }
    let Some(hours) = &view.hours else {
        return Verdict::Held(HoldReason::ScheduleMissing);
    };
    let grace_ends_ms = view
        .received
        .iter()
        .filter(|received| received.version > notice_version)
        .map(|received| received.grace_ends_ms())
        .min();
    let mut refused = Vec::new();
    for (index, activity) in (0..).zip(&events.activities) {
        let at_ms = activity.at_ms;
        // A boot that never got an anchor is over when its events come: they lie before now (wire.md §6).
        let ahead_ms = if activity.time_source() == pb::TimeSource::Wall {
            0
        } else {
            AHEAD_MS
        };
        let reason = if at_ms > now_ms + ahead_ms || at_ms < now_ms - OLD_MS {
            RefusalReason::TimeNotCredible
        } else if suspended_ms.is_some_and(|suspended_ms| at_ms >= suspended_ms) {
            RefusalReason::AccountSuspended
        } else if !device_record && !hours.open_at(at_ms) {
            RefusalReason::OffHours
        } else if grace_ends_ms.is_some_and(|ends_ms| at_ms > ends_ms) {
            RefusalReason::NoticeSuperseded
        } else {
            continue;
        };
        refused.push((index, reason));
    }
    Verdict::Refused(refused)
}

/// Whether the policy the phone had accepted at this place names the account and the category.
fn account_accepted(view: &View, account: &str, category: Category, epoch: u64, seq: u64) -> bool {
    let accepted = view
        .accepted
        .iter()
        .filter(|accepted| (accepted.epoch, accepted.seq) < (epoch, seq))
        .max_by_key(|accepted| (accepted.epoch, accepted.seq));
    let Some(version) = accepted.and_then(|accepted| view.policies.get(&accepted.version)) else {
        return false;
    };
    let policy = &version.policy;
    policy.accounts.iter().any(|given| given.id == account)
        && policy.categories.contains(&(category as i32))
}
