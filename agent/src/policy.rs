//! May this policy, this notice take force on this phone? (wire.md §5, requirements O4, A)
//!
//! Invariants: a server may only narrow what the app was built to do and what the notice in force says;
//! what was refused changes nothing; a wider policy waits for a newer notice and consent to it.

use mingjing_proto::chain::{Link, sha256};
use mingjing_proto::manifest::{self, MANIFEST};
use mingjing_proto::pb::{self, Category};
use mingjing_proto::vocabulary::Named;
use prost::Message;

use crate::hours::{Hours, HoursError};

/// Why a notice or a policy was not taken. The phone reports it and goes on with what it has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not the message it claims to be.
    #[error("it can't be read")]
    Unreadable,
    /// Older than, or of the same version but other bytes than, what this phone has.
    #[error("version {offered} is not newer than version {have}")]
    Older {
        /// What came.
        offered: u32,
        /// What is here.
        have: u32,
    },
    /// The notice describes another app than this one.
    #[error("it describes another app than this one (manifest)")]
    Manifest,
    /// The policy is of another phone.
    #[error("it is of another phone")]
    Device,
    /// No notice names these terms.
    #[error("its terms are not those of the notice shown")]
    Terms,
    /// More categories than the terms, or than the app was built for.
    #[error("it asks for more categories than the notice names")]
    Categories,
    /// An app the agent was not built for.
    #[error("it names an app this agent was not built for")]
    App,
    /// More hours than at the last consent.
    #[error("its hours are wider than those consented to")]
    WiderHours,
    /// A schedule that makes no sense.
    #[error(transparent)]
    Hours(#[from] HoursError),
}

/// A notice as delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it says.
    pub notice: pb::Notice,
    /// SHA-256 of the delivered bytes.
    pub sha256: Link,
}

impl Notice {
    /// Reads delivered bytes; refuses a notice that describes another app.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let notice = pb::Notice::decode(bytes).map_err(|_| Refusal::Unreadable)?;
        if notice.manifest_sha256 != manifest::SHA256[..] {
            return Err(Refusal::Manifest);
        }
        Ok(Self {
            notice,
            sha256: sha256(bytes),
        })
    }

    /// Whether `self` replaces `have`; `Ok(false)` when it is the same.
    pub fn replaces(&self, have: Option<&Self>) -> Result<bool, Refusal> {
        let Some(have) = have else { return Ok(true) };
        newer(
            (self.notice.version, &self.sha256),
            (have.notice.version, &have.sha256),
        )
    }
}

fn newer(offered: (u32, &Link), have: (u32, &Link)) -> Result<bool, Refusal> {
    if offered == have {
        return Ok(false);
    }
    if offered.0 <= have.0 {
        return Err(Refusal::Older {
            offered: offered.0,
            have: have.0,
        });
    }
    Ok(true)
}

/// A policy as delivered, checked as far as it can be by itself.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What it says.
    pub policy: pb::Policy,
    /// Its terms.
    pub terms: pb::PolicyTerms,
    /// SHA-256 of the delivered bytes.
    pub sha256: Link,
    /// SHA-256 of the terms' bytes.
    pub terms_sha256: Link,
    /// Its hours; `None`: schedule missing, capture stays off.
    pub hours: Option<Hours>,
}

impl Policy {
    /// Reads delivered bytes; refuses a policy of another phone, or one wider than the app.
    pub fn read(bytes: &[u8], device_id: &[u8]) -> Result<Self, Refusal> {
        let policy = pb::Policy::decode(bytes).map_err(|_| Refusal::Unreadable)?;
        if policy.device_id != device_id {
            return Err(Refusal::Device);
        }
        let terms = pb::PolicyTerms::decode(&*policy.terms).map_err(|_| Refusal::Unreadable)?;
        let built_for = |category: &i32| {
            Category::try_from(*category)
                .is_ok_and(|it| MANIFEST.categories.iter().any(|name| name == it.name()))
        };
        let narrow = policy
            .categories
            .iter()
            .all(|it| terms.categories.contains(it));
        if !narrow || !policy.categories.iter().all(built_for) {
            return Err(Refusal::Categories);
        }
        if policy
            .accounts
            .iter()
            .any(|it| !MANIFEST.apps.contains(&it.package))
        {
            return Err(Refusal::App);
        }
        let hours = policy.schedule.as_ref().map(Hours::new).transpose()?;
        Ok(Self {
            terms_sha256: sha256(&policy.terms),
            sha256: sha256(bytes),
            policy,
            terms,
            hours,
        })
    }

    /// Whether `self` replaces `have`; `Ok(false)` when it is the same.
    pub fn replaces(&self, have: Option<&Self>) -> Result<bool, Refusal> {
        let Some(have) = have else { return Ok(true) };
        newer(
            (self.policy.version, &self.sha256),
            (have.policy.version, &have.sha256),
        )
    }

