//! What the employee decided (wire.md §5, requirements K and W).
//!
//! Invariants: a grant counts only after the collector's countersigned receipt; a withdrawal counts at
//! once and needs nobody; `device` follows the others; every record names its predecessor.

use mingjing_proto::chain::{Link, sha256};
use mingjing_proto::limits::NOTICE_GRACE_HOURS;
use mingjing_proto::pb::{self, Category, Decision};
use prost::Message;

/// One category that may be captured.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Grant {
    /// The category.
    #[prost(enumeration = "Category", tag = "1")]
    pub category: i32,
    /// The notice it was given for.
    #[prost(uint32, tag = "2")]
    pub notice_version: u32,
    /// When the receipt came.
    #[prost(int64, tag = "3")]
    pub since_ms: i64,
    /// Of the record that gave it.
    #[prost(bytes = "vec", tag = "4")]
    pub consent_id: Vec<u8>,
}

/// A grant that waits for its receipt.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Pending {
    /// Of the record.
    #[prost(bytes = "vec", tag = "1")]
    pub consent_id: Vec<u8>,
    /// SHA-256 of the payload.
    #[prost(bytes = "vec", tag = "2")]
    pub sha256: Vec<u8>,
    /// What it grants.
    #[prost(enumeration = "Category", repeated, tag = "3")]
    pub categories: Vec<i32>,
    /// The notice it names.
    #[prost(uint32, tag = "4")]
    pub notice_version: u32,
    /// The policy that was shown with it.
    #[prost(bytes = "vec", tag = "5")]
    pub policy_sha256: Vec<u8>,
    /// Its schedule: no later policy may be wider.
    #[prost(message, optional, tag = "6")]
    pub schedule: Option<pb::Schedule>,
}

/// Everything decided, as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Consents {
    /// In force.
    #[prost(message, repeated, tag = "1")]
    pub grants: Vec<Grant>,
    /// Waiting for its receipt.
    #[prost(message, optional, tag = "2")]
    pub pending: Option<Pending>,
    /// SHA-256 of the newest payload.
    #[prost(bytes = "vec", tag = "3")]
    pub previous_sha256: Vec<u8>,
    /// Withdrawn, key destroyed, record not signed yet.
    #[prost(enumeration = "Category", repeated, tag = "4")]
    pub unsigned: Vec<i32>,
    /// The newest decision per category, for display.
    #[prost(message, repeated, tag = "5")]
    pub decisions: Vec<pb::CategoryDecision>,
    /// The schedule at the newest grant: a policy may not be wider.
    #[prost(message, optional, tag = "6")]
    pub schedule: Option<pb::Schedule>,
    /// Why the newest grant was not accepted, empty when it was.
    #[prost(string, tag = "7")]
    pub refusal: String,
    /// The newest receipt, as signed.
    #[prost(message, optional, tag = "8")]
    pub receipt: Option<pb::Signed>,
    /// Language and way of the newest decision, for withdrawals finished later.
    #[prost(string, tag = "9")]
    pub language: String,
    /// The receipts of the grants in force, as signed: a collector that lost them believes itself.
    #[prost(message, repeated, tag = "10")]
    pub receipts: Vec<pb::Signed>,
    /// The device these decisions were made on: another enrolment is another device.
    #[prost(bytes = "vec", tag = "11")]
    pub device_id: Vec<u8>,
}

/// When a notice reached this phone.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its version.
    pub version: u32,
    /// When.
    pub at_ms: i64,
}

impl Consents {
    fn grant(&self, category: Category) -> Option<&Grant> {
        self.grants.iter().find(|it| it.category() == category)
    }

    /// Whether any category is granted.
    pub fn any(&self) -> bool {
        !self.grants.is_empty()
    }

    /// Since when `category` may be captured; `device` since the first grant.
    pub fn since_ms(&self, category: Category) -> Option<i64> {
        if category == Category::Device {
            return self.grants.iter().map(|it| it.since_ms).min();
        }
        self.grant(category).map(|it| it.since_ms)
    }

