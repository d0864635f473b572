//! `mingjing-collector init`.

use std::sync::Arc;

use mingjing_collector::clock::SystemClock;
use mingjing_collector::config::Config;
use mingjing_collector::people::{self, NewPerson, Role};
use mingjing_collector::{Shared, config, init, master};

use super::{ACTOR, Folder};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Name of the company, as the notice and the console show it
    #[arg(long)]
    company: Option<String>,
    /// Host name or address phones and browsers use; may be given several times, the first counts most
    #[arg(long = "name")]
    names: Vec<String>,
    /// Login of the first administrator
    #[arg(long, default_value = "admin")]
    admin: String,
}

/// Makes the folder and prints the administrator's invitation.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut settings: String = config::EXAMPLE.to_owned();
    if let Some(company) = &arguments.company {
        let name = toml::Value::String(company.clone());
        settings = settings.replacen("name = \"示例公司\"", &format!("name = {name}"), 1);
    }
    if !arguments.names.is_empty() {
        let names = toml::Value::Array(
            arguments
                .names
                .iter()
                .cloned()
                .map(toml::Value::String)
                .collect(),
        );
        settings = settings
            .replacen(
                "names = [\"localhost\", \"127.0.0.1\"]",
                &format!("names = {names}"),
                1,
            )
            .replace("= \"127.0.0.1:844", "= \"0.0.0.0:844");
    }
    if arguments.folder.master_key.is_some() {
        anyhow::bail!(
            "init makes a new master key in the data folder; leave --master-key out and move the file afterwards"
        );
    }
    let data = &arguments.folder.data;
    init(
        data,
        &settings,
        arguments.folder.store_url.clone(),
        Arc::new(SystemClock),
    )
    .await?;
    // Whatever credential is at hand: this folder's key is the one just made.
    let config = Config::load(data, arguments.folder.store_url.clone())?;
    let shared = Shared::open(config, Arc::new(SystemClock)).await?;
    let admin = NewPerson {
        login: arguments.admin.clone(),
        name: arguments.admin.clone(),
        department: "信息部".to_owned(),
        class: "staff".to_owned(),
        language: "zh-CN".to_owned(),
    };
    let person = people::create(&shared, admin, &[(Role::Admin, "*".to_owned())], ACTOR).await?;
    let invitation = people::invite(&shared, &person, 72, ACTOR).await?;
    shared.db.close().await;
    println!("Data folder  {}", data.display());
    println!("Settings     {}", data.join(config::FILE).display());
    println!(
        "Master key   {}  (keep a copy away from this machine)",
        data.join(master::FILE).display()
    );
    println!();
    println!(
        "Start:       mingjing-collector serve --data {}",
        data.display()
    );
    println!("Console:     {}/invitation", shared.addresses().console);
    println!(
        "Invitation   {}  (login {}, good for 72 hours, once)",
        invitation.secret, arguments.admin
    );
    Ok(())
}
