//! What the caller's threads and the session's thread share.
//!
//! Invariants: one lock for the core, taken last and never held across a wait or a signature; every
//! change that a waiter may look for is announced by [`Shared::changed`].

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mingjing_proto::device_signed::Purpose;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Timekeeper;
use crate::config::Config;
use crate::core::{Core, Draft};
use crate::identity::{Identity, Signer};
use crate::{AgentError, Host, Status};

/// What the session knows.
#[derive(Debug, Default)]
struct Live {
    session: &'static str,
    problem: String,
    last_upload_ms: i64,
    held: Option<(u64, &'static str)>,
    refused: u64,
}

/// See the module's docs.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Mutex<Core>,
    identity: Mutex<Arc<Identity>>,
    live: Mutex<Live>,
    changes: Mutex<u64>,
    changed: Condvar,
    pub(crate) config: Config,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) time: Arc<Timekeeper>,
    /// There is something to send.
    pub(crate) work: Notify,
    /// Somebody wants a connection now.
    pub(crate) kick: Notify,
    pub(crate) stop: CancellationToken,
}

/// A panic while a lock was held has failed its own call; the data are as good as the last batch.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        signer: Arc<dyn Signer>,
        host: Arc<dyn Host>,
        identity: Identity,
        core: Core,
    ) -> Self {
        Self {
            time: core.time.clone(),
            core: Mutex::new(core),
            identity: Mutex::new(Arc::new(identity)),
            live: Mutex::new(Live {
                session: "stopped",
                ..Live::default()
            }),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            config,
            signer,
            host,
            work: Notify::new(),
            kick: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        lock(&self.core)
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        lock(&self.identity).clone()
    }

    /// Makes a renewed identity, already stored, the one in use.
    pub(crate) fn publish(&self, identity: Identity) -> Arc<Identity> {
        let identity = Arc::new(identity);
        *lock(&self.identity) = identity.clone();
        identity
    }

    /// The collector has let us in: no confirmation is waited for any more.
    pub(crate) fn confirmed(&self) {
        let identity = self.identity();
        if !identity.pending {
            return;
        }
        let confirmed = Identity {
            pending: false,
            confirmation_code: String::new(),
            ..(*identity).clone()
        };
        if let Err(error) = confirmed.store(&self.config.dir) {
            tracing::warn!(%error, "the confirmation could not be stored");
        }
        self.publish(confirmed);
    }

    pub(crate) fn set_session(&self, session: &'static str, problem: String) {
        {
            let mut live = lock(&self.live);
            live.session = session;
            live.problem = problem;
        }
        self.changed();
    }

    pub(crate) fn set_held(&self, held: Option<(u64, &'static str)>) {
        lock(&self.live).held = held;
    }

    pub(crate) fn refused(&self, events: u64) {
        lock(&self.live).refused += events;
    }

    pub(crate) fn uploaded(&self, at_ms: i64) {
        lock(&self.live).last_upload_ms = at_ms;
    }

    /// Wakes everybody who waits for a state.
    pub(crate) fn changed(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = self.core().status();
        let identity = self.identity();
        status.device = hex::encode(&identity.device_id);
        status.company.clone_from(&identity.company);
        status
            .confirmation_code
            .clone_from(&identity.confirmation_code);
        status.certificate_until_ms = identity.validity().map_or(0, |it| it.to_ms);
        let live = lock(&self.live);
        status.session = live.session;
        status.session_problem.clone_from(&live.problem);
        status.last_upload_ms = live.last_upload_ms;
        status.held = live.held;
        status.refused_events = live.refused;
        status
    }

    /// Waits until `done` says so of the status, at most `timeout` of real time.
    pub(crate) fn wait(&self, timeout: Duration, mut done: impl FnMut(&Status) -> bool) -> bool {
        let mut left = timeout;
        loop {
            let seen = *lock(&self.changes);
            if done(&self.status()) {
                return true;
            }
            // Time-dependent states change without a message, so no wait is longer than this.
            let slice = left.min(Duration::from_millis(200));
            if slice.is_zero() {
                return false;
            }
            let changes = lock(&self.changes);
            let (_changes, waited) = self
                .changed
                .wait_timeout_while(changes, slice, |now| *now == seen)
                .unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                left = left.saturating_sub(slice);
            }
        }
    }

    /// Signs a consent record outside the lock and appends it.
    pub(crate) fn sign_and_append(&self, draft: Draft) -> Result<u64, AgentError> {
        let bytes = Purpose::Consent.bytes(&draft.payload);
        let signature = self.signer.sign(&bytes)?;
        Ok(self.core().decided(draft, signature)?)
    }

    /// Signs a withdrawal whose signature the key store refused before.
    pub(crate) fn sign_withdrawal(&self) {
        let draft = self.core().unsigned();
        let Some(draft) = draft else { return };
        if let Err(error) = self.sign_and_append(draft) {
            tracing::warn!(%error, "the withdrawal is in force but not signed yet");
        }
    }
}
