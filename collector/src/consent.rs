//! What employees consented to, per category and place of the chain (wire.md §5, requirements K).
//! Owns `consents` and `consent_records`.
//!
//! Invariants: a grant counts only after its password was verified and a receipt signed; a withdrawal or
//! refusal counts at once, however it arrived; the latest decision before a seq decides that seq.

use std::collections::BTreeMap;

use mingjing_proto::chain::sha256;
use mingjing_proto::device_signed::{self, Purpose};
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Category, Decision, SignedKind};
use prost::Message;
use sqlx::Row;
use sqlx::any::AnyExecutor;

use crate::audit::Entry;
use crate::db::Tx;
use crate::devices::Device;
use crate::error::{Error, Result};
use crate::{Shared, people};

/// A decision in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What was decided.
    pub decision: Decision,
    /// For grants: whether the receipt was given.
    pub accepted: bool,
    /// The notice it names.
    pub notice_version: u32,
}

/// Everything one phone's holder decided.
#[derive(Clone, Debug, Default)]
pub struct Consents {
    by_category: BTreeMap<i32, BTreeMap<(u64, u64), Decided>>,
}

/// What a seq stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Granted under this notice.
    Granted {
        /// The notice the grant names.
        notice_version: u32,
    },
    /// Never granted, or refused.
    None,
    /// Withdrawn before.
    Withdrawn,
}

impl Consents {
    /// Loads a phone's decisions.
    pub async fn load(db: impl AnyExecutor<'_>, device: DeviceId) -> Result<Self> {
        let rows = sqlx::query(
            "select epoch, seq, category, decision, accepted, notice_version from consents
             where device = $1",
        )
        .bind(&device.0[..])
        .fetch_all(db)
        .await?;
        let mut consents = Self::default();
        for row in &rows {
            let number = |name: &str| -> Result<i64> { Ok(row.try_get(name)?) };
            let decision = i32::try_from(number("decision")?).unwrap_or(0);
            consents
                .by_category
                .entry(i32::try_from(number("category")?).unwrap_or(0))
                .or_default()
                .insert(
                    (
                        u64::try_from(number("epoch")?).unwrap_or(0),
                        u64::try_from(number("seq")?).unwrap_or(0),
                    ),
                    Decided {
                        decision: Decision::try_from(decision).unwrap_or(Decision::Unspecified),
                        accepted: number("accepted")? == 1,
                        notice_version: u32::try_from(number("notice_version")?).unwrap_or(0),
                    },
                );
        }
        Ok(consents)
    }

    fn of(&self, category: Category, epoch: u64, seq: u64) -> Standing {
        let latest = self
            .by_category
            .get(&(category as i32))
            .and_then(|decisions| decisions.range(..(epoch, seq)).next_back());
        match latest {
            Some((_, decided)) => match decided.decision {
                Decision::Granted | Decision::Reconfirmed if decided.accepted => {
                    Standing::Granted {
                        notice_version: decided.notice_version,
                    }
                }
                Decision::Withdrawn => Standing::Withdrawn,
                Decision::Granted
                | Decision::Reconfirmed
                | Decision::Refused
                | Decision::Unspecified => Standing::None,
            },
            None => Standing::None,
        }
    }

    /// What an event of `category` at this place stands under. Device events stand under any grant.
    pub fn standing(&self, category: Category, epoch: u64, seq: u64) -> Standing {
        if category != Category::Device {
            return self.of(category, epoch, seq);
        }
        let mut standing = Standing::None;
        for other in Category::CONSENTED {
            match self.of(other, epoch, seq) {
                granted @ Standing::Granted { .. } => return granted,
                Standing::Withdrawn => standing = Standing::Withdrawn,
                Standing::None => {}
            }
        }
        standing
    }

    /// The newest decision per category, `None` where nothing was decided; for pages.
    pub fn newest(&self) -> Vec<(Category, Option<Decided>)> {
        Category::CONSENTED
            .into_iter()
            .map(|category| {
                let decisions = self.by_category.get(&(category as i32));
                let newest = decisions.and_then(|it| it.values().next_back());
                (category, newest.copied())
            })
            .collect()
    }

    /// Adds a record's decisions. Grants wait for their proof.
    pub fn add(&mut self, place: (u64, u64), record: &Record) {
        for &(category, decision) in &record.decisions {
            self.by_category
                .entry(category as i32)
                .or_default()
                .entry(place)
                .or_insert(Decided {
                    decision,
                    accepted: !is_grant(decision),
                    notice_version: record.consent.notice_version,
                });
        }
    }

    /// A grant's proof or receipt was found good.
    pub fn accept(&mut self, place: (u64, u64)) {
        for decisions in self.by_category.values_mut() {
            if let Some(decided) = decisions.get_mut(&place) {
                decided.accepted = true;
            }
        }
    }
}

