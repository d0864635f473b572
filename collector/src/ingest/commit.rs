//! Group commit: batches of many devices share one transaction (design §6).
//!
//! Invariants: an answer is given after the commit and never before; a head that stands elsewhere drops
//! only its own batch; an SQL error makes every batch of the group try once alone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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

type Job = (Prepared, oneshot::Sender<Result<Outcome>>);

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
        self.sender
            .send((prepared, reply))
            .await
            .map_err(|_| Error::Unavailable("the collector is stopping"))?;
        self.queue.inc();
        Ok(outcome)
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
        let mut events = first.0.events;
        let mut group = vec![first];
        while group.len() < GROUP_BATCHES && events < GROUP_EVENTS {
            let Ok(job) = receiver.try_recv() else { break };
            events += job.0.events;
            group.push(job);
        }
        // Heads are taken in device order everywhere, so that two collectors never wait for each other
        // in a circle; within a device the order of arrival stays.
        group.sort_by_key(|(prepared, _)| prepared.device);
        let batches = i64::try_from(group.len()).expect("a small number");
        shared.metrics.queue.dec_by(batches);
        let refs: Vec<&Prepared> = group.iter().map(|(prepared, _)| prepared).collect();
        match commit(&shared, &refs).await {
            Ok(outcomes) => {
                shared.failing.set(None);
                for ((_, reply), outcome) in group.into_iter().zip(outcomes) {
                    // The session may be gone; what is stored is stored.
                    drop(reply.send(Ok(outcome)));
                }
            }
            Err(error) => {
                let cure = error.cure();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    cure = cure.map(tracing::field::display),
                    batches,
                    "a group commit failed, trying each batch alone"
                );
                // Nobody answers: waiting as long again for each batch would only hold the phones up.
                let mut away = is_away(&error);
                shared.failing.set(Some(cure.unwrap_or(Cure::Look)));
                for (prepared, reply) in group {
                    let answer = if away {
                        Err(Error::Unavailable("the database does not answer"))
                    } else {
                        let alone = commit(&shared, &[&prepared]).await;
                        if alone.is_ok() {
                            shared.failing.set(None);
                        }
                        alone.map(|outcomes| outcomes[0])
                    };
                    away = away || answer.as_ref().is_err_and(is_away);
                    if let Err(error) = &answer {
                        shared.metrics.commit_failures.inc();
                        tracing::error!(
                            device = %prepared.device,
                            error = error as &dyn std::error::Error,
                            cure = error.cure().map(tracing::field::display),
                            "a batch could not be stored and was not acknowledged"
                        );
                    }
                    drop(reply.send(answer));
                }
            }
        }
    }
}

fn is_away(error: &Error) -> bool {
    matches!(error, Error::Database(sqlx::Error::PoolTimedOut))
}

async fn commit(shared: &Shared, group: &[&Prepared]) -> Result<Vec<Outcome>> {
    let now_ms = shared.clock.now_ms();
    let began = Instant::now();
    let mut tx = shared.db.begin().await?;
    let mut outcomes = Vec::with_capacity(group.len());
    let mut stored = Vec::with_capacity(group.len());
    for prepared in group {
        if devices::move_head(&mut tx, prepared.device, &prepared.from, &prepared.to).await? {
            outcomes.push(Outcome::Stored);
            stored.push(*prepared);
        } else {
            outcomes.push(Outcome::Stale);
        }
    }
    if stored.is_empty() {
        return Ok(outcomes);
    }
    let (changes, levels) = write(shared, &mut tx, &stored, now_ms).await?;
    tx.commit().await?;
    for change in changes {
        shared.changes.announce(change);
    }
    let took = began.elapsed().as_secs_f64();
    shared.metrics.commit_seconds.observe(took);
    count(&shared.metrics, &stored, &levels);
    Ok(outcomes)
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
        for id in findings::insert(tx, db, rows).await? {
            levels.extend(
                rows.iter()
                    .find(|row| row.id == id)
                    .map(|row| Level::from_number(row.level)),
            );
            changes.push(Changes::record(tx, now_ms, Kind::Finding, &hex::encode(id)).await?);
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
