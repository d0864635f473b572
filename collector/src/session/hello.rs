//! Where phone and collector stand to each other when a session begins (wire.md §4).
//!
//! Invariants: nothing already committed is taken twice; what the collector lost is written down as a
//! gap of its own; consents in a `Hello` count at once, whatever else is decided.

use mingjing_proto::chain::Link;
use mingjing_proto::pb;
use prost::Message;

use crate::devices::{self, Alarm, Head};
use crate::error::{Error, Result};
use crate::gaps::NewGap;
use crate::ingest::View;
use crate::{Shared, archive, consent, gaps};

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
    let device = view.device.device;
    let mut records = Vec::new();
    for newest in consents {
        let Some(signed) = &newest.consent else {
            return Err(Error::Invalid("an empty consent in a hello".to_owned()));
        };
        let record = consent::Record::verify(signed, &view.device)?;
        let place = (newest.epoch, newest.seq);
        records.push((place, record, newest.receipt.as_ref()));
    }
    if records.is_empty() {
        return Ok(());
    }
    let mut accepted = Vec::new();
    let mut tx = shared.db.begin().await?;
    for (place, record, receipt) in &records {
        consent::store(&mut tx, device, *place, record).await?;
        if let Some(receipt) = receipt
            && record.grants()
            && consent::restore_receipt(shared, &mut tx, device, *place, record, receipt).await?
        {
            accepted.push(*place);
        }
    }
    tx.commit().await?;
    for (place, record, _) in &records {
        view.consents.add(*place, record);
    }
    for place in accepted {
        view.consents.accept(place);
    }
    Ok(())
}

/// What a `Welcome` says of the position.
#[derive(Debug)]
pub(super) struct Position {
    /// The epoch `through` is of.
    pub(super) epoch: u64,
    /// Last seq the collector has of what the phone may still hold.
    pub(super) through: u64,
    /// The link there.
    pub(super) link: Link,
    /// When the phone has to begin anew.
    pub(super) new_epoch: Option<pb::NewEpoch>,
    /// When the phone goes through an epoch that has ended, to find out what of it is stored: its end.
    pub(super) ended: Option<Head>,
}

impl Position {
    fn goes_on(epoch: u64, through: u64, link: Link) -> Self {
        Self {
            epoch,
            through,
            link,
            new_epoch: None,
            ended: None,
        }
    }
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
    if hello.epoch > head.epoch {
        lost(shared, view, hello.epoch, 1, hello.first_seq - 1, before).await?;
        let agreed = (hello.epoch, hello.first_seq - 1);
        // A phone that was enrolled before begins its new chain in an epoch of its own.
        let first = (head.epoch, head.seq, hello.first_seq) == (1, 0, 1);
        let why = if first {
            "enrolled_again"
        } else {
            "server_lost"
        };
        return new_epoch(shared, view, hello.epoch + 1, agreed, why).await;
    }
    if hello.epoch < head.epoch {
        return older_epoch(shared, view, hello, before, phone_head).await;
    }
    let goes_on = |through, link| Position::goes_on(head.epoch, through, link);
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
        let agreed = (head.epoch, head.seq);
        return new_epoch(shared, view, head.epoch + 1, agreed, "server_lost").await;
    }
    let stored_before = view
        .link_at(shared, head.epoch, hello.first_seq - 1)
        .await?;
    if stored_before != Some(before) {
        let agreed = (head.epoch, hello.first_seq - 1);
        return new_epoch(shared, view, head.epoch + 1, agreed, "fork").await;
    }
    if hello.head_seq >= head.seq {
        return Ok(goes_on(head.seq, head.link));
    }
    let stored_head = archive::link_at(&shared.db, device, head.epoch, hello.head_seq).await?;
    if hello.head_seq == 0 || stored_head == Some(phone_head) {
        let agreed = (head.epoch, hello.head_seq);
        return new_epoch(shared, view, head.epoch + 1, agreed, "rolled_back").await;
    }
    // Rolled back and gone on differently: the phone sends from its first record, equal ones are known,
    // and the first that differs is found as a fork.
    Ok(goes_on(hello.first_seq - 1, before))
}

