//! What the employee decides: grant, refuse, withdraw, pause, mark private.
//!
//! Invariants (wire.md §2): a withdrawal shuts the gate in memory, destroys the key, leaves the gap,
//! and only then asks for a signature; a key store that refuses delays the signed record, nothing else;
//! what was interrupted is finished on the next start.

use mingjing_proto::chain::Link;
use mingjing_proto::pb::{self, Category, Decision};

use super::{Core, name};
use crate::buffer::BufferError;
use crate::consent::{self, Consents, Ground, is_grant};
use crate::policy::Policy;

/// Why a decision could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// No notice or no policy has arrived, so there is nothing to consent to.
    #[error("there is no notice to consent to yet; connect once so that it arrives")]
    NoNotice,
    /// Another notice than the newest was shown.
    #[error("another notice is in force than the one shown; show version {version} and ask again")]
    OtherNotice {
        /// The newest version.
        version: u32,
    },
    /// Not a category of the policy.
    #[error("category {0} is not collected under this policy, so it can't be granted")]
    Category(&'static str),
    /// Nothing was decided.
    #[error("no category was named")]
    Nothing,
    /// No grant waits for a password.
    #[error("no grant waits for a password")]
    NoGrant,
    /// The day's pause is used up.
    #[error("today's pause of {minutes} minutes is used up")]
    Pause {
        /// What the terms allow a day.
        minutes: u32,
    },
    /// The disk or the keys failed. A withdrawal is in force all the same.
    #[error(transparent)]
    Buffer(#[from] BufferError),
}

/// A consent record that lacks its signature.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) consent: pb::Consent,
    pub(crate) payload: Vec<u8>,
}

impl Core {
    /// The policy the employee is asked about: the one offered, or the one in force.
    pub(super) fn shown_policy(&self) -> Option<&Policy> {
        self.offered.as_ref().or(self.policy.as_ref())
    }

    /// Takes a decision as far as it goes without a signature.
    pub(crate) fn choose(&mut self, choice: &pb::ConsentChoice) -> Result<Draft, ChoiceError> {
        if choice.decisions.is_empty() {
            return Err(ChoiceError::Nothing);
        }
        let grants = choice.decisions.iter().any(|it| is_grant(it.decision()));
        if grants {
            self.check_grant(choice)?;
        }
        let ended: Vec<Category> = choice
            .decisions
            .iter()
            .filter(|it| !is_grant(it.decision()))
            .map(pb::CategoryDecision::category)
            .filter(|it| Category::CONSENTED.contains(it))
            .collect();
        if !ended.is_empty() {
            let withdrawn = choice
                .decisions
                .iter()
                .any(|it| it.decision() == Decision::Withdrawn);
            let decision = if withdrawn {
                Decision::Withdrawn
            } else {
                Decision::Refused
            };
            self.end(&ended, decision)?;
        }
        Ok(self.draft(choice))
    }

    fn check_grant(&self, choice: &pb::ConsentChoice) -> Result<(), ChoiceError> {
        let notice = self.notice.as_ref().ok_or(ChoiceError::NoNotice)?;
        let policy = self.shown_policy().ok_or(ChoiceError::NoNotice)?;
        let version = notice.notice.notice.version;
        if (choice.notice_version, &choice.notice_sha256[..])
            != (version, &notice.notice.sha256[..])
        {
            return Err(ChoiceError::OtherNotice { version });
        }
        if notice.notice.notice.terms_sha256 != policy.terms_sha256 {
            return Err(ChoiceError::NoNotice);
        }
        for decision in choice.decisions.iter().filter(|it| is_grant(it.decision())) {
            let category = decision.category();
            if !Category::CONSENTED.contains(&category) || !policy.allows(category) {
                return Err(ChoiceError::Category(category.into()));
            }
        }
        Ok(())
    }

    fn draft(&self, choice: &pb::ConsentChoice) -> Draft {
        let notice = self.notice.as_ref();
        let ground = Ground {
            person: &self.person,
            device_id: &self.device_id,
            public_key_spki: &self.spki,
            notice: notice.map_or_else(Default::default, |it| {
                (it.notice.notice.version, it.notice.sha256)
            }),
            policy: self.shown_policy(),
        };
        let previous = &self.consents.previous_sha256;
        let (consent, payload) = consent::record(&ground, choice, self.time.now(), previous);
        Draft { consent, payload }
    }

