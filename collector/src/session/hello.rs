//! Where phone and collector stand to each other when a session begins (wire.md §4).
//!
//! Invariants: nothing already committed is taken twice; what the collector lost is written down as a
//! gap of its own; consents in a `Hello` count at once, whatever else is decided.

use mingjing_proto::chain::Link;
use mingjing_proto::pb;
use prost::Message;

use crate::devices::{self, Alarm, Head};
use crate::error::{Error, Result};
use crate::ingest::View;
use crate::{Shared, archive, consent};

/// Adopts the newest consents a phone carries in its `Hello`.
pub(super) async fn adopt_consents(
    shared: &Shared,
    view: &mut View,
    consents: &[pb::NewestConsent],
) -> Result<()> {
    if consents.len() > 64 {
        return Err(Error::Invalid(
            "a hello carries at most 64 consents".to_owned(),
        ));
    }
    let mut records = Vec::new();
    for newest in consents {
        let Some(signed) = &newest.consent else {
            return Err(Error::Invalid("an empty consent in a hello".to_owned()));
        };
        let record = consent::Record::verify(signed, &view.device)?;
        records.push(((newest.epoch, newest.seq), record));
    }
    if records.is_empty() {
        return Ok(());
    }
    let mut tx = shared.db.begin().await?;
    for (place, record) in &records {
        consent::store(&mut tx, view.device.device, *place, record).await?;
    }
    tx.commit().await?;
    for (place, record) in &records {
        view.consents.add(*place, record);
    }
    Ok(())
}

/// What a `Welcome` says of the position.
#[derive(Debug)]
pub(super) struct Position {
    /// Last seq the collector has of what the phone may still hold.
    pub(super) through: u64,
    /// The link there.
    pub(super) link: Link,
    /// When the phone has to begin anew.
    pub(super) new_epoch: Option<pb::NewEpoch>,
}

fn link(bytes: &[u8]) -> Result<Link> {
    bytes
        .try_into()
        .map_err(|_| Error::Invalid("a link is 32 bytes".to_owned()))
}

/// Compares the phone's position with the stored one.
pub(super) async fn position(
    shared: &Shared,
    view: &mut View,
    hello: &pb::Hello,
) -> Result<Position> {
    if hello.first_seq == 0 || hello.epoch == 0 || hello.first_seq > hello.head_seq + 1 {
        return Err(Error::Invalid(
            "a hello with an impossible position".to_owned(),
        ));
    }
    let (before, phone_head) = (link(&hello.link_before)?, link(&hello.head_link)?);
    let device = view.device.device;
    let head = view.head;
    let goes_on = |through, link| Position {
        through,
        link,
        new_epoch: None,
    };
    if hello.epoch > head.epoch {
        lost(shared, view, hello.epoch, 1, hello.first_seq - 1, before).await?;
        return new_epoch(
            shared,
            view,
            hello.epoch + 1,
            hello.first_seq - 1,
            "server_lost",
        )
        .await;
    }
    if hello.epoch < head.epoch {
        return older_epoch(shared, view, hello).await;
    }
    if hello.first_seq > head.seq + 1 {
        lost(
            shared,
            view,
            head.epoch,
            head.seq + 1,
            hello.first_seq - 1,
            before,
        )
        .await?;
        return new_epoch(shared, view, head.epoch + 1, head.seq, "server_lost").await;
    }
    let stored_before = view
        .link_at(shared, head.epoch, hello.first_seq - 1)
        .await?;
    if stored_before != Some(before) {
        let after_seq = hello.first_seq - 1;
        return new_epoch(shared, view, head.epoch + 1, after_seq, "fork").await;
    }
    if hello.head_seq >= head.seq {
        return Ok(goes_on(head.seq, head.link));
    }
    let stored_head = archive::link_at(&shared.db, device, head.epoch, hello.head_seq).await?;
    if hello.head_seq == 0 || stored_head == Some(phone_head) {
        return new_epoch(shared, view, head.epoch + 1, hello.head_seq, "rolled_back").await;
    }
    // Rolled back and gone on differently: the phone sends from its first record, equal ones are known,
    // and the first that differs is found as a fork.
    Ok(goes_on(hello.first_seq - 1, before))
}

async fn older_epoch(shared: &Shared, view: &mut View, hello: &pb::Hello) -> Result<Position> {
    let head = view.head;
    let device = view.device.device;
    let agreed = archive::agreed_before(&shared.db, device, head.epoch).await?;
    if let Some(after_seq) = agreed
        && head.seq == 0
        && hello.epoch + 1 == head.epoch
    {
        // The answer that began this epoch was lost.
        return Ok(begin(head, after_seq));
    }
    let last = archive::last_seq(&shared.db, device, hello.epoch).await?;
    let after_seq = last.min(hello.head_seq);
    new_epoch(shared, view, head.epoch + 1, after_seq, "rolled_back").await
}

fn begin(head: Head, after_seq: u64) -> Position {
    Position {
        through: 0,
        link: head.link,
        new_epoch: Some(pb::NewEpoch {
            epoch: head.epoch,
            after_seq,
            previous_link: head.link.to_vec(),
        }),
    }
}

/// Writes the collector's own gap for what a phone had been told is stored, and is not.
async fn lost(
    shared: &Shared,
    view: &View,
    epoch: u64,
    first_seq: u64,
    last_seq: u64,
    end_link: Link,
) -> Result<()> {
    if last_seq < first_seq {
        return Ok(());
    }
    let gap = pb::Gap {
        epoch,
        first_seq,
        last_seq,
        reason: pb::GapReason::ServerLost.into(),
        counts: Vec::new(),
        end_link: end_link.to_vec(),
    };
    sqlx::query(
        "insert into gaps (device, epoch, first_seq, last_seq, reason, payload, signature, at_ms)
         values ($1, $2, $3, $4, 'server_lost', $5, $6, $7) on conflict do nothing",
    )
    .bind(&view.device.device.0[..])
    .bind(epoch.cast_signed())
    .bind(first_seq.cast_signed())
    .bind(last_seq.cast_signed())
    .bind(gap.encode_to_vec())
    .bind(&[][..])
    .bind(shared.clock.now_ms())
    .execute(shared.db.writer())
    .await?;
    Ok(())
}

/// Begins a new epoch after `after_seq` of the present one, with an alarm that says why.
pub(super) async fn new_epoch(
    shared: &Shared,
    view: &mut View,
    epoch: u64,
    after_seq: u64,
    why: &'static str,
) -> Result<Position> {
    let now_ms = shared.clock.now_ms();
    let old = view.head;
    let previous = match view.link_at(shared, old.epoch, after_seq).await? {
        Some(link) => link,
        None => old.link,
    };
    let head = Head {
        epoch,
        seq: 0,
        link: previous,
    };
    let device = view.device.device;
    let mut tx = shared.db.begin().await?;
    if !devices::move_head(&mut tx, device, &old, &head).await? {
        return Err(Error::Unavailable(
            "another session moved this phone's position",
        ));
    }
    archive::begin_epoch(&mut tx, device, epoch, after_seq, &previous, now_ms).await?;
    tx.commit().await?;
    view.head = head;
    let alarm = Alarm {
        device,
        at_ms: now_ms,
        kind: why.to_owned(),
        detail: format!("epoch {} ended after {after_seq} of {}", old.epoch, old.seq),
    };
    devices::alarm(&shared.db, &alarm).await?;
    Ok(begin(head, after_seq))
}