/// The phone is in an epoch that has ended here: the answer that ended it was lost, the phone was rolled
/// back past it, or another phone with the same key began the newer one.
async fn older_epoch(
    shared: &Shared,
    view: &mut View,
    hello: &pb::Hello,
    before: Link,
    phone_head: Link,
) -> Result<Position> {
    let head = view.head;
    let whole = hello.head_seq == 0
        || view.link_at(shared, hello.epoch, hello.head_seq).await? == Some(phone_head);
    if let Some(after_seq) = unanswered(shared, view, hello.epoch).await?
        && (after_seq < hello.first_seq || whole && after_seq == hello.head_seq)
    {
        return Ok(begin(head, after_seq));
    }
    if whole {
        let agreed = (hello.epoch, hello.head_seq);
        return new_epoch(shared, view, head.epoch + 1, agreed, "rolled_back").await;
    }
    let (last, end) = archive::end(&shared.db, &view.device, hello.epoch).await?;
    if view
        .link_at(shared, hello.epoch, hello.first_seq - 1)
        .await?
        != Some(before)
    {
        let agreed = (hello.epoch, hello.first_seq - 1);
        return new_epoch(shared, view, head.epoch + 1, agreed, "fork").await;
    }
    // What of the rest is stored only its links can tell: the phone sends from its first record, and the
    // first that differs begins the new epoch.
    Ok(Position {
        ended: Some(Head {
            epoch: hello.epoch,
            seq: last,
            link: end,
        }),
        ..Position::goes_on(hello.epoch, hello.first_seq - 1, before)
    })
}

/// Where the epoch after `epoch` began, if it is the present one and nothing is stored in it: the answer
/// that began it may have been lost.
async fn unanswered(shared: &Shared, view: &View, epoch: u64) -> Result<Option<u64>> {
    let head = view.head;
    if head.seq != 0 || epoch + 1 != head.epoch {
        return Ok(None);
    }
    archive::agreed_before(&shared.db, view.device.device, head.epoch).await
}

/// A phone that went through the ended epoch `ended` agrees up to `after_seq` of it: the new epoch.
pub(super) async fn leave(
    shared: &Shared,
    view: &mut View,
    ended: Head,
    after_seq: u64,
) -> Result<Position> {
    if unanswered(shared, view, ended.epoch).await? == Some(after_seq) {
        return Ok(begin(view.head, after_seq));
    }
    let next = view.head.epoch + 1;
    new_epoch(shared, view, next, (ended.epoch, after_seq), "rolled_back").await
}

fn begin(head: Head, after_seq: u64) -> Position {
    let new_epoch = pb::NewEpoch {
        epoch: head.epoch,
        after_seq,
        previous_link: head.link.to_vec(),
    };
    Position {
        new_epoch: Some(new_epoch),
        ..Position::goes_on(head.epoch, 0, head.link)
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
    let reason = pb::GapReason::ServerLost;
    let gap = pb::Gap {
        epoch,
        first_seq,
        last_seq,
        reason: reason.into(),
        counts: Vec::new(),
        end_link: end_link.to_vec(),
    };
    let new = NewGap {
        epoch,
        first_seq,
        last_seq,
        reason,
        signed: pb::DeviceSigned {
            payload: gap.encode_to_vec(),
            signature: Vec::new(),
        },
    };
    let now_ms = shared.clock.now_ms();
    gaps::insert(shared.db.writer(), view.device.device, &new, now_ms).await
}

/// Begins a new epoch after the seq both sides agree on, of the epoch named with it, with an alarm that
/// says why.
pub(super) async fn new_epoch(
    shared: &Shared,
    view: &mut View,
    epoch: u64,
    agreed: (u64, u64),
    why: &'static str,
) -> Result<Position> {
    let now_ms = shared.clock.now_ms();
    let old = view.head;
    let (of_epoch, after_seq) = agreed;
    let previous = match view.link_at(shared, of_epoch, after_seq).await? {
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
        detail: format!(
            "epoch {} ended at {}; the phone agrees up to {after_seq} of epoch {of_epoch}",
            old.epoch, old.seq
        ),
    };
    devices::alarm(&shared.db, &alarm).await?;
    Ok(begin(head, after_seq))
}
