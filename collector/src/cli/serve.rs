//! `mingjing-collector serve`.

use std::sync::Arc;

use anyhow::Context as _;
use mingjing_collector::clock::SystemClock;
use mingjing_collector::{Listeners, Shared};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::Folder;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Print log lines as JSON
    #[arg(long)]
    json_log: bool,
}

/// Reads rules, lexicons and the attestation status list anew; says what else changed and waits for a start.
fn reload(shared: &Shared, folder: &Folder) {
    match folder.config() {
        Ok(config) => {
            let settings = config.differing(&shared.config);
            if !settings.is_empty() {
                tracing::warn!(
                    ?settings,
                    "settings changed; they take effect at the next start"
                );
            }
        }
        Err(error) => tracing::error!(%error, "the settings would not load at the next start"),
    }
    match shared.reload_rules() {
        Ok(()) => tracing::info!("rules reloaded"),
        Err(error) => tracing::error!(%error, "rules not reloaded, the last good ones stay"),
    }
    match shared.reload_attestation_status() {
        Ok(listed) => tracing::info!(listed, "attestation status reloaded"),
        Err(error) => {
            tracing::error!(%error, "attestation status not reloaded, the last good list stays");
        }
    }
}

/// Serves until interrupted or terminated; a hang-up reads the rules and the attestation status list again.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("MINGJING_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if arguments.json_log {
        log.json().init();
    } else {
        log.init();
    }
    let config = arguments.folder.config()?;
    let listeners = Listeners::bind(&config)?;
    let shared = Shared::open(config, Arc::new(SystemClock)).await?;
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("can't listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("can't listen for signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("can't listen for signals")?;
    let (reloading, stopping) = (shared.clone(), stop.clone());
    let folder = arguments.folder.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = hangup.recv() => reload(&reloading, &folder),
            }
        }
        tracing::info!("stopping");
        stopping.cancel();
    });
    mingjing_collector::run(shared, listeners, stop).await?;
    Ok(())
}
