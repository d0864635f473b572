//! What the collector sends down: signed things that may take force, and letters.
//!
//! Invariants: a signed message counts only after its signature, its kind and its contents were
//! checked; what is refused changes nothing and is reported with its reason; a pack replaces the other
//! whole or not at all.

use std::sync::Arc;

use mingjing_proto::pb::{self, Category, SignedKind};
use prost::Message;

use super::letters::keep;
use super::{Core, CurrentNotice, StoredNotice, name};
use crate::buffer::{BufferError, Retimed};
use crate::hours::Hours;
use crate::identity::{self};
use crate::pack::PackSet;
use crate::policy::{Notice, Policy, Refusal};

impl Core {
    /// Takes the server's time and re-times what was captured without an anchor (wire.md §6).
    pub(crate) fn anchored(&mut self, server_ms: i64) -> Result<(), BufferError> {
        let last_known_ms = self.time.last_known_ms();
        let anchor = self.time.anchor(server_ms);
        self.store(name::ANCHOR, &anchor)?;
        let hours = self.policy.as_ref().and_then(|it| it.hours.clone());
        let base_ms = anchor.server_ms - anchor.elapsed_ms.cast_signed();
        self.buffer.retime(&self.keys, |unanchored, activity| {
            if unanchored.boot_id != anchor.boot_id {
                // A boot that never got an anchor keeps its wall clock where the anchors around it
                // allow; the collector refuses what it can't believe.
                let between = (last_known_ms..=server_ms).contains(&activity.at_ms);
                if !between {
                    tracing::warn!("an event of an unanchored boot lies outside its anchors");
                }
                activity.time_source = pb::TimeSource::Wall.into();
                return Retimed::Keep;
            }
            let shift_ms = base_ms - unanchored.offset_ms;
            activity.at_ms += shift_ms;
            activity.wall_delta_ms -= shift_ms;
            if let Some(interval) = &mut activity.interval {
                interval.from_ms += shift_ms;
                interval.to_ms += shift_ms;
            }
            activity.time_source = pb::TimeSource::Anchored.into();
            match &hours {
                Some(hours) if hours.contains(activity.at_ms) => Retimed::Keep,
                _ => Retimed::Drop,
            }
        })
    }

    /// Takes a message of the collector. Whether the app should see it.
    pub(crate) fn receive(
        &mut self,
        message: &pb::ToDevice,
        roots: &[Vec<u8>],
    ) -> Result<bool, BufferError> {
        use pb::to_device::Body;
        let mut letters = self.letters.clone();
        match &message.body {
            Some(Body::Signed(signed)) => return self.signed(signed, roots),
            Some(Body::LetterReceived(it)) => return self.letter_received(it),
            Some(Body::FindingNotice(it)) => {
                // Sent again after every break: what is known changes nothing and is not shown again.
                let known = letters
                    .findings
                    .iter()
                    .any(|other| other.finding_id == it.finding_id && other.state == it.state);
                if known && letters.findings_through_ms >= it.through_ms {
                    return Ok(false);
                }
                letters.findings_through_ms = letters.findings_through_ms.max(it.through_ms);
                if !known {
                    let same = |other: &pb::FindingNotice| other.finding_id == it.finding_id;
                    letters.findings.retain(|other| !same(other));
                    keep(&mut letters.findings, it.clone());
                }
                self.keep_letters(letters)?;
                return Ok(!known);
            }
            Some(Body::ReadReceipt(it)) => {
                if let Some(signed) = &it.audit_checkpoint {
                    self.signed(signed, roots)?;
                    letters = self.letters.clone();
                }
                let through = &mut letters.reads_through;
                match through.iter_mut().find(|at| at.collector == it.collector) {
                    // One chain's receipts come in order: an older one has come before.
                    Some(at) if it.audit_seq != 0 && it.audit_seq <= at.seq => return Ok(false),
                    Some(at) => at.seq = at.seq.max(it.audit_seq),
                    None => through.push(pb::AuditPosition {
                        collector: it.collector.clone(),
                        seq: it.audit_seq,
                    }),
                }
                keep(&mut letters.read, it.clone());
            }
            Some(Body::Coaching(it)) => {
                letters.coaching.retain(|other| other.id != it.id);
                keep(&mut letters.coaching, it.clone());
            }
            Some(Body::Directive(it)) => {
                letters.directives.retain(|other| other.id != it.id);
                keep(&mut letters.directives, it.clone());
            }
            Some(
                Body::Welcome(_)
                | Body::Ack(_)
                | Body::Resume(_)
                | Body::NewEpoch(_)
                | Body::Superseded(_),
            )
            | None => return Ok(false),
        }
        self.keep_letters(letters)?;
        Ok(true)
    }

