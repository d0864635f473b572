//! `mingjing-collector invite`.

use anyhow::Context as _;
use mingjing_collector::people::{self, NewPerson, Role};

use super::{ACTOR, Folder};

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    folder: Folder,
    /// Login of the person
    login: String,
    /// Name; needed for somebody new
    #[arg(long)]
    name: Option<String>,
    /// Department; needed for somebody new
    #[arg(long)]
    department: Option<String>,
    /// Class of account holder (S129): staff, head or executive
    #[arg(long, default_value = "staff")]
    class: String,
    /// Language of notice and pages
    #[arg(long, default_value = "zh-CN")]
    language: String,
    /// Role, with its department after a colon: `reviewer:*`, `lead:销售部`; may be given several times
    #[arg(long = "role", default_value = "employee")]
    roles: Vec<String>,
    /// Hours the invitation is good for
    #[arg(long, default_value_t = 72)]
    hours: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Enters the person if new, and prints the invitation once.
#[allow(clippy::print_stdout, reason = "a command's output")]
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let shared = arguments.folder.open().await?;
    let person = match people::by_login(&shared.db, &arguments.login).await {
        Ok(person) => person.person,
        Err(mingjing_collector::error::Error::NotFound(_)) => {
            let missing = "a new person needs --name and --department";
            let new = NewPerson {
                login: arguments.login.clone(),
                name: arguments.name.clone().context(missing)?,
                department: arguments.department.clone().context(missing)?,
                class: arguments.class.clone(),
                language: arguments.language.clone(),
            };
            let roles = arguments
                .roles
                .iter()
                .map(|role| {
                    let (role, scope) = role.split_once(':').unwrap_or((role, "*"));
                    let role: Role = role.parse().map_err(|_| {
                        anyhow::anyhow!("{role} is no role; use admin, policy, lead, reviewer, auditor, privacy or employee")
                    })?;
                    Ok((role, scope.to_owned()))
                })
                .collect::<anyhow::Result<Vec<_>>>()?;
            people::create(&shared, new, &roles, ACTOR).await?
        }
        Err(error) => return Err(error.into()),
    };
    if people::schedule(shared.db.reader(), &person)
        .await?
        .is_none()
    {
        people::set_schedule(&shared, &person, &shared.config.hours, ACTOR).await?;
    }
    let invitation = people::invite(&shared, &person, arguments.hours, ACTOR).await?;
    shared.db.close().await;
    let page = format!("{}/invitation", shared.addresses().console);
    if arguments.json {
        println!(
            "{}",
            serde_json::json!({"person": person, "login": arguments.login, "page": page, "invitation": invitation.secret, "expires_ms": invitation.expires_ms})
        );
    } else {
        println!("Page        {page}");
        println!(
            "Invitation  {}  (login {}, once)",
            invitation.secret, arguments.login
        );
    }
    Ok(())
}
