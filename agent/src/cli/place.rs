//! The options every command that works on an agent's folder shares.

use std::path::PathBuf;
use std::sync::Arc;

use mingjing_agent::clock::SystemClock;
use mingjing_agent::folder::Folder;
use mingjing_agent::{Agent, Parts, SilentHost};
use tracing_subscriber::EnvFilter;

/// Where the agent's data lie.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The agent's folder: device key, certificate, buffer
    #[arg(
        long,
        value_name = "DIR",
        env = "MINGJING_AGENT_DIR",
        default_value = "./agent-data"
    )]
    dir: PathBuf,
}

impl Place {
    /// The folder, made when it is not there.
    pub(crate) fn folder(&self) -> anyhow::Result<Folder> {
        log();
        Ok(Folder::open(&self.dir)?)
    }

    fn parts(&self) -> anyhow::Result<Parts> {
        let folder = self.folder()?;
        Ok(folder.parts(Arc::new(SystemClock::new()), Arc::new(SilentHost))?)
    }

    /// The agent, keeping a session open.
    pub(crate) fn start(&self) -> anyhow::Result<Agent> {
        Ok(Agent::start(self.parts()?)?)
    }

    /// The agent, without a session.
    pub(crate) fn open(&self) -> anyhow::Result<Agent> {
        Ok(Agent::open(self.parts()?)?)
    }
}

/// Logs go to standard error; `RUST_LOG` chooses, `warn` is the default. A second call changes nothing.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
    drop(started);
}
