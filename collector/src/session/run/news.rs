//! What a session tells the employee beside the acknowledgements: findings about him, and who read him.
//!
//! Invariants: what is told comes from the stored findings and from the audit log itself, so a phone
//! that was away, or whose session broke, is told when it comes back; it names in its hello what it has.

use std::collections::HashMap;

use mingjing_proto::pb::{self, to_device};

use super::Session;
use crate::access;
use crate::audit::checkpoints;
use crate::error::{Error, Result};
use crate::findings::{self, Finding};

/// Findings and readings told at once, the newest: as many as a phone keeps.
const TOLD: i64 = 64;
/// A finding may be committed this long after its own time stamp.
const LATE_MS: i64 = 60_000;
/// Chains a hello may name.
const CHAINS: usize = 64;

/// What a phone has been told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Newest reading by collector.
    reads: HashMap<String, i64>,
    findings_ms: i64,
    english: bool,
}

impl Told {
    /// As the phone's hello says.
    pub(super) fn from_hello(hello: &pb::Hello) -> Result<Self> {
        if hello.reads_through.len() > CHAINS {
            return Err(Error::Invalid(
                "a hello names too many audit chains".to_owned(),
            ));
        }
        let reads = hello.reads_through.iter();
        Ok(Self {
            reads: reads
                .map(|at| (at.collector.clone(), at.seq.cast_signed()))
                .collect(),
            findings_ms: hello.findings_through_ms,
            english: hello.language == "en",
        })
    }
}

impl Session {
    /// Tells what is new since the last time.
    pub(super) async fn tell_news(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let person = self.view.device.person.clone();
        let since_ms = self.told.findings_ms - LATE_MS;
        let (changed, readings) = {
            let db = &mut *shared.db.reader().acquire().await?;
            (
                findings::changed_since(&mut *db, &person, since_ms, TOLD).await?,
                access::readings_of(db, &person, TOLD).await?,
            )
        };
        for finding in changed {
            let changed_ms = finding.changed_ms;
            let notice = self.notice(&finding);
            self.send(to_device::Body::FindingNotice(notice)).await?;
            self.told.findings_ms = self.told.findings_ms.max(changed_ms);
        }
        let known = |reading: &access::Receipt| {
            let through = self.told.reads.get(&reading.collector);
            through.is_some_and(|through| reading.seq <= *through)
        };
        let new: Vec<_> = readings.into_iter().filter(|it| !known(it)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let newest: HashMap<_, _> = checkpoints::newest(&shared.db).await?.into_iter().collect();
        for reading in new {
            let receipt = pb::ReadReceipt {
                at_ms: reading.at_ms,
                reader_role: reading.role,
                reason: reading.reason,
                what: reading.what,
                audit_checkpoint: newest.get(&reading.collector).cloned(),
                collector: reading.collector.clone(),
                audit_seq: reading.seq.cast_unsigned(),
            };
            self.send(to_device::Body::ReadReceipt(receipt)).await?;
            self.told.reads.insert(reading.collector, reading.seq);
        }
        Ok(())
    }

    fn notice(&self, finding: &Finding) -> pb::FindingNotice {
        pb::FindingNotice {
            finding_id: hex::encode(finding.id),
            rule_id: finding.rule.clone(),
            rule_title: self.title(&finding.rule),
            at_ms: finding.at_ms,
            state: finding.state.name().to_owned(),
            through_ms: finding.changed_ms,
        }
    }

    /// The rule in the phone's language; its id when it is not in force any more.
    pub(super) fn title(&self, rule: &str) -> String {
        let rules = self.shared.rules();
        let found = rules.rule(rule).map(|it| {
            if self.told.english {
                it.title_en.clone()
            } else {
                it.title_zh.clone()
            }
        });
        found.unwrap_or_else(|| rule.to_owned())
    }
}