    /// Whether it keeps within `notice` and, where there is a consent, the hours of that consent.
    pub fn within(
        &self,
        notice: &Notice,
        consented: Option<&Hours>,
        now_ms: i64,
    ) -> Result<(), Refusal> {
        if notice.notice.terms_sha256 != self.terms_sha256 {
            return Err(Refusal::Terms);
        }
        match (&self.hours, consented) {
            (Some(hours), Some(consented)) if hours.is_wider_than(consented, now_ms) => {
                Err(Refusal::WiderHours)
            }
            _ => Ok(()),
        }
    }

    /// Whether the policy lets `category` be captured. Coverage follows the others.
    pub fn allows(&self, category: Category) -> bool {
        category == Category::Device || self.policy.categories.contains(&(category as i32))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const DEVICE: [u8; 16] = [5; 16];

    pub(crate) fn terms() -> Vec<u8> {
        let categories = Category::CONSENTED.iter().map(|it| (*it).into()).collect();
        let terms = pb::PolicyTerms {
            categories,
            pause_minutes_per_day: 30,
            ..Default::default()
        };
        terms.encode_to_vec()
    }

    /// One WeChat account, Monday to Sunday, 9 to 18 in Shanghai.
    pub(crate) fn policy(version: u32) -> pb::Policy {
        pb::Policy {
            version,
            device_id: DEVICE.into(),
            person: "p-01".into(),
            terms: terms(),
            categories: Category::CONSENTED.iter().map(|it| (*it).into()).collect(),
            accounts: vec![pb::WorkAccount {
                id: "acc-1".into(),
                package: "com.tencent.mm".into(),
                user: 0,
                shown_id: "wxid_work".into(),
                name: "小陈".into(),
            }],
            schedule: Some(pb::Schedule {
                zone: "Asia/Shanghai".into(),
                weekly: (1..=7)
                    .map(|weekday| pb::WeeklyHours {
                        weekday,
                        from_minute: 540,
                        to_minute: 1080,
                    })
                    .collect(),
                days: Vec::new(),
            }),
            ..Default::default()
        }
    }

    pub(crate) fn notice(version: u32) -> pb::Notice {
        pb::Notice {
            version,
            manifest_sha256: manifest::SHA256.to_vec(),
            terms_sha256: sha256(&terms()).to_vec(),
            texts: ["zh-CN", "en"]
                .into_iter()
                .map(|language| pb::NoticeText {
                    language: language.into(),
                    company: "晨光办公".into(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_wider_or_foreign_is_refused_with_its_reason() {
        let read = |change: &dyn Fn(&mut pb::Policy)| {
            let mut policy = policy(1);
            change(&mut policy);
            Policy::read(&policy.encode_to_vec(), &DEVICE).map(|_| ())
        };
        assert_eq!(read(&|_| ()), Ok(()));
        assert_eq!(read(&|it| it.device_id[0] = 0), Err(Refusal::Device));
        assert_eq!(read(&|it| it.categories.push(99)), Err(Refusal::Categories));
        assert_eq!(
            read(&|it| it.accounts[0].package = "com.bank".into()),
            Err(Refusal::App)
        );
        assert_eq!(
            read(&|it| {
                let narrow = pb::PolicyTerms::default();
                it.terms = narrow.encode_to_vec();
            }),
            Err(Refusal::Categories)
        );
        assert_eq!(
            Policy::read(b"\xff\xff", &DEVICE).map(|_| ()),
            Err(Refusal::Unreadable)
        );
    }

    #[test]
    fn a_notice_of_another_app_or_an_older_one_is_refused() {
        let first = Notice::read(&notice(2).encode_to_vec()).expect("a notice");
        let mut foreign = notice(3);
        foreign.manifest_sha256[0] ^= 1;
        assert_eq!(
            Notice::read(&foreign.encode_to_vec()),
            Err(Refusal::Manifest)
        );
        let older = Notice::read(&notice(1).encode_to_vec()).expect("a notice");
        assert!(matches!(
            older.replaces(Some(&first)),
            Err(Refusal::Older { .. })
        ));
        assert_eq!(first.replaces(Some(&first)), Ok(false));
        assert_eq!(first.replaces(Some(&older)), Ok(true));
    }

    #[test]
    fn terms_and_hours_bind_the_policy_to_the_notice() {
        let shown = Notice::read(&notice(1).encode_to_vec()).expect("a notice");
        let good = Policy::read(&policy(1).encode_to_vec(), &DEVICE).expect("a policy");
        assert_eq!(good.within(&shown, None, 0), Ok(()));
        let mut other = notice(2);
        other.terms_sha256 = vec![0; 32];
        let other = Notice::read(&other.encode_to_vec()).expect("a notice");
        assert_eq!(good.within(&other, None, 0), Err(Refusal::Terms));
        let mut late = policy(2);
        late.schedule.as_mut().expect("one").weekly[0].to_minute = 1200;
        let late = Policy::read(&late.encode_to_vec(), &DEVICE).expect("a policy");
        assert_eq!(
            late.within(&shown, good.hours.as_ref(), 0),
            Err(Refusal::WiderHours)
        );
        assert_eq!(good.within(&shown, late.hours.as_ref(), 0), Ok(()));
    }
}
