//! What others may know of the agent: the session's greeting and status, and the app's view.
//!
//! Invariant: the view the app gets holds the employee's own data; the status the collector gets holds
//! counts, versions and reasons only.

use std::collections::BTreeMap;

use mingjing_proto::manifest;
use mingjing_proto::pb::{self, Category};
use mingjing_proto::vocabulary::Named;
use prost::Message;
use serde::Serialize;

use super::{Core, StoredNotice, name};
use crate::buffer::BufferError;
use crate::notice::{self, Rendered};
use crate::policy::Notice;

/// The agent as the app and the command line see it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// `capturing`, or why not: `no_notice no_consent notice_superseded no_schedule off_hours paused
    /// permission_missing off_account`.
    pub state: &'static str,
    /// `connected`, or why not: `connecting waiting pending revoked superseded stopped`.
    pub session: &'static str,
    /// Why the last attempt to connect failed, empty when it did not.
    pub session_problem: String,
    /// Device id, hexadecimal.
    pub device: String,
    /// The company.
    pub company: String,
    /// The six digits to confirm in the console, empty once confirmed.
    pub confirmation_code: String,
    /// Newest decision per category.
    pub consent: BTreeMap<&'static str, &'static str>,
    /// Categories in force.
    pub granted: Vec<&'static str>,
    /// `none`, `waiting` for the receipt, or why it was not accepted.
    pub grant: String,
    /// Notice in force, 0 none.
    pub notice_version: u32,
    /// Its SHA-256, hexadecimal.
    pub notice_sha256: String,
    /// Policy in force, 0 none.
    pub policy_version: u32,
    /// Policy that waits for a notice or a consent, 0 none.
    pub policy_offered: u32,
    /// Recognition pack in force.
    pub pack_version: u32,
    /// Accounts proven now.
    pub proven: Vec<String>,
    /// Epoch of the chain.
    pub epoch: u64,
    /// Last seq given out.
    pub head_seq: u64,
    /// Last seq acknowledged.
    pub acked_seq: u64,
    /// Events waiting to be acknowledged.
    pub queued_events: u64,
    /// Their bytes on disk.
    pub queued_bytes: u64,
    /// Events waiting, by category.
    pub queued: BTreeMap<&'static str, u64>,
    /// Events the collector has, by category, since enrolment.
    pub sent: BTreeMap<&'static str, u64>,
    /// Dropped since start, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// What Android lets us do, as far as known.
    pub permissions: BTreeMap<String, bool>,
    /// Versions of the two apps.
    pub app_versions: BTreeMap<String, String>,
    /// Until when the employee pauses capture, 0 when not.
    pub paused_until_ms: i64,
    /// Event time of the last signal.
    pub last_signal_ms: i64,
    /// Event time of the last acknowledgement.
    pub last_upload_ms: i64,
    /// A held record: its seq and the reason, while the collector waits for a repair.
    pub held: Option<(u64, &'static str)>,
    /// Events the collector refused for good in this run.
    pub refused_events: u64,
    /// What the company sent and was refused.
    pub problems: Vec<String>,
    /// Highest input line of a replay on the disk.
    pub input_line: u64,
    /// When the certificate ends.
    pub certificate_until_ms: i64,
    /// Letters the employee wrote that the collector does not have yet.
    pub letters_waiting: usize,
    /// Audit checkpoints witnessed.
    pub checkpoints: usize,
    /// What in the collector's audit log contradicts what it showed before; empty when nothing does.
    pub audit_contradiction: String,
}

/// Something that passed between the employee and the collector.
#[derive(Clone, Debug)]
pub enum Letter {
    /// A finding about the employee.
    Finding(pb::FindingNotice),
    /// Somebody read the employee's data.
    Read(pb::ReadReceipt),
    /// A note of a manager.
    Coaching(pb::Coaching),
    /// A task.
    Directive(pb::Directive),
}

fn by_name(counts: &[(Category, u64)]) -> BTreeMap<&'static str, u64> {
    let counts = counts.iter();
    counts
        .map(|(category, events)| (category.name(), *events))
        .collect()
}