    /// Whether `category` may be captured now, given the newest notice: an older notice's consent
    /// still counts for 72 hours.
    pub fn allows(&self, category: Category, newest: Option<Received>, now_ms: i64) -> bool {
        let fresh = |grant: &Grant| {
            newest.is_none_or(|newest| {
                grant.notice_version >= newest.version
                    || now_ms - newest.at_ms <= NOTICE_GRACE_HOURS.cast_signed() * 3_600_000
            })
        };
        if category == Category::Device {
            return self.grants.iter().any(fresh);
        }
        self.grant(category).is_some_and(fresh)
    }

    /// Takes `categories` out of force.
    pub fn end(&mut self, categories: &[Category], decision: Decision) {
        self.grants
            .retain(|it| !categories.contains(&it.category()));
        if let Some(pending) = &mut self.pending {
            pending
                .categories
                .retain(|it| !categories.iter().any(|category| *category as i32 == *it));
        }
        self.pending = self.pending.take().filter(|it| !it.categories.is_empty());
        for category in categories {
            self.decide(*category, decision);
        }
    }

    fn decide(&mut self, category: Category, decision: Decision) {
        self.decisions.retain(|it| it.category() != category);
        self.decisions.push(pb::CategoryDecision {
            category: category.into(),
            decision: decision.into(),
        });
    }

    /// Remembers a record that grants; it takes force with its receipt.
    pub fn wait_for_receipt(
        &mut self,
        consent: &pb::Consent,
        payload: &[u8],
        schedule: Option<pb::Schedule>,
    ) {
        let granted = consent
            .decisions
            .iter()
            .filter(|it| is_grant(it.decision()));
        let categories: Vec<i32> = granted.map(|it| it.category).collect();
        self.refusal.clear();
        self.pending = Some(Pending {
            consent_id: consent.consent_id.clone(),
            sha256: sha256(payload).to_vec(),
            categories,
            notice_version: consent.notice_version,
            policy_sha256: consent.policy_sha256.clone(),
            schedule,
        });
    }

    /// Whether a receipt answers the grant that waits.
    pub fn is_for_pending(&self, receipt: &pb::ConsentReceipt) -> bool {
        self.pending.as_ref().is_some_and(|pending| {
            pending.consent_id == receipt.consent_id && pending.sha256 == receipt.consent_sha256
        })
    }

    /// Puts the waiting grant in force; the caller has made the keys.
    pub fn accept(&mut self, pending: Pending, now_ms: i64) {
        for category in pending.categories {
            let Ok(category) = Category::try_from(category) else {
                continue;
            };
            self.grants.retain(|it| it.category() != category);
            self.grants.push(Grant {
                category: category.into(),
                notice_version: pending.notice_version,
                since_ms: now_ms,
                consent_id: pending.consent_id.clone(),
            });
            self.decide(category, Decision::Granted);
        }
        self.receipts.extend(self.receipt.clone());
        let grants = &self.grants;
        self.receipts.retain(|receipt| {
            pb::ConsentReceipt::decode(&*receipt.payload)
                .is_ok_and(|it| grants.iter().any(|grant| grant.consent_id == it.consent_id))
        });
        self.schedule = pending.schedule;
        self.refusal.clear();
        self.pending = None;
    }

    /// The receipt of the grant this signed record gave, if that is in force.
    pub fn receipt_of(&self, consent: &pb::DeviceSigned) -> Option<&pb::Signed> {
        let hash = sha256(&consent.payload);
        self.receipts.iter().find(|receipt| {
            pb::ConsentReceipt::decode(&*receipt.payload).is_ok_and(|it| it.consent_sha256 == hash)
        })
    }

    /// Notes what a new record says, grants excepted.
    pub fn note(&mut self, consent: &pb::Consent, payload: &[u8]) {
        self.previous_sha256 = sha256(payload).to_vec();
        self.language.clone_from(&consent.language);
        for decision in &consent.decisions {
            if !is_grant(decision.decision()) {
                self.decide(decision.category(), decision.decision());
            }
        }
    }
}

/// Whether a decision opens the gate.
pub fn is_grant(decision: Decision) -> bool {
    matches!(decision, Decision::Granted | Decision::Reconfirmed)
}

