//! One session from `Hello` to its end.
//!
//! Invariants: outcomes are answered in the order their batches came; after a hole or a hold everything
//! is dropped until the wanted seq comes; nothing is acknowledged that was not compared by its link; a
//! batch whose commit found the head elsewhere ends the session, and the next hello compares positions.

mod news;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, from_device, to_device};
use mingjing_proto::{PROTOCOL, limits, validate};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::hello;
use super::live::{Live, Place, Signal};
use super::pace::Pace;
use crate::devices::{self, Alarm, Head};
use crate::error::{Error, Result};
use crate::ingest::{self, Committer, Outcome, Stop, View};
use crate::seal::{KeyName, NO_DAY, Purpose};
use crate::tls::Peer;
use crate::{Shared, consent, letters, policy};

const HELLO: Duration = Duration::from_secs(15);
const MOVED: Error = Error::Unavailable("another session moved this phone's position");

type Answer = (Pending, Option<Result<Outcome>>);
// `Sync` as well, so that a session may be borrowed across an await.
type Answers = FuturesOrdered<Pin<Box<dyn Future<Output = Answer> + Send + Sync>>>;

/// What is told once a batch's outcome is known.
#[derive(Debug)]
struct Pending {
    began: tokio::time::Instant,
    epoch: u64,
    through: u64,
    refused: Vec<pb::Refused>,
    findings: Vec<pb::FindingNotice>,
    resend_from: u64,
    held: Option<pb::Held>,
}

/// What a session begins with.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) committer: Arc<Committer>,
    pub(super) live: Arc<Live>,
    pub(super) device: DeviceId,
    pub(super) person: String,
    pub(super) down: Down,
    pub(super) peer: Peer,
}

type Down = mpsc::Sender<Box<super::Sent>>;

pub(super) struct Session {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    view: View,
    down: Down,
    answers: Answers,
    /// Last seq of the present epoch that this session has compared by links: nothing beyond it is
    /// acknowledged, because what the phone holds there may be another history.
    agreed: u64,
    /// Everything is dropped until the wanted seq comes.
    dropping: bool,
    /// A record was held; shared with who tells this session to read again.
    held: Arc<AtomicBool>,
    /// The phone is going through an epoch that has ended; this is its end.
    ended: Option<Head>,
    policy_sent: u32,
    policy_sha256: Vec<u8>,
    notice_sent: u32,
    pack_sent: u32,
    told: news::Told,
}

/// Why a session ended.
enum End {
    /// The phone closed its side, or the connection broke.
    Closed,
    /// Told the phone; nothing more to say.
    Superseded,
    /// With this status.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Door {
    pub(super) async fn run(self, up: Streaming<pb::FromDevice>, stop: CancellationToken) {
        let (device, down, peer) = (self.device, self.down.clone(), self.peer.clone());
        let end = self.talk(up, stop).await;
        peer.settle();
        match end {
            End::Closed => tracing::debug!(%device, "session closed"),
            End::Superseded => tracing::info!(%device, "session superseded"),
            End::Failed(error) => {
                tracing::info!(%device, %error, "session ended");
                // The phone may be gone already.
                drop(down.send(Box::new(Err(error.into()))).await);
            }
        }
    }

    async fn talk(self, mut up: Streaming<pb::FromDevice>, stop: CancellationToken) -> End {
        let first = tokio::select! {
            () = stop.cancelled() => return stopping(),
            first = tokio::time::timeout(HELLO, up.message()) => first,
        };
        let hello = match first {
            Ok(Ok(Some(pb::FromDevice {
                body: Some(from_device::Body::Hello(hello)),
            }))) => hello,
            Ok(Ok(None) | Err(_)) => return End::Closed,
            Ok(Ok(Some(_))) => return invalid("a session begins with a hello"),
            Err(_) => return invalid("no hello within 15 seconds"),
        };
        let (device, live, peer) = (self.device, self.live.clone(), self.peer.clone());
        let now_ms = self.shared.clock.now_ms();
        let number = match self.committer.begin_session(device).await {
            Ok(number) => number,
            Err(error) => return error.into(),
        };
        let mut place = live.enter(device, number, &self.person, now_ms);
        let end = match Box::pin(self.enter(hello, &place)).await {
            Ok(mut session) => {
                peer.settle();
                session.serve(&mut up, &mut place, stop).await
            }
            Err(error) => error.into(),
        };
        live.leave(device, number);
        end
    }

