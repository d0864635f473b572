//! May this signal be looked at? Asked before any of its text is (design §3, requirements P2 O2).
//!
//! Invariants: a pure function of the signal's package, user and time and of what is in force; the
//! first reason that applies is counted, with nothing of the signal beside it.

use std::collections::BTreeMap;

use mingjing_proto::manifest::MANIFEST;
use mingjing_proto::pb::{self, Category};

use crate::consent::{Consents, Received};
use crate::policy::Policy;

/// Why something was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Drop {
    /// Not one of the two apps.
    OtherApp,
    /// Not an app and Android user the policy names: a clone, a personal profile.
    OtherUser,
    /// No policy yet, or one without a schedule.
    NoPolicy,
    /// Nothing is granted.
    NoConsent,
    /// A newer notice was not consented to within 72 hours.
    NoticeSuperseded,
    /// Outside the agreed hours.
    OffHours,
    /// The employee's pause.
    Paused,
    /// The account was not proven.
    Unproven,
    /// Happened before the consent.
    BeforeConsent,
    /// Of a category that is not granted.
    NotGranted,
    /// Of a category the policy leaves out.
    NotInPolicy,
    /// A device fact that belongs to no account.
    NoAccount,
    /// A window that is never read.
    Excluded,
    /// A signal without a body.
    Empty,
    /// Could not be kept while the disk failed.
    Disk,
}

/// Counts by reason.
pub type Drops = BTreeMap<&'static str, u64>;

/// What is in force at a moment.
#[derive(Debug)]
pub struct Gate<'a> {
    /// The policy, if any.
    pub policy: Option<&'a Policy>,
    /// What was consented to.
    pub consents: &'a Consents,
    /// The newest notice.
    pub notice: Option<Received>,
    /// Until when the employee pauses capture.
    pub paused_until_ms: i64,
    /// Now.
    pub now_ms: i64,
}

impl Gate<'_> {
    /// Whether `package` of Android `user` is watched at all.
    pub fn place(&self, package: &str, user: u32) -> Result<(), Drop> {
        if !MANIFEST.apps.iter().any(|app| app == package) {
            return Err(Drop::OtherApp);
        }
        let policy = self.policy.ok_or(Drop::NoPolicy)?;
        let named = policy
            .policy
            .accounts
            .iter()
            .any(|account| account.package == package && account.user == user);
        if named { Ok(()) } else { Err(Drop::OtherUser) }
    }

    /// Whether anything may be looked at that happened at `at_ms`. A live signal happened now, give or
    /// take the time it queued, and is judged by its own time, as the collector will judge it. A
    /// recorded one has to pass now as well: a replay captures nothing while capture is off.
    pub fn moment(&self, at_ms: i64, live: bool) -> Result<(), Drop> {
        let policy = self.policy.ok_or(Drop::NoPolicy)?;
        if !self.consents.any() {
            return Err(Drop::NoConsent);
        }
        if !self
            .consents
            .allows(Category::Device, self.notice, self.now_ms)
        {
            return Err(Drop::NoticeSuperseded);
        }
        let hours = policy.hours.as_ref().ok_or(Drop::NoPolicy)?;
        if !hours.contains(at_ms) || !live && !hours.contains(self.now_ms) {
            return Err(Drop::OffHours);
        }
        if self.now_ms < self.paused_until_ms {
            return Err(Drop::Paused);
        }
        Ok(())
    }

    /// Whether an activity of `category` may be kept.
    pub fn category(&self, category: Category, at_ms: i64, live: bool) -> Result<(), Drop> {
        let policy = self.policy.ok_or(Drop::NoPolicy)?;
        if !policy.allows(category) {
            return Err(Drop::NotInPolicy);
        }
        if !self.consents.allows(category, self.notice, self.now_ms) {
            return Err(Drop::NotGranted);
        }
        let hours = policy.hours.as_ref().ok_or(Drop::NoPolicy)?;
        if !hours.contains(at_ms) {
            return Err(Drop::OffHours);
        }
        if live && self.consents.since_ms(category).is_none_or(|it| at_ms < it) {
            return Err(Drop::BeforeConsent);
        }
        Ok(())
    }
}