    pub(crate) fn signed(
        &mut self,
        signed: &pb::Signed,
        roots: &[Vec<u8>],
    ) -> Result<bool, BufferError> {
        let kind = match identity::verify(signed, roots, self.time.now().at_ms) {
            Ok(kind) => kind,
            Err(error) => {
                self.problem(format!("a signed message was refused: {error}"));
                return Ok(false);
            }
        };
        let bytes = &signed.payload;
        match kind {
            SignedKind::Policy => self.take_policy(bytes),
            SignedKind::Notice => self.take_notice(bytes),
            SignedKind::Pack => self.take_pack(bytes),
            SignedKind::Scripts => self.take_scripts(bytes),
            SignedKind::ConsentReceipt => self.take_receipt(signed),
            SignedKind::AuditCheckpoint => {
                if let Ok(checkpoint) = pb::AuditCheckpoint::decode(&**bytes) {
                    self.witness(checkpoint, signed.clone())?;
                }
                Ok(false)
            }
            SignedKind::Unspecified => Ok(false),
        }
    }

    fn refused(
        &mut self,
        what: &str,
        version: u32,
        refusal: &Refusal,
    ) -> Result<bool, BufferError> {
        self.problem(format!("{what} {version} was refused: {refusal}"));
        Ok(false)
    }

