//! Everything one agent knows, behind one lock: what is in force, what was proven, what is buffered.
//!
//! Invariants:
//! - nothing here waits for the network or for the key store: what has to be signed is handed out and
//!   comes back signed;
//! - what is in force is on the disk before it counts, except the shutting of a gate, which counts
//!   before it is on the disk.

mod decide;
mod letters;
mod receive;
mod record;
mod view;
mod witness;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use mingjing_proto::chain::genesis;
use mingjing_proto::pb::{self, Category};
use prost::Message;

use crate::buffer::{Buffer, BufferError, Cap, NewRecord};
use crate::clock::{Anchor, Timekeeper};
use crate::config::Config;
use crate::consent::{Consents, Received};
use crate::hours::Hours;
use crate::identity::{Identity, Signer};
use crate::keys::Keys;
use crate::pack::PackSet;
use crate::policy::{Notice, Policy};
use crate::proof::{Place, Watch};
use crate::recognise::Recogniser;
use crate::scope::{Drop, Drops, Gate};

pub use decide::ChoiceError;
pub(crate) use decide::Draft;
pub use letters::LetterError;
pub use record::Recorded;
pub use view::{Letter, Status};

/// Names of stored values.
mod name {
    pub(super) const ANCHOR: &str = "anchor";
    pub(super) const CONSENT: &str = "consent";
    pub(super) const POLICY: &str = "policy";
    pub(super) const OFFERED: &str = "policy/offered";
    pub(super) const NOTICE: &str = "notice";
    pub(super) const PREVIOUS_NOTICE: &str = "notice/previous";
    pub(super) const PACK: &str = "pack";
    pub(super) const PAUSE: &str = "pause";
    pub(super) const PRIVATE: &str = "private";
    pub(super) const LETTERS: &str = "letters";
}

/// A notice and when it reached this phone.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredNotice {
    #[prost(bytes = "vec", tag = "1")]
    bytes: Vec<u8>,
    #[prost(int64, tag = "2")]
    received_ms: i64,
}

/// The employee's pause (requirements O5).
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Pause {
    #[prost(int64, tag = "1")]
    since_ms: i64,
    #[prost(int64, tag = "2")]
    until_ms: i64,
    /// Local day the minutes are counted for.
    #[prost(int32, tag = "3")]
    date: i32,
    #[prost(int64, tag = "4")]
    used_ms: i64,
}

/// Conversations the employee marked private (requirements P5).
#[derive(Clone, PartialEq, prost::Message)]
struct PrivateMarks {
    #[prost(message, repeated, tag = "1")]
    marks: Vec<pb::PrivateMark>,
}

/// What is kept for the session to send beside the records, in memory only.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    /// The password of the grant that waits; zeroed when dropped.
    pub(crate) grant: Option<GrantProof>,
}

/// A password on its way. Never stored, logged or hashed.
pub(crate) struct GrantProof {
    /// Tells one attempt from the next.
    pub(crate) attempt: Vec<u8>,
    pub(crate) password: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for GrantProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrantProof")
    }
}

/// The newest notice as it is in use.
#[derive(Debug)]
pub(crate) struct CurrentNotice {
    pub(crate) notice: Notice,
    pub(crate) received_ms: i64,
}

/// See the module's docs.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) keys: Keys,
    pub(crate) buffer: Buffer,
    pub(crate) time: Arc<Timekeeper>,
    device_id: Vec<u8>,
    person: String,
    spki: Vec<u8>,
    language: String,
    policy: Option<Policy>,
    offered: Option<Policy>,
    /// The schedule consented to, checked.
    agreed: Option<Hours>,
    notice: Option<CurrentNotice>,
    consents: Consents,
    watch: Watch,
    recognisers: HashMap<Place, Recogniser>,
    packs: Arc<PackSet>,
    pause: Pause,
    private: PrivateMarks,
    letters: letters::Letters,
    pub(crate) proofs: Proofs,
    drops: Drops,
    permissions: BTreeMap<String, bool>,
    app_versions: BTreeMap<String, String>,
    last_signal_ms: i64,
    /// Problems with what the company sent, newest last.
    problems: VecDeque<String>,
    /// Recognised but not yet on the disk, because the disk failed.
    unwritten: Vec<record::Found>,
    /// Epoch and seq of the newest withdrawal or refusal recorded by this process.
    pub(crate) ended_at: (u64, u64),
}

