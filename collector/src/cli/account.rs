//! `mingjing-collector account`.

use clap::Subcommand;
use mingjing_collector::accounts::{self, APPS, Account};

use super::{ACTOR, Folder, person};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a work account (S1 S2)
    Add(Add),
    /// Suspend an account: nothing after this moment is kept
    Suspend(One),
    /// Lift a suspension
    Resume(One),
    /// Take an account out of the register
    Remove(One),
    /// Show the register
    List(List),
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    folder: Folder,
    /// Id in the register, used in records and reports
    id: String,
    /// wechat or wecom
    #[arg(long)]
    app: String,
    /// The id the app's own page shows (微信号), which proves the account on the phone
    #[arg(long)]
    shown_id: String,
    /// Login of the holder
    #[arg(long)]
    holder: String,
    /// The account's nickname
    #[arg(long, default_value = "")]
    nickname: String,
    /// Department; the holder's own if left out
    #[arg(long)]
    department: Option<String>,
    /// Login of the custodian (S65); the holder if left out
    #[arg(long)]
    custodian: Option<String>,
    /// Android user id
    #[arg(long, default_value_t = 0)]
    android_user: u32,
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    folder: Folder,
    /// Id in the register
    id: String,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    folder: Folder,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Add(add) => register(add).await,
        Command::Suspend(one) => change(one, Change::Suspend).await,
        Command::Resume(one) => change(one, Change::Resume).await,
        Command::Remove(one) => change(one, Change::Remove).await,
        Command::List(list) => show(list).await,
    }
}

async fn register(add: &Add) -> anyhow::Result<()> {
    let shared = add.folder.open().await?;
    let holder = person(&shared, &add.holder).await?;
    let custodian = match &add.custodian {
        Some(login) => person(&shared, login).await?.person,
        None => holder.person.clone(),
    };
    let app = APPS
        .iter()
        .find(|(name, _)| *name == add.app)
        .map(|(_, package)| (*package).to_owned())
        .ok_or_else(|| anyhow::anyhow!("--app is wechat or wecom"))?;
    let new = Account {
        account: add.id.clone(),
        app,
        android_user: add.android_user,
        shown_id: add.shown_id.clone(),
        nickname: add.nickname.clone(),
        department: add.department.clone().unwrap_or(holder.department),
        holder: holder.person,
        custodian,
        registered_ms: shared.clock.now_ms(),
        suspended_ms: None,
    };
    accounts::add(&shared.db, &shared.audit, &shared.changes, &new, ACTOR).await?;
    shared.db.close().await;
    Ok(())
}

enum Change {
    Suspend,
    Resume,
    Remove,
}

async fn change(one: &One, change: Change) -> anyhow::Result<()> {
    let shared = one.folder.open().await?;
    let (db, audit, changes) = (&shared.db, &shared.audit, &shared.changes);
    let now_ms = shared.clock.now_ms();
    match change {
        Change::Suspend => {
            accounts::set_suspended(db, audit, changes, &one.id, Some(now_ms), now_ms, ACTOR)
                .await?;
        }
        Change::Resume => {
            accounts::set_suspended(db, audit, changes, &one.id, None, now_ms, ACTOR).await?;
        }
        Change::Remove => accounts::remove(db, audit, changes, &one.id, now_ms, ACTOR).await?,
    }
    db.close().await;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "a command's output")]
async fn show(list: &List) -> anyhow::Result<()> {
    let shared = list.folder.open().await?;
    for account in accounts::list(&shared.db).await? {
        let state = if account.suspended_ms.is_some() {
            "suspended"
        } else {
            "active"
        };
        if list.json {
            println!(
                "{}",
                serde_json::json!({
                    "account": account.account, "app": account.app, "shown_id": account.shown_id,
                    "holder": account.holder, "department": account.department,
                    "custodian": account.custodian, "registered_ms": account.registered_ms, "state": state,
                })
            );
        } else {
            println!(
                "{:<24} {:<20} {:<20} {:<14} {:<12} {state}",
                account.account, account.app, account.shown_id, account.holder, account.department
            );
        }
    }
    Ok(())
}
