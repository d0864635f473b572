//! Mingjing's phone agent: decides whether something may be looked at, recognises what happened,
//! keeps it sealed, and sends it.
//!
//! Invariants (design §1): nothing is parsed before the scope, account, hours and consent gate has
//! let it pass; nothing leaves the buffer before the collector's acknowledgement except by
//! withdrawal or the cap, and both leave a `Gap`.
//!
//! An [`Agent`] is `Send + Sync`; several live in one process, each with its own folder. It never
//! reads the system's time: the [`Clock`](clock::Clock) is passed in, TLS judges certificates by it,
//! and only waiting (reconnects, intervals) happens in real time.

pub mod buffer;
pub mod clock;
pub mod config;
pub mod consent;
mod core;
pub mod folder;
pub mod hours;
pub mod identity;
#[cfg(feature = "jni")]
pub mod jni;
pub mod keys;
pub mod notice;
pub mod pack;
pub mod policy;
pub mod proof;
pub mod recognise;
pub mod replay;
pub mod scope;
pub mod session;
mod shared;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tls;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mingjing_proto::pb::{self, Category, from_app, from_device};

use crate::buffer::BufferError;
use crate::clock::Clock;
use crate::config::Config;
use crate::core::Core;
use crate::identity::{Identity, IdentityError, SignError, Signer};
use crate::shared::Shared;

pub use crate::core::{ChoiceError, Letter, LetterError, Recorded, Status};
pub use crate::notice::Rendered;

/// This agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// UTC day of a time, days since 1970-01-01.
pub(crate) fn utc_day(at_ms: i64) -> i32 {
    i32::try_from(at_ms.div_euclid(86_400_000)).unwrap_or(i32::MAX)
}

/// What the agent asks of the app around it.
pub trait Host: Debug + Send + Sync + 'static {
    /// An encoded `ToDevice` the employee should see: notice, receipt, finding, script, directive,
    /// coaching, read receipt. Called from the session's thread; must not call back into the agent
    /// and wait.
    fn on_message(&self, to_device: &[u8]);
}

/// A host that shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentHost;

impl Host for SilentHost {
    fn on_message(&self, _: &[u8]) {}
}

/// Everything an agent is started with.
#[derive(Debug)]
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// Wraps the buffer's keys: from the Android Keystore, or a 0600 file on a computer.
    pub wrapping_key: zeroize::Zeroizing<[u8; 32]>,
    /// The device key.
    pub signer: Arc<dyn Signer>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The app.
    pub host: Arc<dyn Host>,
}