    fn take_policy(&mut self, bytes: &[u8]) -> Result<bool, BufferError> {
        let version = pb::Policy::decode(bytes).map_or(0, |it| it.version);
        let policy = match Policy::read(bytes, &self.device_id) {
            Ok(policy) => policy,
            Err(refusal) => return self.refused("policy", version, &refusal),
        };
        match policy.replaces(self.shown_policy()) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(refusal) => return self.refused("policy", version, &refusal),
        }
        let name = name::OFFERED;
        self.buffer
            .set_state(&self.keys, &[(name, Some(bytes.to_vec()))])?;
        self.offered = Some(policy);
        self.weigh_offered()
    }

    /// Puts the offered policy in force if the newest notice and the consent allow it; otherwise it
    /// waits for a notice, or for a consent given with it on the screen.
    fn weigh_offered(&mut self) -> Result<bool, BufferError> {
        let (Some(offered), Some(notice)) = (&self.offered, &self.notice) else {
            return Ok(false);
        };
        let pending = self.consents.pending.as_ref();
        let asked = pending
            .and_then(|it| it.schedule.as_ref())
            .map(Hours::agreed);
        let consented = self.agreed.as_ref().or(asked.as_ref());
        let now_ms = self.time.now().at_ms;
        if let Err(refusal) = offered.within(&notice.notice, consented, now_ms) {
            let version = offered.policy.version;
            return self.refused("policy", version, &refusal);
        }
        self.put_in_force()?;
        Ok(true)
    }

    fn put_in_force(&mut self) -> Result<(), BufferError> {
        let Some(offered) = self.offered.take() else {
            return Ok(());
        };
        let bytes = self.buffer.state(&self.keys, name::OFFERED)?;
        let accepted = pb::PolicyAccepted {
            version: offered.policy.version,
            sha256: offered.sha256.to_vec(),
        };
        self.append_control(pb::control::Body::PolicyAccepted(accepted), Vec::new())?;
        let values = [(name::POLICY, bytes), (name::OFFERED, None)];
        self.buffer.set_state(&self.keys, &values)?;
        self.watch.keep_only(&offered.policy.accounts);
        tracing::info!(version = offered.policy.version, "policy in force");
        self.policy = Some(offered);
        Ok(())
    }

    fn take_notice(&mut self, bytes: &[u8]) -> Result<bool, BufferError> {
        let version = pb::Notice::decode(bytes).map_or(0, |it| it.version);
        let notice = match Notice::read(bytes) {
            Ok(notice) => notice,
            Err(refusal) => return self.refused("notice", version, &refusal),
        };
        match notice.replaces(self.notice.as_ref().map(|it| &it.notice)) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(refusal) => return self.refused("notice", version, &refusal),
        }
        let now = self.time.now();
        let received = pb::NoticeReceived {
            version,
            sha256: notice.sha256.to_vec(),
            at_ms: now.at_ms,
            boot_id: now.boot_id.to_vec(),
            elapsed_ms: now.elapsed_ms,
        };
        self.append_control(pb::control::Body::NoticeReceived(received), Vec::new())?;
        let stored = StoredNotice {
            bytes: bytes.to_vec(),
            received_ms: now.at_ms,
        };
        let previous = self.buffer.state(&self.keys, name::NOTICE)?;
        let values = [
            (name::PREVIOUS_NOTICE, previous),
            (name::NOTICE, Some(stored.encode_to_vec())),
        ];
        self.buffer.set_state(&self.keys, &values)?;
        self.notice = Some(CurrentNotice {
            notice,
            received_ms: now.at_ms,
        });
        tracing::info!(version, "notice received");
        self.weigh_offered()?;
        Ok(true)
    }

    fn take_pack(&mut self, bytes: &[u8]) -> Result<bool, BufferError> {
        let Ok(pack) = pb::Pack::decode(bytes) else {
            return self.refused("pack", 0, &Refusal::Unreadable);
        };
        let have = self.packs.version();
        if pack.version <= have {
            if pack.version < have {
                let offered = pack.version;
                return self.refused("pack", offered, &Refusal::Older { offered, have });
            }
            return Ok(false);
        }
        if let Err(problem) = self.use_pack(&pack) {
            self.problem(problem);
            return Ok(false);
        }
        self.store(name::PACK, &pack)?;
        Ok(false)
    }

    /// Swaps the packs; a pack that does not compile changes nothing.
    pub(super) fn use_pack(&mut self, pack: &pb::Pack) -> Result<(), String> {
        let files: Vec<(String, String)> = pack
            .files
            .iter()
            .map(|file| (file.name.clone(), file.json.clone()))
            .collect();
        if pack.version <= self.packs.version() {
            return Ok(());
        }
        let packs = PackSet::from_files(pack.version, &files)
            .map_err(|error| format!("pack {} was refused: {error}", pack.version))?;
        self.packs = Arc::new(packs);
        for recogniser in self.recognisers.values_mut() {
            recogniser.set_packs(self.packs.clone());
        }
        tracing::info!(version = pack.version, "recognition pack in force");
        Ok(())
    }

    fn take_scripts(&mut self, bytes: &[u8]) -> Result<bool, BufferError> {
        let Ok(scripts) = pb::Scripts::decode(bytes) else {
            return self.refused("scripts", 0, &Refusal::Unreadable);
        };
        let have = self.letters.scripts.as_ref().map_or(0, |it| it.version);
        if scripts.version <= have {
            return Ok(false);
        }
        let mut letters = self.letters.clone();
        letters.scripts = Some(scripts);
        self.keep_letters(letters)?;
        Ok(true)
    }

    /// The countersigned answer to a grant: keys are made, the gate opens.
    fn take_receipt(&mut self, signed: &pb::Signed) -> Result<bool, BufferError> {
        let Ok(receipt) = pb::ConsentReceipt::decode(&*signed.payload) else {
            return self.refused("receipt", 0, &Refusal::Unreadable);
        };
        if !self.consents.is_for_pending(&receipt) {
            return Ok(true);
        }
        self.proofs.grant = None;
        self.consents.receipt = Some(signed.clone());
        let Some(pending) = self.consents.pending.clone() else {
            return Ok(true);
        };
        if !receipt.accepted {
            self.consents.refusal.clone_from(&receipt.refusal);
            // A mistyped password may be typed again; anything else needs a new record.
            if !matches!(receipt.refusal.as_str(), "password" | "rate") {
                self.consents.pending = None;
            }
            self.store_consents()?;
            return Ok(true);
        }
        let categories = pending.categories.iter();
        let categories = categories.filter_map(|it| Category::try_from(*it).ok());
        for category in categories.chain([Category::Device]) {
            self.keys.make(category)?;
        }
        let shown = self
            .offered
            .as_ref()
            .is_some_and(|it| it.sha256[..] == pending.policy_sha256[..]);
        if shown {
            self.put_in_force()?;
        }
        let now_ms = self.time.now().at_ms;
        self.consents.accept(pending, now_ms);
        self.agreed = self.consents.schedule.as_ref().map(Hours::agreed);
        self.store_consents()?;
        tracing::info!("consent in force");
        Ok(true)
    }
}