fn is_grant(decision: Decision) -> bool {
    matches!(decision, Decision::Granted | Decision::Reconfirmed)
}

/// A consent record whose signature was verified.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it says.
    pub consent: pb::Consent,
    /// Its decisions; unknown categories are left out.
    pub decisions: Vec<(Category, Decision)>,
    signed: pb::DeviceSigned,
}

impl Record {
    /// Checks the signature and that the record is about this device.
    pub fn verify(signed: &pb::DeviceSigned, device: &Device) -> Result<Self> {
        let bytes = Purpose::Consent.bytes(&signed.payload);
        device_signed::verify(&device.point, &bytes, &signed.signature).map_err(|_| {
            Error::Invalid("a consent record is not signed by this phone".to_owned())
        })?;
        let consent = pb::Consent::decode(&*signed.payload)
            .map_err(|_| Error::Invalid("a consent record does not decode".to_owned()))?;
        if consent.device_id != device.device.0 {
            return Err(Error::Invalid(
                "a consent record names another phone".to_owned(),
            ));
        }
        let decisions = consent
            .decisions
            .iter()
            .filter_map(|decision| {
                let category = Category::try_from(decision.category).ok()?;
                let decided = Decision::try_from(decision.decision).ok()?;
                let counts =
                    Category::CONSENTED.contains(&category) && decided != Decision::Unspecified;
                counts.then_some((category, decided))
            })
            .collect();
        Ok(Self {
            consent,
            decisions,
            signed: signed.clone(),
        })
    }

    /// Whether anything in it needs a proof and a receipt.
    pub fn grants(&self) -> bool {
        self.decisions
            .iter()
            .any(|(_, decision)| is_grant(*decision))
    }
}