    /// Gate, key, gap: everything of a withdrawal or refusal but the signed record.
    fn end(&mut self, categories: &[Category], decision: Decision) -> Result<(), BufferError> {
        self.consents.end(categories, decision);
        self.consents
            .unsigned
            .extend(categories.iter().map(|it| *it as i32));
        self.proofs.grant = None;
        self.consents.refusal.clear();
        let mut categories = categories.to_vec();
        if !self.consents.any() {
            categories.push(Category::Device);
        }
        // One slot that can't be overwritten does not keep the others: the gate is shut for all of them.
        let mut destroyed = Ok(());
        for category in &categories {
            destroyed = destroyed.and(self.keys.destroy(*category));
        }
        self.unwritten
            .retain(|it| !categories.contains(&it.category()));
        self.forget_all();
        for category in &categories {
            self.buffer.withdraw(&self.keys, *category)?;
        }
        self.store_consents()?;
        Ok(destroyed?)
    }

    /// Another enrolment than the one decided for, of another device or person: it begins without a
    /// consent, and nothing captured under the earlier one is sent under the new one.
    pub(super) fn begin_enrolment(&mut self, genesis: Link) -> Result<(), BufferError> {
        if self.consents.device_id == self.device_id {
            return Ok(());
        }
        if !self.consents.device_id.is_empty() {
            tracing::warn!("this phone was enrolled again: consent has to be given anew");
            self.end(&Category::CONSENTED, Decision::Withdrawn)?;
            self.buffer.forget_consents(&self.keys)?;
            let position = self.buffer.position();
            let after_seq = position.first_seq - 1;
            let epoch = position.epoch + 1;
            self.buffer.relink(&self.keys, epoch, after_seq, genesis)?;
        }
        self.consents = Consents {
            device_id: self.device_id.clone(),
            ..if self.consents.device_id.is_empty() {
                self.consents.clone()
            } else {
                Consents::default()
            }
        };
        self.store_consents()
    }

    pub(super) fn store_consents(&mut self) -> Result<(), BufferError> {
        let consents = self.consents.clone();
        self.store(name::CONSENT, &consents)
    }

    /// Finishes what an interruption left: a granted category without a key was being withdrawn.
    pub(super) fn finish_withdrawals(&mut self) -> Result<(), BufferError> {
        let granted: Vec<Category> = self
            .consents
            .grants
            .iter()
            .map(|it| it.category())
            .collect();
        let lost: Vec<Category> = granted
            .into_iter()
            .filter(|it| self.keys.get(*it).is_none())
            .collect();
        if !lost.is_empty() {
            tracing::warn!(categories = lost.len(), "finishing a withdrawal");
            self.end(&lost, Decision::Withdrawn)?;
        }
        for category in Category::CONSENTED.into_iter().chain([Category::Device]) {
            if self.keys.get(category).is_none() && self.buffer.holds(category) {
                self.buffer.withdraw(&self.keys, category)?;
            }
        }
        Ok(())
    }

    /// The record of a withdrawal whose signature is still missing.
    pub(crate) fn unsigned(&self) -> Option<Draft> {
        if self.consents.unsigned.is_empty() {
            return None;
        }
        let decision = |category: &i32| {
            let category = Category::try_from(*category).unwrap_or_default();
            let newest = self.consents.decisions.iter();
            let newest = newest.rev().find(|it| it.category() == category);
            let decision = newest.map_or(Decision::Withdrawn, pb::CategoryDecision::decision);
            pb::CategoryDecision {
                category: category.into(),
                decision: decision.into(),
            }
        };
        let mut decisions: Vec<_> = self.consents.unsigned.iter().map(decision).collect();
        decisions.dedup();
        Some(self.draft(&pb::ConsentChoice {
            decisions,
            language: self.consents.language.clone(),
            given_how: "finished".to_owned(),
            ..Default::default()
        }))
    }