impl Core {
    /// Why nothing is captured, or that it is.
    pub(crate) fn state(&self) -> &'static str {
        let now_ms = self.time.now().at_ms;
        if self.notice.is_none() || self.policy.is_none() {
            return "no_notice";
        }
        if let Err(reason) = self.gate(now_ms).moment(now_ms, true) {
            return if reason == crate::scope::Drop::NoPolicy {
                "no_schedule"
            } else {
                reason.into()
            };
        }
        if !self.permissions.is_empty() && self.permissions.values().all(|on| !on) {
            return "permission_missing";
        }
        if self.proven().is_empty() {
            return "off_account";
        }
        "capturing"
    }

    fn proven(&self) -> Vec<String> {
        let accounts = self
            .policy
            .as_ref()
            .map_or(&[][..], |it| &it.policy.accounts);
        accounts
            .iter()
            .filter(|account| {
                let place = (account.package.clone(), account.user);
                let proven = self.watch.proven(&place);
                proven.is_some_and(|proven| proven.account == account.id)
            })
            .map(|account| account.id.clone())
            .collect()
    }

    /// The session's greeting.
    pub(crate) fn hello(&self) -> Result<pb::Hello, BufferError> {
        let position = self.buffer.position();
        let now = self.time.now();
        let mut consents: Vec<pb::NewestConsent> = Vec::new();
        for (_, mut newest) in self.buffer.consents(&self.keys)? {
            let signed = newest.consent.as_ref();
            newest.receipt = signed.and_then(|it| self.consents.receipt_of(it).cloned());
            if !consents.contains(&newest) {
                consents.push(newest);
            }
        }
        Ok(pb::Hello {
            agent_version: crate::VERSION.to_owned(),
            protocol: mingjing_proto::PROTOCOL,
            manifest_sha256: manifest::SHA256.to_vec(),
            epoch: position.epoch,
            first_seq: position.first_seq,
            link_before: position.link_before.to_vec(),
            head_seq: position.head_seq,
            head_link: position.head_link.to_vec(),
            policy_version: self.policy.as_ref().map_or(0, |it| it.policy.version),
            pack_version: self.packs.version(),
            notice_version: self.received().map_or(0, |it| it.version),
            boot_id: now.boot_id.to_vec(),
            elapsed_ms: now.elapsed_ms,
            wall_ms: now.wall_ms,
            consents,
            language: self.language.clone(),
            reads_through: self.letters.reads_through.clone(),
            findings_through_ms: self.letters.findings_through_ms,
            policy_sha256: self
                .policy
                .as_ref()
                .map_or_else(Vec::new, |it| it.sha256.to_vec()),
        })
    }

    /// The status message for the collector.
    pub(crate) fn report(&self) -> pb::Status {
        let queue = self.buffer.queue();
        let dropped = self.drops.iter();
        pb::Status {
            permissions: self.permissions.clone().into_iter().collect(),
            queued_events: queue.events,
            queued_bytes: queue.bytes,
            dropped: dropped
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            app_versions: self.app_versions.clone().into_iter().collect(),
            state: self.state().to_owned(),
            pack_version: self.packs.version(),
            pack_problems: self.problems.iter().cloned().collect(),
            last_signal_ms: self.last_signal_ms,
            audit_contradicted_ms: self.contradicted_ms(),
            pack_fit: self
                .app_versions
                .iter()
                .map(|(package, version)| {
                    let fit = self.packs.fit(package, version).to_owned();
                    (package.clone(), fit)
                })
                .collect(),
        }
    }

    /// The app's view; the session and the certificate are filled in by the agent.
    pub(crate) fn status(&self) -> Status {
        let position = self.buffer.position();
        let queue = self.buffer.queue();
        let decisions = self.consents.decisions.iter();
        let granted = self.consents.grants.iter();
        let notice = self.notice.as_ref();
        Status {
            state: self.state(),
            consent: decisions
                .map(|it| (it.category().name(), it.decision().name()))
                .collect(),
            granted: granted.map(|it| it.category().name()).collect(),
            grant: match (&self.consents.pending, self.consents.refusal.as_str()) {
                (_, refusal) if !refusal.is_empty() => refusal.to_owned(),
                (Some(_), _) => "waiting".to_owned(),
                (None, _) => "none".to_owned(),
            },
            notice_version: notice.map_or(0, |it| it.notice.notice.version),
            notice_sha256: notice.map_or_else(String::new, |it| hex::encode(it.notice.sha256)),
            policy_version: self.policy.as_ref().map_or(0, |it| it.policy.version),
            policy_offered: self.offered.as_ref().map_or(0, |it| it.policy.version),
            pack_version: self.packs.version(),
            proven: self.proven(),
            epoch: position.epoch,
            head_seq: position.head_seq,
            acked_seq: position.first_seq - 1,
            queued_events: queue.events,
            queued_bytes: queue.bytes,
            queued: by_name(&queue.by_category),
            sent: by_name(&queue.sent),
            dropped: self.drops.clone(),
            permissions: self.permissions.clone(),
            app_versions: self.app_versions.clone(),
            paused_until_ms: Some(self.pause.until_ms)
                .filter(|it| *it > self.time.now().at_ms)
                .unwrap_or(0),
            last_signal_ms: self.last_signal_ms,
            problems: self.problems.iter().cloned().collect(),
            input_line: self.buffer.input_line(),
            audit_contradiction: self.contradiction().unwrap_or_default(),
            letters_waiting: self.letters.up.len(),
            checkpoints: self.letters.checkpoints.len(),
            ..Status::default()
        }
    }

    /// The notice to show, with the policy it would be consented with.
    pub(crate) fn notice(&self, language: &str) -> Result<Option<Rendered>, BufferError> {
        let (Some(current), Some(policy)) = (&self.notice, self.shown_policy()) else {
            return Ok(None);
        };
        let previous: Option<StoredNotice> =
            self.buffer.message(&self.keys, name::PREVIOUS_NOTICE)?;
        let previous = previous.and_then(|it| Notice::read(&it.bytes).ok());
        let live = notice::Live {
            permissions: &self.permissions,
            state: self.state(),
            device: mingjing_proto::ids::DeviceId::from_slice(&self.device_id)
                .map(|it| it.to_string())
                .unwrap_or_default(),
        };
        Ok(Some(notice::render(
            &current.notice,
            previous.as_ref(),
            policy,
            &live,
            language,
        )))
    }

    /// Everything the employee may read of what was sent, by category, oldest first.
    pub(crate) fn sent(&self) -> Result<Vec<(Category, pb::Events)>, BufferError> {
        let mut sent = Vec::new();
        for category in Category::CONSENTED.into_iter().chain([Category::Device]) {
            let events = self.buffer.sent(&self.keys, category)?;
            sent.extend(events.into_iter().map(|events| (category, events)));
        }
        Ok(sent)
    }

    /// The newest consent records, as signed.
    pub(crate) fn consent_records(&self) -> Result<Vec<pb::NewestConsent>, BufferError> {
        Ok(self.hello()?.consents)
    }

    /// The newest countersigned receipt.
    pub(crate) fn receipt(&self) -> Option<pb::ConsentReceipt> {
        let signed = self.consents.receipt.as_ref()?;
        pb::ConsentReceipt::decode(&*signed.payload).ok()
    }

    /// Letters received, oldest first within each sort.
    pub(crate) fn letters(&self) -> Vec<Letter> {
        let letters = &self.letters;
        let findings = letters.findings.iter().cloned().map(Letter::Finding);
        let read = letters.read.iter().cloned().map(Letter::Read);
        let coaching = letters.coaching.iter().cloned().map(Letter::Coaching);
        let directives = letters.directives.iter().cloned().map(Letter::Directive);
        findings
            .chain(read)
            .chain(coaching)
            .chain(directives)
            .collect()
    }

    /// The team's approved wordings.
    pub(crate) fn scripts(&self) -> Option<pb::Scripts> {
        self.letters.scripts.clone()
    }

    /// Conversations the employee marked private.
    pub(crate) fn private_marks(&self) -> Vec<pb::PrivateMark> {
        self.private.marks.clone()
    }

    /// Audit checkpoints witnessed, as signed: the file `audit verify --witness` reads.
    pub(crate) fn checkpoints(&self) -> Vec<pb::Signed> {
        self.letters.signed_checkpoints.clone()
    }
}