impl Core {
    /// Opens what lies in `config.dir`.
    pub(crate) fn open(
        config: &Config,
        wrapping_key: &[u8; 32],
        signer: &dyn Signer,
        identity: &Identity,
        clock: Arc<dyn crate::clock::Clock>,
    ) -> Result<Self, BufferError> {
        let keys = Keys::open(&config.dir.join("keys"), wrapping_key)?;
        let cap = Cap {
            bytes: config.buffer_bytes,
            age_ms: i64::try_from(config.buffer_age.as_millis()).unwrap_or(i64::MAX),
        };
        let genesis = genesis(signer.public_key_spki());
        let open = || Buffer::open(&config.dir, genesis, &keys, cap, config.cache_bytes);
        let (buffer, set_aside) = match open() {
            // On a phone nobody else could move it away.
            Err(BufferError::Damaged { .. }) => {
                let path = Buffer::set_aside(&config.dir)?;
                (open()?, Some(path))
            }
            opened => (opened?, None),
        };
        let anchor: Option<Anchor> = buffer.message(&keys, name::ANCHOR)?;
        let anchor = newest(anchor, identity.anchor.clone());
        let mut core = Self {
            time: Arc::new(Timekeeper::new(clock, anchor, buffer.known_ms())),
            device_id: identity.device_id.clone(),
            person: identity.person.clone(),
            spki: signer.public_key_spki().to_vec(),
            language: config.language.clone(),
            policy: None,
            offered: None,
            agreed: None,
            notice: None,
            consents: buffer.message(&keys, name::CONSENT)?.unwrap_or_default(),
            watch: Watch::default(),
            recognisers: HashMap::new(),
            packs: PackSet::builtin(),
            pause: buffer.message(&keys, name::PAUSE)?.unwrap_or_default(),
            private: buffer.message(&keys, name::PRIVATE)?.unwrap_or_default(),
            letters: buffer.message(&keys, name::LETTERS)?.unwrap_or_default(),
            proofs: Proofs::default(),
            drops: Drops::new(),
            permissions: BTreeMap::new(),
            app_versions: BTreeMap::new(),
            last_signal_ms: 0,
            problems: VecDeque::new(),
            unwritten: Vec::new(),
            ended_at: (0, 0),
            keys,
            buffer,
        };
        if let Some(path) = set_aside {
            core.problem(format!(
                "the buffer was damaged and moved to {}: what it held unsent is lost, and consent has \
                 to be given again",
                path.display()
            ));
        }
        core.begin_enrolment(genesis)?;
        core.load()?;
        core.finish_withdrawals()?;
        Ok(core)
    }

    fn load(&mut self) -> Result<(), BufferError> {
        if let Some(bytes) = self.buffer.state(&self.keys, name::POLICY)? {
            match Policy::read(&bytes, &self.device_id) {
                Ok(policy) => self.policy = Some(policy),
                // What was fit to be in force is not any more: a system update took its time zone away.
                Err(refusal) => {
                    self.problem(format!("the policy is out of force: {refusal}"));
                }
            }
        }
        if let Some(bytes) = self.buffer.state(&self.keys, name::OFFERED)? {
            self.offered = Policy::read(&bytes, &self.device_id).ok();
        }
        let stored: Option<StoredNotice> = self.buffer.message(&self.keys, name::NOTICE)?;
        if let Some(stored) = stored
            && let Ok(notice) = Notice::read(&stored.bytes)
        {
            self.notice = Some(CurrentNotice {
                notice,
                received_ms: stored.received_ms,
            });
        }
        if let Some(schedule) = &self.consents.schedule {
            self.agreed = Some(Hours::agreed(schedule));
        }
        let pack: Option<pb::Pack> = self.buffer.message(&self.keys, name::PACK)?;
        if let Some(pack) = pack {
            // A pack of an earlier release may not fit this one; the compiled-in packs do.
            if let Err(problem) = self.use_pack(&pack) {
                self.problem(problem);
            }
        }
        Ok(())
    }

    /// The newest notice and when it came.
    fn received(&self) -> Option<Received> {
        self.notice.as_ref().map(|it| Received {
            version: it.notice.notice.version,
            at_ms: it.received_ms,
        })
    }

    fn gate(&self, now_ms: i64) -> Gate<'_> {
        Gate {
            policy: self.policy.as_ref(),
            consents: &self.consents,
            notice: self.received(),
            paused_until_ms: self.pause.until_ms,
            now_ms,
        }
    }

    fn dropped(&mut self, reason: Drop, count: u64) {
        *self.drops.entry(reason.into()).or_default() += count;
    }

    /// Notes a problem for the status and the log; the text names versions and reasons, no content.
    fn problem(&mut self, text: String) {
        tracing::warn!(problem = text, "refused what the company sent");
        if self.problems.contains(&text) {
            return;
        }
        if self.problems.len() == 16 {
            self.problems.pop_front();
        }
        self.problems.push_back(text);
    }

    /// Appends a control record and returns its seq.
    fn append_control(
        &mut self,
        body: pb::control::Body,
        consent_of: Vec<Category>,
    ) -> Result<u64, BufferError> {
        let now_ms = self.now_ms();
        let body = pb::Control {
            version: mingjing_proto::RECORD_VERSION,
            body: Some(body),
        };
        let record = NewRecord {
            category: Category::Control,
            count: 1,
            body: body.encode_to_vec(),
            unanchored: None,
            consent_of,
        };
        self.buffer.append(&self.keys, vec![record], 0, now_ms)
    }

    /// Now, noted as known if it is.
    fn now_ms(&mut self) -> i64 {
        let now_ms = self.time.now().at_ms;
        self.buffer.know(self.time.last_known_ms());
        now_ms
    }

    fn store<M: Message>(&mut self, name: &str, value: &M) -> Result<(), BufferError> {
        let value = value.encode_to_vec();
        self.buffer.set_state(&self.keys, &[(name, Some(value))])
    }

    fn forget_all(&mut self) {
        for recogniser in self.recognisers.values_mut() {
            recogniser.forget();
        }
    }
}

fn newest(one: Option<Anchor>, other: Option<Anchor>) -> Option<Anchor> {
    match (one, other) {
        (Some(one), Some(other)) if other.server_ms > one.server_ms => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}