    async fn enter(self, hello: pb::Hello, place: &Place) -> Result<Session> {
        if hello.protocol != PROTOCOL {
            return Err(Error::Invalid(format!(
                "this collector speaks protocol {PROTOCOL}, the phone {}",
                hello.protocol
            )));
        }
        if place.clone_alarm {
            let alarm = Alarm {
                device: self.device,
                at_ms: self.shared.clock.now_ms(),
                kind: "clone".to_owned(),
                detail: "sessions of one key take over from each other".to_owned(),
            };
            devices::alarm(&self.shared.db, &alarm).await?;
        }
        // Only now: an older session here may have committed until it was told to end, and a revocation
        // before the session was known reached nobody.
        let view = View::load(&self.shared, self.device).await?;
        if !view.active() {
            return Err(Error::Revoked);
        }
        let mut session = Session {
            shared: self.shared,
            committer: self.committer,
            view,
            down: self.down,
            answers: FuturesOrdered::new(),
            agreed: 0,
            dropping: false,
            held: place.held.clone(),
            ended: None,
            policy_sent: 0,
            policy_sha256: Vec::new(),
            notice_sent: 0,
            pack_sent: 0,
            told: news::Told::from_hello(&hello)?,
        };
        session.greet(hello).await?;
        Ok(session)
    }
}

impl Session {
    async fn send(&self, body: to_device::Body) -> Result<()> {
        self.down
            .send(Box::new(Ok(pb::ToDevice { body: Some(body) })))
            .await
            .map_err(|_| Error::Unavailable("the phone closed the session"))
    }

    async fn greet(&mut self, hello: pb::Hello) -> Result<()> {
        let shared = self.shared.clone();
        hello::adopt_consents(&shared, &mut self.view, &hello.consents).await?;
        let position = hello::position(&shared, &mut self.view, &hello).await?;
        self.dropping = position.new_epoch.is_some();
        self.ended = position.ended;
        self.agreed = if position.new_epoch.is_some() {
            0
        } else {
            hello.first_seq - 1
        };
        let documents = shared.documents.newest(&shared).await?;
        let welcome = pb::Welcome {
            server_time_ms: shared.clock.now_ms(),
            epoch: position.epoch,
            through: position.through,
            through_link: position.link.to_vec(),
            limits: Some(pb::Limits {
                max_batch_bytes: to_u32(limits::BATCH_BYTES),
                max_in_flight: to_u32(limits::IN_FLIGHT),
                max_batch_events: to_u32(limits::BATCH_EVENTS),
            }),
            audit_checkpoints: documents.checkpoints.clone(),
            new_epoch: position.new_epoch,
        };
        self.send(to_device::Body::Welcome(welcome)).await?;
        self.policy_sent = hello.policy_version;
        self.policy_sha256 = hello.policy_sha256;
        self.notice_sent = hello.notice_version;
        self.pack_sent = hello.pack_version;
        self.send_documents().await?;
        self.tell_news().await
    }

    /// Sends notice, policy and packs when the phone has others.
    async fn send_documents(&mut self) -> Result<()> {
        let shared = self.shared.clone();
        let now_ms = shared.clock.now_ms();
        let documents = shared.documents.newest(&shared).await?;
        if let Some((version, signed)) = &documents.notice
            && *version != self.notice_sent
        {
            self.send(to_device::Body::Signed(signed.clone())).await?;
            self.notice_sent = *version;
        }
        let phone_has = (self.policy_sent, &self.policy_sha256[..]);
        let current = policy::current(&shared, &self.view, phone_has).await?;
        if current.version != self.policy_sent {
            let signed = shared
                .ca
                .sign(pb::SignedKind::Policy, current.bytes.clone(), now_ms)?;
            self.policy_sent = current.version;
            self.policy_sha256.clone_from(&current.sha256);
            self.view.give(current);
            self.send(to_device::Body::Signed(signed)).await?;
        }
        if let Some((version, signed)) = &documents.pack
            && *version > self.pack_sent
        {
            self.send(to_device::Body::Signed(signed.clone())).await?;
            self.pack_sent = *version;
        }
        Ok(())
    }

