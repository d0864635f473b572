//! Group commit: batches and notes of many devices share one transaction (design §6).
//!
//! Invariants: an answer is given after the commit and never before; a head that stands elsewhere drops
//! only its own batch; an SQL error makes every job of the group try once alone.
//!
//! A session's number and a phone's status are written here as well: each in a transaction of its own
//! would wait for the disk alone, and everybody's batches behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;
use mingjing_proto::vocabulary::Named;
use prometheus_client::metrics::gauge::Gauge;
use sqlx::Row;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Prepared;
use crate::archive::{self, TallyKey, TallyValue};
use crate::changes::{Change, Changes, Kind};
use crate::cure::Cure;
use crate::db::{Db, Tx};
use crate::devices;
use crate::error::{Error, Result};
use crate::findings::{self, Level, NewFinding};
use crate::metrics::Metrics;
use crate::rules::counts::{BUCKETS, fullest_window};
use crate::{Shared, consent, gaps, notice, policy};

/// Batches waiting for the committer.
const QUEUE: usize = 512;
/// Batches and events in one transaction, at most.
const GROUP_BATCHES: usize = 128;
const GROUP_EVENTS: u64 = 8000;
/// Rows of one insert; the number measured fastest is 10 to 50.
const ROWS: usize = 40;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On disk.
    Stored,
    /// The head stood elsewhere: nothing of it was stored.
    Stale,
}

/// What is committed together, each with where its answer goes.
#[derive(Debug)]
enum Job {
    Batch(Box<Prepared>, oneshot::Sender<Result<Outcome>>),
    Note(Note, oneshot::Sender<Result<Option<i64>>>),
}

/// Something about one phone that is no record.
#[derive(Debug)]
enum Note {
    /// A session begins; the answer is its number.
    Session(DeviceId),
    /// What the phone says of itself.
    Status(DeviceId, Box<pb::Status>),
}

/// What became of a job.
#[derive(Clone, Copy, Debug)]
enum Done {
    Batch(Outcome),
    /// A session's number.
    Note(Option<i64>),
}

impl Job {
    fn device(&self) -> DeviceId {
        match self {
            Self::Batch(prepared, _) => prepared.device,
            Self::Note(Note::Session(device) | Note::Status(device, _), _) => *device,
        }
    }

    fn events(&self) -> u64 {
        match self {
            Self::Batch(prepared, _) => prepared.events,
            Self::Note(..) => 0,
        }
    }

    /// The session may be gone; what is stored is stored.
    fn answer(self, answer: Result<Done>) {
        match (self, answer) {
            (Self::Batch(_, reply), Ok(Done::Batch(outcome))) => drop(reply.send(Ok(outcome))),
            (Self::Note(_, reply), Ok(Done::Note(number))) => drop(reply.send(Ok(number))),
            (Self::Batch(_, reply), Err(error)) => drop(reply.send(Err(error))),
            (Self::Note(_, reply), Err(error)) => drop(reply.send(Err(error))),
            (Self::Batch(..) | Self::Note(..), Ok(_)) => {
                unreachable!("each job is done as what it is")
            }
        }
    }
}

/// Where sessions hand in their batches.
#[derive(Debug)]
pub struct Committer {
    sender: mpsc::Sender<Job>,
    queue: Gauge,
}

impl Committer {
    /// Starts the committing task; it drains its queue after `stop`.
    pub fn start(
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> (Arc<Self>, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = shared.metrics.queue.clone();
        let task = tokio::spawn(run(shared, receiver, stop));
        let committer = Arc::new(Self { sender, queue });
        (committer, task)
    }

    /// Hands in a batch; waits for a place in the queue. The outcome comes after the commit.
    pub async fn submit(&self, prepared: Prepared) -> Result<oneshot::Receiver<Result<Outcome>>> {
        let (reply, outcome) = oneshot::channel();
        self.hand_in(Job::Batch(Box::new(prepared), reply)).await?;
        self.queue.inc();
        Ok(outcome)
    }

    async fn hand_in(&self, job: Job) -> Result<()> {
        let sent = self.sender.send(job).await;
        sent.map_err(|_| Error::Unavailable("the collector is stopping"))
    }

    async fn note(&self, note: Note) -> Result<Option<i64>> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(Job::Note(note, reply)).await?;
        let stopped = Err(Error::Unavailable("the collector is stopping"));
        answer.await.unwrap_or(stopped)
    }

    /// Numbers a session that begins and writes it down for the other collectors.
    pub async fn begin_session(&self, device: DeviceId) -> Result<i64> {
        let number = self.note(Note::Session(device)).await?;
        number.ok_or(Error::NotFound("no such device"))
    }

    /// Writes down what a phone says of itself.
    pub async fn status(&self, device: DeviceId, status: pb::Status) -> Result<()> {
        self.note(Note::Status(device, Box::new(status))).await?;
        Ok(())
    }

