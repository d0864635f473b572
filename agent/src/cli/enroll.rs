//! `mingjing-agent enroll`.

use std::sync::Arc;

use anyhow::Context;
use mingjing_agent::clock::{SystemClock, Timekeeper};
use mingjing_agent::identity::{PhoneFacts, Token, enrol};

use super::place::Place;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The token as the console prints it: "mj1.…". It works once, for 24 hours at most; the same
    /// token may be used again with the same folder when the answer was lost
    #[arg(long, env = "MINGJING_TOKEN", hide_env_values = true)]
    token: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let token: Token = arguments.token.parse()?;
    let folder = arguments.place.folder()?;
    let signer = folder.signer()?;
    let clock = Arc::new(SystemClock::new());
    let time = Arc::new(Timekeeper::new(clock, None, 0));
    let facts = PhoneFacts {
        manufacturer: "host".to_owned(),
        model: std::env::consts::ARCH.to_owned(),
        os_version: std::env::consts::OS.to_owned(),
        ..PhoneFacts::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    let enrolling = enrol(folder.dir(), &token, signer.as_ref(), &time, facts);
    let identity = runtime.block_on(enrolling)?;
    println!("enrolled with {}", identity.company);
    println!("device {}", identity.device()?);
    if identity.pending {
        println!(
            "waits for confirmation: compare the code {} in the console",
            identity.confirmation_code
        );
    }
    println!(
        "next: mingjing-agent consent show --dir {}",
        folder.dir().display()
    );
    Ok(())
}