/// A consent record in the making: everything but the decisions and their circumstances.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// The enrolled person.
    pub person: &'a str,
    /// The device.
    pub device_id: &'a [u8],
    /// Its key.
    pub public_key_spki: &'a [u8],
    /// The notice that was shown.
    pub notice: (u32, Link),
    /// The policy that was shown.
    pub policy: Option<&'a crate::policy::Policy>,
}

/// The record (K1–K9, K11) of `choice` at `moment`.
pub fn record(
    ground: &Ground<'_>,
    choice: &pb::ConsentChoice,
    moment: crate::clock::Moment,
    previous_sha256: &[u8],
) -> (pb::Consent, Vec<u8>) {
    let accounts = ground.policy.map_or(&[][..], |it| &it.policy.accounts);
    let accounts: Vec<&str> = accounts.iter().map(|it| it.id.as_str()).collect();
    let anchored = moment.source == pb::TimeSource::Anchored;
    let consent = pb::Consent {
        consent_id: crate::keys::random::<16>().to_vec(),
        person: ground.person.to_owned(),
        account: accounts.join(","),
        device_id: ground.device_id.to_vec(),
        key_fingerprint: sha256(ground.public_key_spki).to_vec(),
        notice_version: ground.notice.0,
        notice_sha256: ground.notice.1.to_vec(),
        language: choice.language.clone(),
        decisions: choice.decisions.clone(),
        legal_basis: "consent".to_owned(),
        wall_ms: moment.wall_ms,
        elapsed_ms: moment.elapsed_ms,
        boot_id: moment.boot_id.to_vec(),
        at_ms: if anchored { moment.at_ms } else { 0 },
        given_how: choice.given_how.clone(),
        previous_sha256: previous_sha256.to_vec(),
        policy_version: ground.policy.map_or(0, |it| it.policy.version),
        policy_sha256: ground.policy.map_or_else(Vec::new, |it| it.sha256.to_vec()),
    };
    let payload = consent.encode_to_vec();
    (consent, payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted() -> Consents {
        let mut consents = Consents::default();
        let consent = pb::Consent {
            consent_id: vec![1],
            notice_version: 3,
            decisions: [Category::Messages, Category::Money]
                .map(|category| pb::CategoryDecision {
                    category: category.into(),
                    decision: Decision::Granted.into(),
                })
                .into(),
            ..Default::default()
        };
        consents.wait_for_receipt(&consent, b"payload", None);
        assert!(!consents.any(), "nothing before the receipt");
        let pending = consents.pending.clone().expect("waits");
        consents.accept(pending, 1_000);
        consents
    }

    #[test]
    fn a_grant_counts_from_its_receipt_and_a_withdrawal_at_once() {
        let mut consents = granted();
        assert_eq!(consents.since_ms(Category::Money), Some(1_000));
        assert!(consents.allows(Category::Device, None, 2_000));
        assert!(!consents.allows(Category::Location, None, 2_000));
        consents.end(&[Category::Money], Decision::Withdrawn);
        assert!(!consents.allows(Category::Money, None, 2_000));
        assert!(consents.allows(Category::Messages, None, 2_000));
        consents.end(&[Category::Messages], Decision::Withdrawn);
        assert!(!consents.allows(Category::Device, None, 2_000));
    }

    #[test]
    fn an_older_notice_counts_for_three_days() {
        let consents = granted();
        let newest = |version, at_ms| Some(Received { version, at_ms });
        let hour = 3_600_000;
        for (newest, now_ms, expected) in [
            (newest(3, 0), 100 * hour, true),
            (newest(4, 0), 72 * hour, true),
            (newest(4, 0), 72 * hour + 1, false),
        ] {
            assert_eq!(
                consents.allows(Category::Messages, newest, now_ms),
                expected
            );
        }
    }

    #[test]
    fn a_withdrawal_takes_its_category_out_of_what_waits() {
        let mut consents = Consents {
            pending: Some(Pending {
                categories: vec![Category::Money.into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        consents.end(&[Category::Money], Decision::Withdrawn);
        assert_eq!(consents.pending, None);
    }
}
