//! Plays the day: each phone gets its signals when the clock says so, and its fate befalls it.
//!
//! Invariant: signals reach the agent as a phone's app hands them over, live, several a call, with the
//! clock that runs since boot; nothing is handed over twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use jiff::civil::Date;
use mingjing_agent::clock::Clock as _;
use mingjing_collector::devices;
use mingjing_proto::limits;
use mingjing_proto::pb::{self, Category, Decision, from_app};
use tokio_util::sync::CancellationToken;

use super::day::Fate;
use super::stage::{Player, Stage};
use crate::clock::SimClock;
use crate::phone::Phone;

/// How often a phone looks at the clock, in real time.
const LOOK: Duration = Duration::from_millis(20);
/// How long a phone may take to empty its queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a phone's day came to.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// Signals handed over.
    pub signals: u64,
    /// Events the agent kept, until its fate befell it.
    pub events: u64,
    /// Events it kept after it was withdrawn or revoked.
    pub events_after: u64,
    /// Events that waited when the network came back.
    pub waiting: u64,
}

/// What happens to a phone at a moment.
#[derive(Debug)]
enum Step {
    Signal(Box<pb::Signal>),
    Withdraw,
    Network(bool),
    Revoke,
}

/// Plays one phone's day to its end or until `stop`. `handed` counts signals, for a progress bar.
async fn play(
    stage: &Stage,
    player: &Player,
    handed: &AtomicU64,
    stop: &CancellationToken,
) -> anyhow::Result<Played> {
    let mut steps = timeline(player, stage.date).into_iter().peekable();
    let mut played = Played::default();
    let mut over = false;
    while let Some((at_ms, _)) = steps.peek() {
        while stage.clock.now() < *at_ms {
            tokio::select! {
                () = stop.cancelled() => return Ok(played),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let now_ms = stage.clock.now();
        let mut batch = Vec::new();
        while batch.len() < limits::SIGNALS
            && let Some((_, Step::Signal(signal))) =
                steps.next_if(|(at_ms, step)| *at_ms <= now_ms && matches!(step, Step::Signal(_)))
        {
            batch.push(*signal);
        }
        if !batch.is_empty() {
            played.signals += batch.len() as u64;
            handed.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let events = hand_over(player, &stage.clock, batch).await?;
            if over {
                played.events_after += events;
            } else {
                played.events += events;
            }
            continue;
        }
        match steps.next() {
            Some((_, Step::Withdraw)) => {
                settle(player).await?;
                withdraw(player).await?;
                over = true;
            }
            Some((_, Step::Revoke)) => {
                settle(player).await?;
                devices::revoke(&stage.collector.shared, player.device, "demo").await?;
                wait(player, "the revocation", is_revoked).await?;
                over = true;
            }
            Some((_, Step::Network(whole))) => {
                if whole {
                    played.waiting = player.phone.agent.status().queued_events;
                }
                if let Some(cut) = &player.cut {
                    cut.set_whole(whole);
                }
                if whole {
                    player.phone.agent.sync();
                }
            }
            Some((_, Step::Signal(_))) | None => {}
        }
        if stop.is_cancelled() {
            return Ok(played);
        }
    }
    Ok(played)
}

fn timeline(player: &Player, date: Date) -> Vec<(i64, Step)> {
    let signals = player.signals.iter().cloned();
    let mut steps: Vec<_> = signals
        .map(|signal| (signal.at_ms, Step::Signal(Box::new(signal))))
        .collect();
    match player.person.fate {
        Fate::Works | Fate::Refuses => {}
        Fate::Withdraws { at } => steps.push((at.on(date), Step::Withdraw)),
        Fate::Revoked { at } => steps.push((at.on(date), Step::Revoke)),
        Fate::Offline { at, until } => {
            steps.push((at.on(date), Step::Network(false)));
            steps.push((until.on(date), Step::Network(true)));
        }
    }
    steps.sort_by_key(|(at_ms, _)| *at_ms);
    steps
}

/// One call of the app, with each signal's place on the clock that runs since boot.
async fn hand_over(
    player: &Player,
    clock: &SimClock,
    mut signals: Vec<pb::Signal>,
) -> anyhow::Result<u64> {
    let (now_ms, elapsed_ms) = (clock.now(), clock.elapsed_ms());
    for signal in &mut signals {
        let ago_ms = u64::try_from(now_ms - signal.at_ms).unwrap_or(0);
        signal.elapsed_ms = elapsed_ms.saturating_sub(ago_ms).max(1);
    }
    let recorded = on_phone(player, move |phone| {
        phone.say(from_app::Body::Signals(pb::Signals {
            signals,
            ..Default::default()
        }))
    });
    Ok(recorded.await?.events)
}

async fn withdraw(player: &Player) -> anyhow::Result<()> {
    on_phone(player, |phone| {
        phone.choose(Decision::Withdrawn, &Category::CONSENTED)
    })
    .await?;
    Ok(())
}

/// Whether the collector has told the phone that its certificate is revoked.
pub fn is_revoked(status: &mingjing_agent::Status) -> bool {
    status.session != "connected"
        && format!("{} {}", status.session, status.session_problem).contains("revoked")
}

/// Waits until the collector has everything the phone holds.
pub async fn settle(player: &Player) -> anyhow::Result<()> {
    wait(player, "an empty queue", |status| {
        status.head_seq > 0 && status.acked_seq == status.head_seq
    })
    .await
}

async fn wait(
    player: &Player,
    what: &'static str,
    done: impl Fn(&mingjing_agent::Status) -> bool + Send + 'static,
) -> anyhow::Result<()> {
    on_phone(player, move |phone| {
        if phone.agent.wait(PATIENCE, done) {
            return Ok(());
        }
        anyhow::bail!("waited in vain for {what}: {:?}", phone.agent.status())
    })
    .await
}

/// The agent's calls wait for the disk: never on a runtime thread.
async fn on_phone<T: Send + 'static>(
    player: &Player,
    call: impl FnOnce(&Phone) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let phone = Arc::clone(&player.phone);
    tokio::task::spawn_blocking(move || call(&phone))
        .await?
        .with_context(|| player.person.login.clone())
}

impl Stage {
    /// Plays all phones' days side by side; one result a phone, in their order.
    pub async fn play(
        &self,
        handed: &AtomicU64,
        stop: &CancellationToken,
    ) -> anyhow::Result<Vec<Played>> {
        let days = self
            .phones
            .iter()
            .map(|player| play(self, player, handed, stop));
        futures::future::try_join_all(days).await
    }

    /// Waits until the collector has what every phone holds that may still speak.
    pub async fn settle(&self) -> anyhow::Result<()> {
        for player in &self.phones {
            if !matches!(player.person.fate, Fate::Revoked { .. }) {
                settle(player).await?;
            }
        }
        Ok(())
    }
}
