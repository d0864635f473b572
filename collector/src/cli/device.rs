//! `mingjing-collector device`.

use clap::Subcommand;
use mingjing_collector::devices;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::json::rfc3339;

use super::{ACTOR, Folder};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the phones
    List(List),
    /// Confirm a pending phone after comparing its six digits
    Confirm(Confirm),
    /// Revoke a phone for good; its session ends within a second
    Revoke(One),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    folder: Folder,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    folder: Folder,
    /// Device id
    device: DeviceId,
}

#[derive(Debug, clap::Args)]
struct Confirm {
    #[command(flatten)]
    one: One,
    /// The six digits the phone shows
    code: String,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::List(list) => show(list).await,
        Command::Confirm(confirm) => {
            let shared = confirm.one.folder.open().await?;
            let device = devices::load(shared.db.reader(), confirm.one.device).await?;
            if device.code != confirm.code {
                anyhow::bail!(
                    "the phone must show {}; compare the digits on its screen",
                    device.code
                );
            }
            devices::confirm(&shared, confirm.one.device, ACTOR).await?;
            shared.db.close().await;
            Ok(())
        }
        Command::Revoke(one) => {
            let shared = one.folder.open().await?;
            devices::revoke(&shared, one.device, ACTOR).await?;
            shared.db.close().await;
            Ok(())
        }
    }
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn show(list: &List) -> anyhow::Result<()> {
    let shared = list.folder.open().await?;
    for device in devices::list(&shared.db).await? {
        let state: &'static str = device.state.into();
        if list.json {
            println!(
                "{}",
                serde_json::json!({
                    "device": device.device.to_string(), "person": device.person, "state": state,
                    "code": device.code, "model": device.model, "epoch": device.head.epoch,
                    "head": device.head.seq, "last_seen_ms": device.last_seen_ms,
                    "certificate_until_ms": device.certificate_until_ms,
                })
            );
        } else {
            println!(
                "{}  {:<8} code {}  {:<12} seq {:<8} seen {}  {}",
                device.device,
                state,
                device.code,
                device.person,
                device.head.seq,
                rfc3339(device.last_seen_ms, 0),
                device.model
            );
        }
    }
    Ok(())
}
