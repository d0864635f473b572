//! `mingjing-agent letter`.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use mingjing_agent::Agent;
use mingjing_proto::letter::{self, REQUEST_KINDS};
use mingjing_proto::limits::LETTER_BYTES;
use mingjing_proto::pb::{self, from_app};

use super::Outcome;
use super::place::Place;

/// How long the network may take.
const NETWORK: Duration = Duration::from_secs(30);

/// Arguments of this command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Answer a finding; `mingjing-agent export` lists the findings about you
    Answer(Answer),
    /// Ask for a copy, a correction, a deletion or an explanation of your data
    Request(Request),
    /// Complain
    Complaint(Text),
    /// Say that a directive is done
    Done(Done),
    /// Show what was written and where it stands, one JSON object a line
    List(Place),
}

#[derive(Debug, clap::Args)]
struct Text {
    /// The text; without it, it is read from standard input
    #[arg(long)]
    text: Option<String>,
    /// Id of the letter; the same id is one letter. Default: a new one
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Answer {
    /// Id of the finding, 64 hexadecimal digits
    finding: String,
    #[command(flatten)]
    text: Text,
}

#[derive(Debug, clap::Args)]
struct Request {
    /// What is asked for
    #[arg(value_parser = REQUEST_KINDS)]
    kind: String,
    #[command(flatten)]
    text: Text,
}

#[derive(Debug, clap::Args)]
struct Done {
    /// Id of the directive
    directive: String,
    #[command(flatten)]
    place: Place,
}

impl Text {
    fn text(&self) -> anyhow::Result<String> {
        if let Some(text) = &self.text {
            return Ok(text.clone());
        }
        let mut text = String::new();
        // One byte more than allowed is enough to be refused.
        let limit = u64::try_from(LETTER_BYTES).unwrap_or(u64::MAX) + 1;
        std::io::stdin()
            .take(limit)
            .read_to_string(&mut text)
            .context("the text can't be read from standard input")?;
        Ok(text.trim_end().to_owned())
    }

    fn id(&self) -> String {
        self.id.clone().unwrap_or_else(|| {
            let mut id = [0; 16];
            getrandom::fill(&mut id).expect("the system gives random bytes");
            hex::encode(id)
        })
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match &arguments.command {
        Command::Answer(Answer { finding, text }) => {
            let answer = pb::Answer {
                id: text.id(),
                finding_id: finding.clone(),
                text: text.text()?,
            };
            let (kind, id) = ("answer", answer.id.clone());
            send(&text.place, from_app::Body::Answer(answer), kind, &id)
        }
        Command::Request(Request { kind: asks, text }) => {
            let request = pb::SubjectRequest {
                id: text.id(),
                kind: asks.clone(),
                text: text.text()?,
            };
            let (kind, id) = ("subject_request", request.id.clone());
            send(
                &text.place,
                from_app::Body::SubjectRequest(request),
                kind,
                &id,
            )
        }
        Command::Complaint(text) => {
            let complaint = pb::Complaint {
                id: text.id(),
                text: text.text()?,
            };
            let (kind, id) = ("complaint", complaint.id.clone());
            send(&text.place, from_app::Body::Complaint(complaint), kind, &id)
        }
        Command::Done(Done { directive, place }) => {
            let done = pb::Done {
                directive_id: directive.clone(),
            };
            send(place, from_app::Body::Done(done), "done", directive)
        }
        Command::List(place) => {
            for own in place.open()?.own_letters() {
                println!("{}", super::export::own_letter(&own));
            }
            Ok(Outcome::Done)
        }
    }
}

/// Where the letter of this name stands.
fn state(agent: &Agent, kind: &str, id: &str) -> Option<String> {
    let mut own = agent.own_letters().into_iter();
    let found = own.find(|it| it.letter.as_ref().and_then(letter::name) == Some((kind, id)));
    found.map(|it| it.state)
}

fn send(place: &Place, body: from_app::Body, kind: &str, id: &str) -> anyhow::Result<Outcome> {
    let agent = place.open()?;
    agent.record(pb::FromApp { body: Some(body) })?;
    agent.connect()?;
    agent.wait(NETWORK, |status| {
        state(&agent, kind, id).as_deref() != Some("waiting")
            || matches!(status.session, "pending" | "revoked")
    });
    let trouble = agent.status().session_problem;
    agent.stop();
    match state(&agent, kind, id).as_deref() {
        Some("received") => {
            println!("{kind} {id} received");
            Ok(Outcome::Done)
        }
        Some("waiting") => {
            println!("{kind} {id} is kept and goes out with the next session ({trouble})");
            Ok(Outcome::Done)
        }
        Some(refusal) => {
            eprintln!("the collector refused {kind} {id}: {refusal}");
            Ok(Outcome::NotAccepted)
        }
        None => bail!("the letter is not in the agent's folder"),
    }
}