/// Stores a record in its place; a second time changes nothing.
pub async fn store(
    tx: &mut Tx,
    device: DeviceId,
    place: (u64, u64),
    record: &Record,
) -> Result<()> {
    let (epoch, seq) = place;
    sqlx::query(
        "insert into consent_records (device, epoch, seq, payload, signature, receipt)
         values ($1, $2, $3, $4, $5, null) on conflict do nothing",
    )
    .bind(&device.0[..])
    .bind(epoch.cast_signed())
    .bind(seq.cast_signed())
    .bind(&record.signed.payload)
    .bind(&record.signed.signature)
    .execute(&mut **tx)
    .await?;
    for &(category, decision) in &record.decisions {
        sqlx::query(
            "insert into consents (device, epoch, seq, category, decision, accepted, notice_version,
             consent_id, at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing",
        )
        .bind(&device.0[..])
        .bind(epoch.cast_signed())
        .bind(seq.cast_signed())
        .bind(i64::from(category as i32))
        .bind(i64::from(decision as i32))
        .bind(i64::from(!is_grant(decision)))
        .bind(i64::from(record.consent.notice_version))
        .bind(&record.consent.consent_id)
        .bind(record.consent.at_ms)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// A grant whose receipt was lost here, as by restoring an older backup, counts again by the receipt its
/// phone kept: the company's own signature over this very record. Whether it does.
pub async fn restore_receipt(
    shared: &Shared,
    tx: &mut Tx,
    device: DeviceId,
    place: (u64, u64),
    record: &Record,
    receipt: &pb::Signed,
) -> Result<bool> {
    let given = pb::ConsentReceipt::decode(&*receipt.payload)
        .ok()
        .filter(|given| {
            given.accepted
                && given.consent_id == record.consent.consent_id
                && given.consent_sha256 == sha256(&record.signed.payload)
        });
    if given.is_none() || !shared.ca.has_signed(receipt, SignedKind::ConsentReceipt) {
        tracing::warn!(%device, "a phone shows a receipt that is not ours or of another consent");
        return Ok(false);
    }
    let (epoch, seq) = (place.0.cast_signed(), place.1.cast_signed());
    let lost = sqlx::query(
        "update consent_records set receipt = $1
         where device = $2 and epoch = $3 and seq = $4 and receipt is null",
    )
    .bind(receipt.encode_to_vec())
    .bind(&device.0[..])
    .bind(epoch)
    .bind(seq)
    .execute(&mut **tx)
    .await?;
    if lost.rows_affected() == 0 {
        return Ok(true);
    }
    sqlx::query("update consents set accepted = 1 where device = $1 and epoch = $2 and seq = $3")
        .bind(&device.0[..])
        .bind(epoch)
        .bind(seq)
        .execute(&mut **tx)
        .await?;
    let entry = Entry::new(
        "system",
        "consent.restore",
        device.to_string(),
        hex::encode(sha256(&record.signed.payload)),
    );
    shared.audit.append_in(tx, entry).await?;
    tracing::info!(%device, seq, "a grant counts again by the receipt its phone kept");
    Ok(true)
}

/// Checks a grant's proof and answers with a signed receipt, which says no as well as yes.
///
/// The password is compared and forgotten; nothing of it is stored or logged.
pub async fn prove(
    shared: &Shared,
    device: &Device,
    epoch: u64,
    proof: pb::GrantProof,
    consents: &mut Consents,
) -> Result<pb::Signed> {
    let place = (epoch, proof.consent_seq);
    let row = sqlx::query(
        "select payload, signature, receipt from consent_records
         where device = $1 and epoch = $2 and seq = $3",
    )
    .bind(&device.device.0[..])
    .bind(epoch.cast_signed())
    .bind(proof.consent_seq.cast_signed())
    .fetch_optional(shared.db.writer())
    .await?
    .ok_or_else(|| Error::Invalid("a grant proof names no consent record".to_owned()))?;
    let given: Option<Vec<u8>> = row.try_get("receipt")?;
    if let Some(given) = given {
        // The first receipt was lost on the way.
        return pb::Signed::decode(&*given).map_err(|_| Error::Sealed);
    }
    let signed = pb::DeviceSigned {
        payload: row.try_get("payload")?,
        signature: row.try_get("signature")?,
    };
    let record = Record::verify(&signed, device)?;
    let refusal = refusal(shared, device, &record, &proof.password).await?;
    let now_ms = shared.clock.now_ms();
    let mut tx = shared.db.begin().await?;
    let action = if refusal.is_empty() {
        "consent.accept"
    } else {
        "consent.reject"
    };
    let entry = Entry::new(
        &device.person,
        action,
        device.device.to_string(),
        hex::encode(sha256(&signed.payload)),
    );
    let placed = shared.audit.append_in(&mut tx, entry).await?;
    let receipt = pb::ConsentReceipt {
        consent_id: record.consent.consent_id.clone(),
        consent_sha256: sha256(&signed.payload).to_vec(),
        epoch,
        seq: proof.consent_seq,
        at_ms: now_ms,
        accepted: refusal.is_empty(),
        refusal: refusal.to_owned(),
        audit_seq: placed.seq.cast_unsigned(),
        audit_link: placed.link.to_vec(),
    };
    let accepted = receipt.accepted;
    let receipt = shared
        .ca
        .sign(SignedKind::ConsentReceipt, receipt.encode_to_vec(), now_ms)?;
    if accepted {
        sqlx::query(
            "update consents set accepted = 1 where device = $1 and epoch = $2 and seq = $3",
        )
        .bind(&device.device.0[..])
        .bind(epoch.cast_signed())
        .bind(proof.consent_seq.cast_signed())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "update consent_records set receipt = $1
             where device = $2 and epoch = $3 and seq = $4",
        )
        .bind(receipt.encode_to_vec())
        .bind(&device.device.0[..])
        .bind(epoch.cast_signed())
        .bind(proof.consent_seq.cast_signed())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    if accepted {
        consents.accept(place);
    }
    Ok(receipt)
}

async fn refusal(
    shared: &Shared,
    device: &Device,
    record: &Record,
    password: &str,
) -> Result<&'static str> {
    if record.consent.person != device.person {
        return Ok("person");
    }
    let newest = crate::notice::newest(&shared.db).await?;
    let names_newest = newest.is_some_and(|newest| {
        newest.version == record.consent.notice_version
            && newest.sha256 == record.consent.notice_sha256
    });
    if !names_newest {
        return Ok("notice");
    }
    match people::verify_password(&shared.db, &device.person, password).await {
        Ok(true) => Ok(""),
        Ok(false) => Ok("password"),
        Err(Error::RateLimited { .. }) => Ok("rate"),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(decision: Decision, accepted: bool) -> Decided {
        Decided {
            decision,
            accepted,
            notice_version: 1,
        }
    }

    /// wire.md §4: refused after a withdrawal's seq, whatever its time; a later grant opens again.
    #[test]
    fn the_latest_decision_before_a_seq_decides_it() {
        let mut consents = Consents::default();
        let messages = consents
            .by_category
            .entry(Category::Messages as i32)
            .or_default();
        messages.insert((1, 3), decided(Decision::Granted, true));
        messages.insert((1, 10), decided(Decision::Withdrawn, true));
        messages.insert((2, 1), decided(Decision::Granted, false));
        let granted = Standing::Granted { notice_version: 1 };
        for (category, place, expected) in [
            (Category::Messages, (1, 3), Standing::None),
            (Category::Messages, (1, 4), granted),
            (Category::Messages, (1, 10), granted),
            (Category::Messages, (1, 11), Standing::Withdrawn),
            (Category::Messages, (2, 2), Standing::None),
            (Category::Money, (1, 4), Standing::None),
            (Category::Device, (1, 4), granted),
            (Category::Device, (1, 11), Standing::Withdrawn),
        ] {
            assert_eq!(
                consents.standing(category, place.0, place.1),
                expected,
                "{category:?} {place:?}"
            );
        }
    }
}