    async fn serve(
        &mut self,
        up: &mut Streaming<pb::FromDevice>,
        place: &mut Place,
        stop: CancellationToken,
    ) -> End {
        let mut pace = Pace::new(self.shared.config.limits);
        // A message of a phone that speaks too fast, and when it may be heard; until then nothing more is
        // read, while acknowledgements, revocation and the stop go on.
        let mut early: Option<(tokio::time::Instant, pb::FromDevice)> = None;
        // What is rarely under way is boxed: an idle session keeps no room for it.
        loop {
            let heard_at = early.as_ref().map(|(at, _)| *at);
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => Err(stopping()),
                changed = place.signal.changed() => match changed {
                    Ok(()) => {
                        let now = *place.signal.borrow_and_update();
                        Box::pin(self.heed(now, place.number)).await
                    }
                    Err(_) => Err(End::Superseded),
                },
                () = place.news.notified() => Box::pin(self.tell_news()).await.map_err(End::from),
                Some(answer) = self.answers.next() => self.answer(answer).await.map_err(End::from),
                () = until(heard_at), if heard_at.is_some() => match early.take() {
                    Some((_, message)) => Box::pin(self.hear(message)).await.map_err(End::from),
                    None => Ok(()),
                },
                message = up.message(),
                    if heard_at.is_none() && self.answers.len() < limits::IN_FLIGHT => match message
                {
                    Ok(Some(message)) => match pace.early(&message) {
                        Some(at) => {
                            early = Some((at, message));
                            Ok(())
                        }
                        None => Box::pin(self.hear(message)).await.map_err(End::from),
                    },
                    Ok(None) => Err(End::Closed),
                    Err(status) => Err(broken(&status)),
                },
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn heed(&mut self, signal: Signal, number: i64) -> std::result::Result<(), End> {
        match signal {
            Signal::Go => Ok(()),
            Signal::Revoked => Err(Error::Revoked.into()),
            Signal::Superseded => self.superseded().await,
            Signal::Refresh(_) => {
                let shared = self.shared.clone();
                self.view.refresh(&shared).await?;
                // News may have been lost when there was too much of it.
                if !self.view.active() {
                    return Err(Error::Revoked.into());
                }
                if self.view.device.session > number {
                    return self.superseded().await;
                }
                self.send_documents().await?;
                if self.held.swap(false, Ordering::SeqCst) {
                    self.send(to_device::Body::Resume(pb::Resume {})).await?;
                }
                Ok(())
            }
        }
    }

    async fn superseded(&self) -> std::result::Result<(), End> {
        let body = to_device::Body::Superseded(pb::Superseded {});
        drop(self.send(body).await);
        Err(End::Superseded)
    }

    async fn hear(&mut self, message: pb::FromDevice) -> Result<()> {
        let Some(body) = message.body else {
            // A kind of a later release: its phones go on with what this collector knows.
            tracing::debug!(device = %self.view.device.device, "a message of an unknown kind");
            return Ok(());
        };
        let shared = self.shared.clone();
        match body {
            from_device::Body::Hello(_) => {
                Err(Error::Invalid("a session has one hello".to_owned()))
            }
            from_device::Body::Batch(batch) => self.batch(&batch).await,
            from_device::Body::Checkpoint(checkpoint) => self.checkpoint(&checkpoint).await,
            from_device::Body::GrantProof(proof) => {
                // The consent record it proves may still be on its way to the disk.
                self.drain().await?;
                let epoch = self.view.head.epoch;
                let View {
                    device, consents, ..
                } = &mut self.view;
                let receipt = consent::prove(&shared, device, epoch, proof, consents).await?;
                self.send(to_device::Body::Signed(receipt)).await
            }
            from_device::Body::Status(status) => {
                let now_ms = shared.clock.now_ms();
                let device = self.view.device.device;
                if status.audit_contradicted_ms > 0 {
                    // The phone's own time makes the same report one alarm.
                    let alarm = Alarm {
                        device,
                        at_ms: status.audit_contradicted_ms.min(now_ms),
                        kind: "audit_contradicted".to_owned(),
                        detail: "audit checkpoints this phone has seen contradict each other"
                            .to_owned(),
                    };
                    devices::alarm(&shared.db, &alarm).await?;
                }
                self.committer.status(device, status).await
            }
            from_device::Body::Answer(_)
            | from_device::Body::SubjectRequest(_)
            | from_device::Body::Complaint(_)
            | from_device::Body::Done(_) => {
                // Without an answer the phone keeps the letter and sends it again later.
                match letters::receive(&shared, &self.view.device, &body).await? {
                    Some(received) => self.send(to_device::Body::LetterReceived(received)).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// A checkpoint binds the phone to its chain: one over another link than the stored is a fork it has
    /// signed itself.
    async fn checkpoint(&self, checkpoint: &pb::Checkpoint) -> Result<()> {
        use mingjing_proto::{chain, device_signed};
        let link = checkpoint.link[..]
            .try_into()
            .map_err(|_| Error::Invalid("a link is 32 bytes".to_owned()))?;
        let (epoch, seq) = (checkpoint.epoch, checkpoint.seq);
        let bytes = chain::checkpoint_bytes(epoch, seq, &link);
        device_signed::verify(&self.view.device.point, &bytes, &checkpoint.signature)
            .map_err(|_| Error::Invalid("a checkpoint is not signed by this phone".to_owned()))?;
        let stored = self.view.link_at(&self.shared, epoch, seq).await?;
        if stored.is_none_or(|stored| stored == link) {
            return Ok(());
        }
        let alarm = Alarm {
            device: self.view.device.device,
            at_ms: self.shared.clock.now_ms(),
            kind: "fork".to_owned(),
            detail: format!("a checkpoint over seq {seq} of epoch {epoch} signs another link"),
        };
        devices::alarm(&self.shared.db, &alarm).await
    }

    async fn batch(&mut self, batch: &pb::Batch) -> Result<()> {
        let began = tokio::time::Instant::now();
        let records =
            validate::records(batch).map_err(|error| Error::Invalid(error.to_string()))?;
        let head = self.view.head;
        if let Some(ended) = self.ended.filter(|ended| ended.epoch == batch.epoch) {
            return self.compare(ended, &records).await;
        }
        if batch.epoch != head.epoch || (self.dropping && records[0].first_seq > head.seq + 1) {
            return Ok(());
        }
        self.dropping = false;
        let shared = self.shared.clone();
        // Asked each time: rules read anew count from the next batch, however long a session lasts.
        self.view.rules = shared.rules();
        let decided = ingest::decide(&shared, &mut self.view, records).await?;
        self.agreed = self.agreed.max(decided.through.unwrap_or(0));
        let mut pending = Pending {
            began,
            epoch: self.view.head.epoch,
            through: self.agreed,
            refused: Vec::new(),
            findings: Vec::new(),
            resend_from: 0,
            held: None,
        };
        let mut fork = None;
        match decided.stop {
            None => {}
            Some(Stop::Hole { resend_from }) => {
                self.dropping = true;
                pending.resend_from = resend_from;
            }
            Some(Stop::Held { seq, reason }) => {
                self.dropping = true;
                self.held.store(true, Ordering::SeqCst);
                self.shared.metrics.held.inc();
                tracing::info!(device = %self.view.device.device, seq, ?reason, "record held");
                pending.held = Some(pb::Held {
                    seq,
                    reason: reason.into(),
                });
            }
            Some(Stop::Fork { after_seq, record }) => fork = Some((after_seq, record)),
        }
        let outcome = match decided.prepared {
            Some(mut prepared) => {
                pending.refused = std::mem::take(&mut prepared.refused);
                pending.findings = prepared.notices();
                Some(self.committer.submit(prepared).await?)
            }
            None => None,
        };
        self.answers.push_back(Box::pin(settle(pending, outcome)));
        if let Some((after_seq, record)) = fork {
            self.fork(after_seq, &record).await?;
        }
        Ok(())
    }

    /// Tells a phone which of the records it sends again from an ended epoch are stored; the first that is
    /// not begins the new epoch.
    async fn compare(&mut self, ended: Head, records: &[validate::Record]) -> Result<()> {
        let shared = self.shared.clone();
        let (through, differs) = ingest::compare(&shared, &self.view, ended, records).await?;
        self.send(to_device::Body::Ack(pb::Ack {
            epoch: ended.epoch,
            through,
            ..Default::default()
        }))
        .await?;
        if !differs {
            return Ok(());
        }
        self.ended = None;
        self.dropping = true;
        self.agreed = 0;
        let position = hello::leave(&shared, &mut self.view, ended, through).await?;
        match position.new_epoch {
            Some(new_epoch) => self.send(to_device::Body::NewEpoch(new_epoch)).await,
            None => Ok(()),
        }
    }

    /// Answers everything under way.
    async fn drain(&mut self) -> Result<()> {
        while let Some(answer) = self.answers.next().await {
            self.answer(answer).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, (pending, outcome): Answer) -> Result<()> {
        match outcome {
            None | Some(Ok(Outcome::Stored)) => {}
            Some(Err(error)) => return Err(error),
            // Only the links of a new hello can tell how the two histories stand to each other.
            Some(Ok(Outcome::Stale)) => return Err(MOVED),
        }
        self.send(to_device::Body::Ack(pb::Ack {
            epoch: pending.epoch,
            through: pending.through,
            resend_from: pending.resend_from,
            held: pending.held,
            refused: pending.refused,
        }))
        .await?;
        let took = pending.began.elapsed().as_secs_f64();
        self.shared.metrics.ack_seconds.observe(took);
        for mut finding in pending.findings {
            finding.rule_title = self.title(&finding.rule_id);
            self.send(to_device::Body::FindingNotice(finding)).await?;
        }
        Ok(())
    }

    /// Quarantines the record that differs and begins a new epoch.
    async fn fork(&mut self, after_seq: u64, record: &validate::Record) -> Result<()> {
        self.drain().await?;
        let shared = self.shared.clone();
        shared.metrics.forks.inc();
        let now_ms = shared.clock.now_ms();
        let device = self.view.device.device;
        let epoch = self.view.head.epoch;
        let name = KeyName {
            account: device.to_string(),
            day: NO_DAY,
            category: record.category as i32,
        };
        let inner = record.inner();
        let key = shared.sealer.key(&shared.db, &name, now_ms).await?;
        let aad = [
            b"forks",
            &device.0[..],
            &epoch.to_be_bytes(),
            &record.first_seq.to_be_bytes(),
            &inner,
        ]
        .concat();
        let sealed = key.seal(Purpose::Record, &aad, &record.body);
        sqlx::query(
            "insert into forks (device, epoch, first_seq, link, sealed, at_ms)
             values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
        )
        .bind(&device.0[..])
        .bind(epoch.cast_signed())
        .bind(record.first_seq.cast_signed())
        .bind(&inner[..])
        .bind(sealed)
        .bind(now_ms)
        .execute(shared.db.writer())
        .await?;
        let next = self.view.head.epoch + 1;
        let agreed = (epoch, after_seq);
        let position = hello::new_epoch(&shared, &mut self.view, next, agreed, "fork").await?;
        self.agreed = 0;
        self.dropping = true;
        match position.new_epoch {
            Some(new_epoch) => self.send(to_device::Body::NewEpoch(new_epoch)).await,
            None => Ok(()),
        }
    }
}

/// Waits until then; for ever without a time.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn settle(pending: Pending, outcome: Option<oneshot::Receiver<Result<Outcome>>>) -> Answer {
    let Some(outcome) = outcome else {
        return (pending, None);
    };
    let outcome = outcome
        .await
        .unwrap_or(Err(Error::Unavailable("the collector is stopping")));
    (pending, Some(outcome))
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("limits fit 32 bits")
}

fn stopping() -> End {
    End::Failed(Error::Unavailable("the collector is stopping"))
}

fn invalid(what: &str) -> End {
    End::Failed(Error::Invalid(what.to_owned()))
}

/// A broken connection is no news; a message against the limits is.
fn broken(status: &Status) -> End {
    if status.code() == tonic::Code::OutOfRange || status.code() == tonic::Code::Internal {
        return invalid("a message that does not decode or is too large");
    }
    End::Closed
}