    /// Whether batches can still be handed in.
    pub fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }
}

async fn run(shared: Arc<Shared>, mut receiver: mpsc::Receiver<Job>, stop: CancellationToken) {
    loop {
        let first = tokio::select! {
            job = receiver.recv() => job,
            () = stop.cancelled() => {
                receiver.close();
                receiver.recv().await
            }
        };
        let Some(first) = first else { return };
        let mut events = first.events();
        let mut group = vec![first];
        while group.len() < GROUP_BATCHES && events < GROUP_EVENTS {
            let Ok(job) = receiver.try_recv() else { break };
            events += job.events();
            group.push(job);
        }
        // Heads are taken in device order everywhere, so that two collectors never wait for each other
        // in a circle; within a device the order of arrival stays.
        group.sort_by_key(Job::device);
        let is_batch = |job: &&Job| matches!(job, Job::Batch(..));
        let batches = group.iter().filter(is_batch).count();
        let queued = i64::try_from(batches).expect("a small number");
        shared.metrics.queue.dec_by(queued);
        match commit(&shared, &group).await {
            Ok(done) => {
                shared.failing.set(None);
                for (job, done) in group.into_iter().zip(done) {
                    job.answer(Ok(done));
                }
            }
            Err(error) => {
                let cure = error.cure();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    cure = cure.map(tracing::field::display),
                    batches,
                    "a group commit failed, trying each part alone"
                );
                // Nobody answers: waiting as long again for each batch would only hold the phones up.
                let mut away = is_away(&error);
                shared.failing.set(Some(cure.unwrap_or(Cure::Look)));
                for job in group {
                    let answer = if away {
                        Err(Error::Unavailable("the database does not answer"))
                    } else {
                        let alone = commit(&shared, std::slice::from_ref(&job)).await;
                        if alone.is_ok() {
                            shared.failing.set(None);
                        }
                        alone.map(|done| done[0])
                    };
                    away = away || answer.as_ref().is_err_and(is_away);
                    if let (Job::Batch(prepared, _), Err(error)) = (&job, &answer) {
                        shared.metrics.commit_failures.inc();
                        tracing::error!(
                            device = %prepared.device,
                            error = error as &dyn std::error::Error,
                            cure = error.cure().map(tracing::field::display),
                            "a batch could not be stored and was not acknowledged"
                        );
                    }
                    job.answer(answer);
                }
            }
        }
    }
}

fn is_away(error: &Error) -> bool {
    matches!(error, Error::Database(sqlx::Error::PoolTimedOut))
}

async fn commit(shared: &Shared, group: &[Job]) -> Result<Vec<Done>> {
    let now_ms = shared.clock.now_ms();
    let began = Instant::now();
    let mut tx = shared.db.begin().await?;
    let mut done = Vec::with_capacity(group.len());
    let mut stored: Vec<&Prepared> = Vec::with_capacity(group.len());
    let mut begun = Vec::new();
    for job in group {
        done.push(match job {
            Job::Batch(prepared, _) => {
                let Prepared {
                    device, from, to, ..
                } = &**prepared;
                if devices::move_head(&mut tx, *device, from, to).await? {
                    stored.push(prepared);
                    Done::Batch(Outcome::Stored)
                } else {
                    Done::Batch(Outcome::Stale)
                }
            }
            Job::Note(Note::Session(device), _) => {
                let number = devices::begin_session(&mut tx, *device, now_ms).await?;
                begun.extend(number.map(|number| format!("{device} {number}")));
                Done::Note(number)
            }
            Job::Note(Note::Status(device, status), _) => {
                devices::set_status(&mut tx, *device, status, now_ms).await?;
                Done::Note(None)
            }
        });
    }
    let mut sessions = Vec::new();
    for rows in begun.chunks(ROWS) {
        let kind = Kind::Session;
        sessions.extend(Changes::record_all(&mut tx, &shared.db, now_ms, kind, rows).await?);
    }
    let (changes, levels) = write(shared, &mut tx, &stored, now_ms).await?;
    tx.commit().await?;
    for session in &sessions {
        // Those of this process learn of it when it enters among them.
        shared.changes.tell_others(session);
    }
    for change in changes {
        shared.changes.announce(change);
    }
    if stored.is_empty() {
        return Ok(done);
    }
    let took = began.elapsed().as_secs_f64();
    shared.metrics.commit_seconds.observe(took);
    count(&shared.metrics, &stored, &levels);
    Ok(done)
}

fn count(metrics: &Metrics, stored: &[&Prepared], levels: &[Level]) {
    metrics.commits.inc();
    for prepared in stored {
        metrics.events.inc_by(prepared.events);
        for refusal in &prepared.refusals {
            let label = [("reason", refusal.reason.name())];
            metrics.refused.get_or_create(&label).inc();
        }
        for gap in &prepared.gaps {
            let label = [("reason", gap.reason.name())];
            metrics.gaps.get_or_create(&label).inc();
        }
    }
    for level in levels {
        let label = [("level", level.name())];
        metrics.findings.get_or_create(&label).inc();
    }
}

