//! A company for a phone that speaks another language: a real collector in a process of its own, with one
//! employee and one account, and answers to questions about both sides' files.
//!
//! Invariants: a question is a line on standard input and its answer a line on standard output, words
//! parted by tabs, `ok` or `error` first; the process ends when its standard input closes; standard error
//! is its log; the collector keeps its ports when it goes away and comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use mingjing_agent::buffer::{Buffer, Cap, Outgoing};
use mingjing_agent::keys::Keys;
use mingjing_collector::changes::{Change, Kind};
use mingjing_collector::findings;
use mingjing_collector::people::Role;
use mingjing_proto::pb::{self, Category};
use mingjing_proto::vocabulary::Named as _;
use prost::Message as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::clock::SimClock;
use crate::harness::{Collector, Entered, PASSWORD, SETTINGS};
use crate::search;

/// The account the employee holds, as WeChat's own page shows it.
const ACCOUNT: &str = "wx-wang";

/// See the module's docs.
#[derive(Debug)]
struct Company {
    dir: PathBuf,
    collector: Collector,
    holder: Entered,
    heard: broadcast::Receiver<Change>,
}

/// Serves until standard input closes. The first answer, unasked, is password and account.
pub async fn serve(dir: &Path) -> anyhow::Result<()> {
    let mut company = Company::start(dir).await?;
    let mut answers = tokio::io::stdout();
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    answers
        .write_all(format!("ok\t{PASSWORD}\t{ACCOUNT}\n").as_bytes())
        .await?;
    answers.flush().await?;
    while let Some(question) = questions.next_line().await? {
        let words: Vec<&str> = question.split('\t').collect();
        let answer = match company.answer(&words).await {
            Ok(words) => [vec!["ok".to_owned()], words].concat().join("\t"),
            Err(error) => format!("error\t{error:#}").replace('\n', " "),
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await?;
        answers.flush().await?;
    }
    company.collector.stop().await
}

/// The settings of a test collector, on two ports that were free a moment ago.
fn settings() -> anyhow::Result<String> {
    let mut settings = SETTINGS.to_owned();
    for listener in ["enrollment", "session"] {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        settings = settings.replace(
            &format!("{listener} = \"127.0.0.1:0\""),
            &format!("{listener} = \"{free}\""),
        );
    }
    Ok(settings)
}

impl Company {
    async fn start(dir: &Path) -> anyhow::Result<Self> {
        let clock = Arc::new(SimClock::real());
        let collector = Collector::start(dir, &settings()?, clock).await?;
        let holder = collector
            .person("wang", "王芳", "销售部", &[(Role::Employee, "*")])
            .await?;
        collector.account(ACCOUNT, &holder, "王芳").await?;
        Ok(Self {
            dir: dir.to_owned(),
            heard: collector.shared.changes.subscribe(),
            collector,
            holder,
        })
    }

    async fn answer(&mut self, question: &[&str]) -> anyhow::Result<Vec<String>> {
        Ok(match question {
            ["code"] => vec![self.collector.token(&self.holder).await?],
            ["alert"] => self.alert().await?,
            ["number", what] => vec![self.number(what).await?.to_string()],
            ["offline"] => {
                self.collector.stop().await?;
                Vec::new()
            }
            ["online"] => {
                let clock = self.collector.clock();
                self.collector = Collector::open(&self.dir, clock).await?;
                self.heard = self.collector.shared.changes.subscribe();
                Vec::new()
            }
            ["find", text, folders @ ..] => files(&search::forms(text), folders),
            ["holds", bytes, folders @ ..] => {
                files(&search::forms_of_bytes(&hex::decode(bytes)?), folders)
            }
            ["key", folder, wrapping, category] => {
                key(Path::new(folder), &hex::decode(wrapping)?, category)?
            }
            ["opens", folder, wrapping, text] => {
                vec![opens(Path::new(folder), &hex::decode(wrapping)?, text)?.to_string()]
            }
            _ => bail!("no such question: {}", question.join(" ")),
        })
    }

    /// Waits for what an open console hears of: rule, level and state of the next finding.
    async fn alert(&mut self) -> anyhow::Result<Vec<String>> {
        let id = loop {
            match self.heard.recv().await {
                Ok(change) if change.kind == Kind::Finding => break change.subject,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => bail!("the collector is offline"),
            }
        };
        let id = findings::parse_id(&id)?;
        let finding = findings::load(&self.collector.shared.db, &id).await?;
        let state: &str = finding.state.into();
        Ok(vec![finding.rule, finding.account, state.to_owned()])
    }

    async fn number(&self, what: &str) -> anyhow::Result<i64> {
        let sql = match what {
            "events" => {
                "select cast(coalesce(sum(count), 0) as bigint) from records where category <> 0"
            }
            "findings" => "select count(*) from findings",
            "refusals" => "select count(*) from refusals",
            "withdrawn" => "select count(*) from consents where decision = 3",
            "gaps" => "select count(*) from gaps where reason = 'withdrawn'",
            _ => bail!("nothing is called {what}"),
        };
        self.collector.number(sql).await
    }
}

fn files(forms: &[Vec<u8>], folders: &[&str]) -> Vec<String> {
    folders
        .iter()
        .flat_map(|folder| search::found(Path::new(folder), forms))
        .map(|path| path.display().to_string())
        .collect()
}

fn category(name: &str) -> anyhow::Result<Category> {
    Category::from_name(name).with_context(|| format!("no category is called {name}"))
}

/// A category's key in a phone's key file, plain and as it lies there; nothing when its slot is empty.
///
/// Reads the file by its published layout and not by the agent's code, so that the agent's own opinion
/// of what is left is not asked.
fn key(folder: &Path, wrapping: &[u8], name: &str) -> anyhow::Result<Vec<String>> {
    let file = std::fs::read(folder.join("keys"))?;
    let index = u8::try_from(category(name)? as i32)?;
    let at = 512 * (usize::from(index) + 1);
    let slot = file.get(at..at + 68).context("a whole key file")?;
    if slot.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    let (id, rest) = slot.split_at(8);
    let (nonce, wrapped) = rest.split_at(12);
    let aad = [b"mingjing-slot-1", &[index][..], id].concat();
    let opener = LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, wrapping).map_err(|_| anyhow::anyhow!("32 bytes"))?,
    );
    let mut plain = wrapped.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce.try_into()?);
    let plain = opener
        .open_in_place(nonce, Aad::from(aad), &mut plain)
        .map_err(|_| anyhow::anyhow!("the wrapping key does not open the slot"))?;
    Ok(vec![hex::encode(plain), hex::encode(wrapped)])
}

/// How many events of a stopped phone's folder, waiting or sent, open and hold `text`.
fn opens(folder: &Path, wrapping: &[u8], text: &str) -> anyhow::Result<usize> {
    let wrapping: [u8; 32] = wrapping.try_into()?;
    let keys = Keys::open(&folder.join("keys"), &wrapping)?;
    let cap = Cap {
        bytes: u64::MAX,
        age_ms: i64::MAX,
    };
    let mut buffer = Buffer::open(folder, [0; 32], &keys, cap, 1 << 20)?;
    let mut events = Vec::new();
    for category in Category::CONSENTED {
        events.extend(buffer.sent(&keys, category)?);
    }
    for outgoing in buffer.peek(&keys, 1, usize::MAX, usize::MAX)? {
        if let Outgoing::Frame(frame) = outgoing
            && frame.category() != Category::Control
        {
            events.push(pb::Events::decode(&*frame.body)?);
        }
    }
    Ok(events
        .iter()
        .flat_map(|it| &it.activities)
        .filter(|activity| activity.text.contains(text))
        .count())
}