/// Why the agent can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The buffer or the keys.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// A decision.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// A letter.
    #[error(transparent)]
    Letter(#[from] LetterError),
    /// The device key. A withdrawal is in force all the same and is signed later.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The session's thread could not be started.
    #[error("the session's thread can't be started")]
    Thread(#[source] std::io::Error),
    /// A message from the app without a body.
    #[error("an empty message from the app")]
    Empty,
    /// The agent was stopped.
    #[error("the agent was stopped")]
    Stopped,
}

/// One phone's agent.
#[derive(Debug)]
pub struct Agent {
    shared: Arc<Shared>,
    session: Mutex<Option<JoinHandle<()>>>,
}

impl Agent {
    /// Opens the folder and begins to keep a session open. The phone has to be enrolled
    /// ([`identity::enrol`]).
    pub fn start(parts: Parts) -> Result<Self, AgentError> {
        let agent = Self::open(parts)?;
        agent.connect()?;
        Ok(agent)
    }

    /// Like [`Agent::start`], but without a session: for looking, and for deciding offline.
    pub fn open(parts: Parts) -> Result<Self, AgentError> {
        let Parts {
            config,
            wrapping_key,
            signer,
            clock,
            host,
        } = parts;
        let identity = Identity::load(&config.dir, signer.as_ref())?;
        let core = Core::open(&config, &wrapping_key, signer.as_ref(), &identity, clock)?;
        let shared = Shared::new(config, signer, host, identity, core);
        shared.sign_withdrawal();
        Ok(Self {
            shared: Arc::new(shared),
            session: Mutex::new(None),
        })
    }

    /// Begins to keep a session open, unless it does already.
    pub fn connect(&self) -> Result<(), AgentError> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.is_some() {
            return Ok(());
        }
        // The runtime is this thread's own: nothing else waits while it reads the buffer.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AgentError::Thread)?;
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name("mingjing-session".to_owned())
            .spawn(move || runtime.block_on(session::run(shared)))
            .map_err(AgentError::Thread)?;
        *session = Some(thread);
        Ok(())
    }

    /// Takes a message from the app. For signals it returns when everything they said is on the disk.
    ///
    /// After [`BufferError::Disk`] nothing is claimed; what was recognised waits in memory and is
    /// written with the next call, so the same signals must not be handed over again by this process.
    pub fn record(&self, message: pb::FromApp) -> Result<Recorded, AgentError> {
        if self.shared.stop.is_cancelled() {
            return Err(AgentError::Stopped);
        }
        let done = self.take(message.body.ok_or(AgentError::Empty)?);
        self.shared.work.notify_one();
        self.shared.changed();
        done
    }

    fn take(&self, body: from_app::Body) -> Result<Recorded, AgentError> {
        use from_app::Body;
        let core = || self.shared.core();
        let post = |letter| core().post(letter);
        match body {
            Body::Signals(signals) => return Ok(core().record_signals(signals)?),
            Body::Consent(choice) => return self.decide(&choice),
            Body::GrantProof(proof) => core().prove_grant(proof)?,
            Body::Pause(pause) => core().pause(pause.minutes)?,
            Body::PrivateMark(mark) => core().mark_private(mark)?,
            Body::Complaint(it) => post(from_device::Body::Complaint(it))?,
            Body::Answer(it) => post(from_device::Body::Answer(it))?,
            Body::SubjectRequest(it) => post(from_device::Body::SubjectRequest(it))?,
            Body::Done(it) => post(from_device::Body::Done(it))?,
        }
        Ok(Recorded::default())
    }

    fn decide(&self, choice: &pb::ConsentChoice) -> Result<Recorded, AgentError> {
        let draft = self.shared.core().choose(choice)?;
        let seq = self.shared.sign_and_append(draft)?;
        Ok(Recorded {
            consent_seq: Some(seq),
            ..Recorded::default()
        })
    }

    /// Connects now, if there is no session, and sends what was held; returns at once.
    pub fn sync(&self) {
        self.shared.kick.notify_one();
    }

    /// What the agent knows of itself.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Waits until `done` says so of the status, at most `timeout`; tells whether it did.
    pub fn wait(&self, timeout: Duration, done: impl FnMut(&Status) -> bool) -> bool {
        self.shared.wait(timeout, done)
    }

    /// Ends the session and waits for its thread. What is buffered stays.
    pub fn stop(&self) {
        self.shared.stop.cancel();
        let thread = self
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the session's thread had panicked");
        }
    }

    /// The notice as it is to be shown in `language`; `None` until one has arrived.
    pub fn notice(&self, language: &str) -> Result<Option<Rendered>, AgentError> {
        Ok(self.shared.core().notice(language)?)
    }

    /// The last events of each category as they were sent, oldest first.
    pub fn sent(&self) -> Result<Vec<(Category, pb::Events)>, AgentError> {
        Ok(self.shared.core().sent()?)
    }

    /// The newest consent records, as signed.
    pub fn consents(&self) -> Result<Vec<pb::NewestConsent>, AgentError> {
        Ok(self.shared.core().consent_records()?)
    }

    /// The newest countersigned receipt of a grant.
    pub fn receipt(&self) -> Option<pb::ConsentReceipt> {
        self.shared.core().receipt()
    }

    /// Findings, read receipts, coaching and directives, the newest of each.
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.core().letters()
    }

    /// What the employee wrote: the newest answered ones, then those that wait, oldest first.
    pub fn own_letters(&self) -> Vec<pb::OwnLetter> {
        self.shared.core().own_letters()
    }

    /// Approved wordings.
    pub fn scripts(&self) -> Option<pb::Scripts> {
        self.shared.core().scripts()
    }

    /// The two checkpoints that contradict each other, if any do: what proves that a log was changed.
    pub fn contradicting_checkpoints(&self) -> Vec<pb::Signed> {
        self.shared.core().contradicting()
    }

    /// The company's root certificates this phone holds, DER.
    pub fn roots(&self) -> Vec<Vec<u8>> {
        self.shared.identity().roots.clone()
    }

    /// Conversations the employee marked private.
    pub fn private_marks(&self) -> Vec<pb::PrivateMark> {
        self.shared.core().private_marks()
    }

    /// Audit checkpoints witnessed, as the collector signed them.
    pub fn checkpoints(&self) -> Vec<pb::Signed> {
        self.shared.core().checkpoints()
    }
}

impl std::ops::Drop for Agent {
    fn drop(&mut self) {
        self.stop();
    }
}