    /// Appends a signed consent record; returns its seq.
    pub(crate) fn decided(&mut self, draft: Draft, signature: Vec<u8>) -> Result<u64, BufferError> {
        let Draft { consent, payload } = draft;
        let decided: Vec<Category> = consent.decisions.iter().map(|it| it.category()).collect();
        let signed = pb::DeviceSigned {
            payload: payload.clone(),
            signature,
        };
        let body = pb::control::Body::Consent(signed);
        let seq = self.append_control(body, decided.clone())?;
        if consent.decisions.iter().any(|it| !is_grant(it.decision())) {
            self.ended_at = (self.buffer.position().epoch, seq);
        }
        self.consents.note(&consent, &payload);
        self.consents
            .unsigned
            .retain(|it| !decided.iter().any(|category| *category as i32 == *it));
        if consent.decisions.iter().any(|it| is_grant(it.decision())) {
            let schedule = self
                .shown_policy()
                .and_then(|it| it.policy.schedule.clone());
            self.consents.wait_for_receipt(&consent, &payload, schedule);
        }
        self.store_consents()?;
        tracing::info!(seq, "consent recorded");
        Ok(seq)
    }

    /// Keeps the password of the grant that waits until the session has sent it.
    pub(crate) fn prove_grant(&mut self, proof: pb::GrantProof) -> Result<(), ChoiceError> {
        let password = zeroize::Zeroizing::new(proof.password);
        if self.consents.pending.is_none() {
            return Err(ChoiceError::NoGrant);
        }
        let named = self.pending_place();
        if proof.consent_seq != 0 && named.is_none_or(|(_, seq)| seq != proof.consent_seq) {
            return Err(ChoiceError::NoGrant);
        }
        self.proofs.grant = Some(super::GrantProof {
            attempt: crate::keys::random::<16>().to_vec(),
            password,
        });
        self.consents.refusal.clear();
        Ok(())
    }

    /// Epoch and seq of the grant that waits.
    pub(crate) fn pending_place(&self) -> Option<(u64, u64)> {
        let pending = self.consents.pending.as_ref()?;
        let category = Category::try_from(*pending.categories.first()?).ok()?;
        let consents = self.buffer.consents(&self.keys).ok()?;
        let (_, newest) = consents.into_iter().find(|(it, _)| *it == category)?;
        Some((newest.epoch, newest.seq))
    }

    /// Starts or ends a pause (requirements O5). A longer one than the day has left is cut.
    pub(crate) fn pause(&mut self, minutes: u32) -> Result<(), ChoiceError> {
        let now_ms = self.time.now().at_ms;
        let policy = self.policy.as_ref();
        let date = policy
            .and_then(|it| it.hours.as_ref())
            .map_or_else(|| crate::utc_day(now_ms), |hours| hours.date(now_ms));
        let allowed = policy.map_or(0, |it| it.terms.pause_minutes_per_day);
        let mut pause = self.pause;
        let ended_ms = pause.until_ms.min(now_ms);
        pause.used_ms = if pause.date == date {
            pause.used_ms + (ended_ms - pause.since_ms).max(0)
        } else {
            0
        };
        pause.date = date;
        pause.since_ms = now_ms;
        let left_ms = i64::from(allowed) * 60_000 - pause.used_ms;
        if minutes > 0 && left_ms <= 0 {
            return Err(ChoiceError::Pause { minutes: allowed });
        }
        pause.until_ms = now_ms + (i64::from(minutes) * 60_000).min(left_ms.max(0));
        self.store(name::PAUSE, &pause)?;
        self.pause = pause;
        self.forget_all();
        Ok(())
    }

    /// Marks a conversation private, or takes the mark back (requirements P5).
    pub(crate) fn mark_private(&mut self, mark: pb::PrivateMark) -> Result<(), BufferError> {
        let mut private = self.private.clone();
        private
            .marks
            .retain(|it| (&it.account, &it.conversation) != (&mark.account, &mark.conversation));
        if !mark.remove {
            private.marks.push(mark);
        }
        self.store(name::PRIVATE, &private)?;
        self.private = private;
        Ok(())
    }
}
