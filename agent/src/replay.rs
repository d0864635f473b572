//! Replays recorded signals (JSON lines) through an agent, in order.
//!
//! Invariants:
//! - a line counts as done only when `record` has stored it with the records it led to, so a replay
//!   that was killed goes on after the last such line, and loses and doubles nothing;
//! - a restart un-proves the account, as on a phone; the recorded proof is shown again first, unless
//!   the recording itself had ended it by then;
//! - signals keep their recorded times as far as these are credible
//!   ([`Timekeeper::of_signal`](crate::clock::Timekeeper::of_signal)); the gate asks the clock as well.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mingjing_proto::json::{JsonError, signal_from_line};
use mingjing_proto::pb::{self, from_app, signal};

use crate::pack::{PackSet, WindowRole};
use crate::proof::Place;
use crate::{Agent, AgentError};

/// Bytes of one line.
const LINE_BYTES: usize = 4 * 1024 * 1024;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Reading the file.
    #[error("{path} can't be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line that is not a signal.
    #[error("{path}:{line}: not a recorded signal")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: JsonError,
    },
    /// A line that is too long.
    #[error("{path}:{line}: longer than {LINE_BYTES} bytes; split the signal")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// How to replay.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much faster than recorded; 0 is as fast as possible.
    pub speed: f64,
    /// Signals handed over in one `record` call, at most.
    pub signals_per_call: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            speed: 0.0,
            signals_per_call: 50,
        }
    }
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lines handed over now.
    pub lines: u64,
    /// Events they led to.
    pub events: u64,
    /// Lines an earlier run had done.
    pub skipped: u64,
}

/// Replays `path` through `agent`, from where an earlier run stopped, until its end or until `go_on`
/// says no (asked before every call).
pub fn run(
    agent: &Agent,
    path: &Path,
    options: Options,
    mut go_on: impl FnMut() -> bool,
) -> Result<Report, ReplayError> {
    let done = agent.status().input_line;
    let mut report = Report::default();
    let mut proofs = Proofs::default();
    let mut batch: Vec<pb::Signal> = Vec::new();
    let mut last_line = 0;
    let mut last_at_ms = None;
    let mut shown = false;
    for line in Lines::open(path)? {
        let (number, signal) = line?;
        if number <= done {
            proofs.see(&signal);
            report.skipped = number;
            continue;
        }
        if !shown {
            shown = true;
            proofs.show(agent)?;
        }
        let gap_ms = last_at_ms.map_or(0, |last: i64| (signal.at_ms - last).max(0));
        last_at_ms = Some(signal.at_ms);
        let due = options.speed > 0.0 && gap_ms > 0;
        if due || batch.len() >= options.signals_per_call.max(1) {
            if !go_on() {
                return Ok(report);
            }
            hand_over(agent, &mut batch, last_line, &mut report)?;
        }
        if due {
            pause(Duration::from_millis(gap_ms.unsigned_abs()).div_f64(options.speed));
        }
        batch.push(signal);
        last_line = number;
    }
    if go_on() {
        hand_over(agent, &mut batch, last_line, &mut report)?;
    }
    Ok(report)
}

fn hand_over(
    agent: &Agent,
    batch: &mut Vec<pb::Signal>,
    input_line: u64,
    report: &mut Report,
) -> Result<(), ReplayError> {
    if batch.is_empty() {
        return Ok(());
    }
    report.lines += batch.len() as u64;
    report.events += record(agent, std::mem::take(batch), input_line)?;
    Ok(())
}

fn record(agent: &Agent, signals: Vec<pb::Signal>, input_line: u64) -> Result<u64, AgentError> {
    let signals = pb::Signals {
        signals,
        lost: 0,
        input_line,
    };
    let message = pb::FromApp {
        body: Some(from_app::Body::Signals(signals)),
    };
    Ok(agent.record(message)?.events)
}

/// Waiting in real time is what a replay at a speed is.
fn pause(wait: Duration) {
    std::thread::park_timeout(wait);
}

/// Which account pages the recording has shown and not revoked again.
#[derive(Debug)]
struct Proofs {
    packs: std::sync::Arc<PackSet>,
    pages: HashMap<Place, pb::Signal>,
}

impl Default for Proofs {
    fn default() -> Self {
        Self {
            packs: PackSet::builtin(),
            pages: HashMap::new(),
        }
    }
}

impl Proofs {
    fn see(&mut self, signal: &pb::Signal) {
        let place = (signal.package.clone(), signal.user);
        match &signal.body {
            Some(signal::Body::Screen(screen)) => {
                let role = self.packs.window(&signal.package, &screen.window);
                if role == WindowRole::AccountPage {
                    if self
                        .packs
                        .shown_account_id(&signal.package, screen)
                        .is_some()
                    {
                        self.pages.insert(place, signal.clone());
                    }
                } else if matches!(role, WindowRole::Login | WindowRole::SwitchAccount) {
                    self.pages.remove(&place);
                }
            }
            Some(signal::Body::State(state))
                if matches!(state.kind.as_str(), "boot" | "shutdown" | "app_update") =>
            {
                self.pages.clear();
            }
            _ => {}
        }
    }

    fn show(&mut self, agent: &Agent) -> Result<(), AgentError> {
        if self.pages.is_empty() {
            return Ok(());
        }
        let pages = self.pages.drain().map(|(_, page)| page).collect();
        record(agent, pages, 0).map(|_| ())
    }
}

/// The lines of a file, numbered from 1; empty ones are skipped.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, ReplayError> {
        let file = File::open(path).map_err(|source| ReplayError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            number: 0,
        })
    }

    fn next_line(&mut self) -> Result<Option<(u64, pb::Signal)>, ReplayError> {
        use std::io::Read;
        loop {
            let mut line = Vec::new();
            let cap = LINE_BYTES as u64 + 1;
            let read = (&mut self.reader).take(cap).read_until(b'\n', &mut line);
            let read = read.map_err(|source| ReplayError::Io {
                path: self.path.clone(),
                source,
            })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.len() > LINE_BYTES {
                return Err(ReplayError::TooLong {
                    path: self.path.clone(),
                    line: self.number,
                });
            }
            let text = String::from_utf8_lossy(&line);
            if text.trim().is_empty() {
                continue;
            }
            let signal = signal_from_line(text.trim()).map_err(|source| ReplayError::Line {
                path: self.path.clone(),
                line: self.number,
                source,
            })?;
            return Ok(Some((self.number, signal)));
        }
    }
}

impl Iterator for Lines {
    type Item = Result<(u64, pb::Signal), ReplayError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}
