//! `mingjing-agent run`.

use anyhow::Context;

use super::place::Place;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let agent = arguments.place.start()?;
    until_interrupted()?;
    agent.stop();
    Ok(())
}

/// Waits for an interrupt or a termination.
pub(super) fn until_interrupted() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("signals can't be received")?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.context("signals can't be received"),
            _ = terminate.recv() => Ok(()),
        }
    })
}