async fn write(
    shared: &Shared,
    tx: &mut Tx,
    stored: &[&Prepared],
    now_ms: i64,
) -> Result<(Vec<Change>, Vec<Level>)> {
    let db = &shared.db;
    let records: Vec<_> = stored
        .iter()
        .flat_map(|prepared| &prepared.records)
        .collect();
    for rows in records.chunks(ROWS) {
        archive::insert_records(tx, db, rows).await?;
    }
    let mut tallies: BTreeMap<&TallyKey, TallyValue> = BTreeMap::new();
    for (key, value) in stored.iter().flat_map(|prepared| &prepared.tallies) {
        tallies.entry(key).or_default().merge(value);
    }
    let tallies: Vec<_> = tallies.into_iter().collect();
    for rows in tallies.chunks(ROWS) {
        archive::add_tallies(tx, db, rows).await?;
    }
    for prepared in stored {
        write_control(tx, db, prepared, now_ms).await?;
    }
    let mut raised: Vec<NewFinding> = stored
        .iter()
        .flat_map(|prepared| prepared.findings.iter().cloned())
        .collect();
    let mut counted: Vec<_> = stored
        .iter()
        .flat_map(|prepared| &prepared.counted)
        .collect();
    // One order on every collector, as for heads and tallies.
    counted.sort_by_key(|it| (&it.addition.rule, &it.addition.scope, it.addition.bucket));
    for counted in counted {
        if window_sum(tx, &counted.addition).await? > counted.over {
            raised.push(counted.finding.clone());
        }
    }
    let (mut changes, mut levels) = (Vec::new(), Vec::new());
    for rows in raised.chunks(ROWS) {
        let inserted = findings::insert(tx, db, rows).await?;
        for id in &inserted {
            levels.extend(
                rows.iter()
                    .find(|row| row.id == *id)
                    .map(|row| Level::from_number(row.level)),
            );
        }
        if !inserted.is_empty() {
            let subjects: Vec<_> = inserted.iter().map(hex::encode).collect();
            changes.extend(Changes::record_all(tx, db, now_ms, Kind::Finding, &subjects).await?);
        }
    }
    Ok((changes, levels))
}

async fn window_sum(tx: &mut Tx, added: &super::judge::Addition) -> Result<i64> {
    sqlx::query(
        "insert into rule_counts (rule, scope, bucket, n) values ($1, $2, $3, $4)
         on conflict (rule, scope, bucket) do update set n = rule_counts.n + excluded.n",
    )
    .bind(&added.rule)
    .bind(&added.scope)
    .bind(added.bucket)
    .bind(added.by)
    .execute(&mut **tx)
    .await?;
    let rows = sqlx::query(
        "select bucket, n from rule_counts
         where rule = $1 and scope = $2 and bucket > $3 and bucket < $4",
    )
    .bind(&added.rule)
    .bind(&added.scope)
    .bind(added.bucket - BUCKETS)
    .bind(added.bucket + BUCKETS)
    .fetch_all(&mut **tx)
    .await?;
    let mut sums: HashMap<i64, i64> = HashMap::new();
    for row in &rows {
        sums.insert(row.try_get("bucket")?, row.try_get("n")?);
    }
    let window = fullest_window(added.bucket, |at| sums.get(&at).copied().unwrap_or(0));
    Ok(window.sum)
}

async fn write_control(tx: &mut Tx, db: &Db, prepared: &Prepared, now_ms: i64) -> Result<()> {
    let device = prepared.device;
    for (place, record) in &prepared.consents {
        consent::store(tx, device, *place, record).await?;
    }
    for (accepted, sha256) in &prepared.policies_accepted {
        policy::store_accepted(tx, device, *accepted, sha256).await?;
    }
    for ((epoch, seq), received) in &prepared.notices_received {
        notice::store_received(tx, device, *epoch, *seq, *received).await?;
    }
    for gap in &prepared.gaps {
        gaps::insert(&mut **tx, device, gap, now_ms).await?;
    }
    for rows in prepared.refusals.chunks(ROWS) {
        let sql = db.insert_rows(
            "insert into refusals (device, epoch, seq, reason, inner_hash, at_ms)",
            6,
            rows.len(),
            "on conflict do nothing",
        );
        let mut query = sqlx::query(sql);
        for row in rows {
            query = query
                .bind(&device.0[..])
                .bind(row.epoch.cast_signed())
                .bind(row.seq.cast_signed())
                .bind(row.reason.name())
                .bind(&row.inner[..])
                .bind(now_ms);
        }
        query.execute(&mut **tx).await?;
    }
    Ok(())
}
