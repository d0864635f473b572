//! `mingjing-collector token`.

use clap::Subcommand;
use mingjing_collector::enroll;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::{ACTOR, Folder, person};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an enrolment code for one phone of a person: once, for at most 24 hours
    New(New),
}

#[derive(Debug, clap::Args)]
struct New {
    #[command(flatten)]
    folder: Folder,
    /// Login of the phone's holder
    login: String,
    /// Print the code alone, without the QR picture
    #[arg(long)]
    plain: bool,
}

/// Prints the code, and a QR picture of it.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::New(new) = &arguments.command;
    let shared = new.folder.open().await?;
    let holder = person(&shared, &new.login).await?;
    let token = enroll::new_token(&shared, &holder.person, ACTOR).await?;
    shared.db.close().await;
    println!("{token}");
    if !new.plain {
        let picture = QrCode::new(token.as_bytes())?
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build();
        println!("{picture}");
    }
    Ok(())
}
