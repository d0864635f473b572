//! `mingjing-agent status`.

use super::place::Place;

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let status = arguments.place.open()?.status();
    if arguments.json {
        println!("{}", serde_json::to_string(&status)?);
        return Ok(());
    }
    println!("state      {}", status.state);
    println!("company    {}", status.company);
    println!("device     {}", status.device);
    if !status.confirmation_code.is_empty() {
        println!("confirm    {}", status.confirmation_code);
    }
    println!("granted    {}", status.granted.join(", "));
    if status.grant != "none" {
        println!("grant      {}", status.grant);
    }
    println!("notice     {}", status.notice_version);
    println!("policy     {}", status.policy_version);
    println!("pack       {}", status.pack_version);
    println!(
        "queue      {} events, {} bytes",
        status.queued_events, status.queued_bytes
    );
    println!(
        "chain      epoch {}, {} of {} acknowledged",
        status.epoch, status.acked_seq, status.head_seq
    );
    println!("witness    {} audit checkpoints", status.checkpoints);
    if !status.audit_contradiction.is_empty() {
        println!("WARNING    {}", status.audit_contradiction);
    }
    if status.letters_waiting > 0 {
        println!("letters    {} wait to be sent", status.letters_waiting);
    }
    for problem in &status.problems {
        println!("problem    {problem}");
    }
    Ok(())
}
