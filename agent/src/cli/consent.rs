//! `mingjing-agent consent`.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use anyhow::{Context, bail};
use mingjing_agent::{Agent, Rendered};
use mingjing_proto::pb::{self, Category, Decision, from_app};
use mingjing_proto::vocabulary::Named;

use super::Outcome;
use super::place::Place;

/// How long the network may take.
const NETWORK: Duration = Duration::from_secs(60);

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the notice as it would be consented to; connects when none has arrived yet
    Show(Show),
    /// Show the notice, ask for the password, and consent
    Accept(Accept),
    /// Refuse; works offline
    Refuse(Decide),
    /// Withdraw: capture stops and unsent data are destroyed at once; works offline
    Withdraw(Decide),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// zh-CN or en
    #[arg(long, default_value = "zh-CN")]
    language: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Decide {
    /// Categories, comma separated: messages,contacts,groups,money,location,operations,usage. Default: all
    #[arg(long, value_delimiter = ',', value_parser = category)]
    category: Vec<Category>,
    /// zh-CN or en
    #[arg(long, default_value = "zh-CN")]
    language: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Accept {
    #[command(flatten)]
    decide: Decide,
    /// Read the password from standard input instead of asking
    #[arg(long)]
    password_stdin: bool,
}

fn category(name: &str) -> Result<Category, String> {
    Category::from_name(name)
        .filter(|it| Category::CONSENTED.contains(it))
        .ok_or_else(|| {
            let names: Vec<&str> = Category::CONSENTED.iter().map(|it| it.name()).collect();
            format!("one of: {}", names.join(", "))
        })
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::Show(show) => {
            let agent = show.place.open()?;
            let notice = fetch(&agent, &show.language)?;
            print!("{}", notice.to_text());
            Ok(Outcome::Done)
        }
        Command::Accept(accept) => self::accept(accept),
        Command::Refuse(decide) => end(decide, Decision::Refused),
        Command::Withdraw(decide) => end(decide, Decision::Withdrawn),
    }
}

/// The notice, waiting for it when none has arrived.
fn fetch(agent: &Agent, language: &str) -> anyhow::Result<Rendered> {
    if agent.notice(language)?.is_none() {
        agent.connect()?;
        agent.wait(NETWORK, |status| {
            status.notice_version > 0 && (status.policy_version > 0 || status.policy_offered > 0)
                || matches!(status.session, "pending" | "revoked")
        });
    }
    match agent.notice(language)? {
        Some(notice) => Ok(notice),
        None => bail!("no notice has arrived: {}", trouble(agent)),
    }
}

/// Why there is no session.
fn trouble(agent: &Agent) -> String {
    let status = agent.status();
    match status.session {
        "pending" => format!(
            "this phone waits for confirmation; compare the code {} in the console",
            status.confirmation_code
        ),
        "revoked" => "this phone was revoked; enrol again".to_owned(),
        "connected" => "the collector has not sent what is needed; is an account registered, and a notice published?".to_owned(),
        _ if status.session_problem.is_empty() => "the collector does not answer".to_owned(),
        _ => status.session_problem,
    }
}

fn chosen(decide: &Decide, notice: Option<&Rendered>) -> Vec<Category> {
    if !decide.category.is_empty() {
        return decide.category.clone();
    }
    let offered = notice.map(|notice| {
        let switches = notice.switches.iter();
        switches
            .filter_map(|it| Category::from_name(it.category))
            .collect()
    });
    offered.unwrap_or_else(|| Category::CONSENTED.to_vec())
}

fn accept(accept: &Accept) -> anyhow::Result<Outcome> {
    let agent = accept.decide.place.start()?;
    let notice = fetch(&agent, &accept.decide.language)?;
    print!("{}", notice.to_text());
    let password = password(accept.password_stdin)?;
    let categories = chosen(&accept.decide, Some(&notice));
    let choice = notice.choice(&categories, Decision::Granted, "command_line");
    let consent_seq = agent.record(choice)?.consent_seq.unwrap_or(0);
    agent.record(pb::FromApp {
        body: Some(from_app::Body::GrantProof(pb::GrantProof {
            consent_seq,
            password,
        })),
    })?;
    agent.sync();
    let answered = agent.wait(NETWORK, |status| {
        status.grant != "waiting" || matches!(status.session, "pending" | "revoked")
    });
    let status = agent.status();
    if !answered || status.grant == "waiting" {
        bail!(
            "consent is recorded but not confirmed yet: {}",
            trouble(&agent)
        );
    }
    if status.grant != "none" {
        let reason = &status.grant;
        eprintln!("mingjing-agent: the collector did not accept the consent: {reason}");
        return Ok(Outcome::NotAccepted);
    }
    println!("consent in force: {}", status.granted.join(", "));
    Ok(Outcome::Done)
}

fn password(from_stdin: bool) -> anyhow::Result<String> {
    if from_stdin || !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("the password can't be read from standard input")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    rpassword::prompt_password("Your own password (from your invitation): ")
        .context("the password can't be read from the terminal")
}

fn end(decide: &Decide, decision: Decision) -> anyhow::Result<Outcome> {
    let agent = decide.place.open()?;
    let notice = agent.notice(&decide.language)?;
    let categories = chosen(decide, None);
    let decisions = categories.iter().map(|category| pb::CategoryDecision {
        category: (*category).into(),
        decision: decision.into(),
    });
    let choice = pb::ConsentChoice {
        decisions: decisions.collect(),
        language: decide.language.clone(),
        given_how: "command_line".to_owned(),
        notice_version: notice.as_ref().map_or(0, |it| it.version),
        notice_sha256: notice
            .and_then(|it| hex::decode(it.sha256).ok())
            .unwrap_or_default(),
    };
    let seq = agent
        .record(pb::FromApp {
            body: Some(from_app::Body::Consent(choice)),
        })?
        .consent_seq;
    let names: Vec<&str> = categories.iter().map(|it| it.name()).collect();
    println!("{}: {}", decision.name(), names.join(", "));
    // The record is safe on the disk; telling the collector now is a courtesy.
    agent.connect()?;
    let told = agent.wait(Duration::from_secs(5), |status| {
        seq.is_some_and(|seq| status.acked_seq >= seq)
    });
    if !told {
        println!("the collector is told with the next connection");
    }
    Ok(Outcome::Done)
}