/// A signal of which only the window's class name is left.
pub fn without_text(signal: &pb::Signal) -> pb::Signal {
    let mut bare = signal.clone();
    if let Some(pb::signal::Body::Screen(screen)) = &mut bare.body {
        screen.nodes.clear();
    }
    bare
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::consent::Grant;
    use crate::policy::tests::{DEVICE, policy};

    /// 2026-03-02 10:00 in Shanghai.
    const IN_HOURS: i64 = 1_772_416_800_000;
    const OFF_HOURS: i64 = IN_HOURS + 12 * 3_600_000;

    fn consents() -> Consents {
        Consents {
            grants: vec![Grant {
                category: Category::Messages.into(),
                notice_version: 1,
                since_ms: IN_HOURS - 1_000,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn every_reason_is_given_before_anything_is_looked_at() {
        let policy = Policy::read(&policy(1).encode_to_vec(), &DEVICE).expect("a policy");
        let consents = consents();
        let gate = |paused_until_ms, now_ms| Gate {
            policy: Some(&policy),
            consents: &consents,
            notice: None,
            paused_until_ms,
            now_ms,
        };
        let open = gate(0, IN_HOURS);
        assert_eq!(open.place("com.tencent.mm", 0), Ok(()));
        assert_eq!(open.place("com.tencent.mm", 10), Err(Drop::OtherUser));
        assert_eq!(open.place("com.tencent.wework", 0), Err(Drop::OtherUser));
        assert_eq!(open.place("com.bank", 0), Err(Drop::OtherApp));
        assert_eq!(open.moment(IN_HOURS, true), Ok(()));
        assert_eq!(open.moment(OFF_HOURS, true), Err(Drop::OffHours));
        let night = gate(0, OFF_HOURS);
        assert_eq!(night.moment(IN_HOURS, true), Ok(()), "it queued");
        assert_eq!(night.moment(IN_HOURS, false), Err(Drop::OffHours));
        let paused = gate(IN_HOURS + 1, IN_HOURS);
        assert_eq!(paused.moment(IN_HOURS, true), Err(Drop::Paused));
        let nothing = Consents::default();
        let gate = Gate {
            consents: &nothing,
            ..gate(0, IN_HOURS)
        };
        assert_eq!(gate.moment(IN_HOURS, true), Err(Drop::NoConsent));
        let gate = Gate {
            policy: None,
            ..gate
        };
        assert_eq!(gate.place("com.tencent.mm", 0), Err(Drop::NoPolicy));
    }

    #[test]
    fn an_activity_needs_its_own_category() {
        let mut narrow = policy(1);
        narrow.categories.retain(|it| *it != Category::Money as i32);
        let policy = Policy::read(&narrow.encode_to_vec(), &DEVICE).expect("a policy");
        let consents = consents();
        let gate = Gate {
            policy: Some(&policy),
            consents: &consents,
            notice: None,
            paused_until_ms: 0,
            now_ms: IN_HOURS,
        };
        let check = |category, at_ms| gate.category(category, at_ms, true);
        assert_eq!(check(Category::Messages, IN_HOURS), Ok(()));
        assert_eq!(check(Category::Device, IN_HOURS), Ok(()));
        assert_eq!(check(Category::Money, IN_HOURS), Err(Drop::NotInPolicy));
        assert_eq!(check(Category::Contacts, IN_HOURS), Err(Drop::NotGranted));
        assert_eq!(
            check(Category::Messages, IN_HOURS - 2_000),
            Err(Drop::BeforeConsent)
        );
        assert_eq!(check(Category::Messages, OFF_HOURS), Err(Drop::OffHours));
    }
}
