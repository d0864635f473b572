//! What one session knows of its device: everything that decides a record, in memory.
//!
//! Invariants: loaded from the database at the session's start and after anything that may have changed
//! it elsewhere; ahead of the database only by records handed to the committer in this session.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mingjing_proto::chain::{self, Link};
use mingjing_proto::ids::DeviceId;
use sqlx::AnyConnection;

use crate::accounts::{self, Account};
use crate::archive;
use crate::consent::Consents;
use crate::devices::{self, Device, Head};
use crate::error::Result;
use crate::hours::Hours;
use crate::notice::{self, Received};
use crate::people::{self, Person};
use crate::policy::{self, Accepted, Version};
use crate::rules::RuleSet;
use crate::{Shared, devices::State};

/// Links of records handed to the committer that are looked up without the database.
const RECENT_LINKS: usize = 4096;

/// What the holder has and what the policies name.
async fn register(
    db: &mut AnyConnection,
    person: &str,
    policies: &HashMap<u32, Version>,
) -> Result<HashMap<String, Account>> {
    let held = accounts::of_holder(&mut *db, person).await?;
    let mut register: HashMap<_, _> = held
        .into_iter()
        .map(|account| (account.account.clone(), account))
        .collect();
    let given = policies.values().flat_map(|it| &it.policy.accounts);
    let others = given
        .map(|account| account.id.as_str())
        .filter(|id| !register.contains_key(*id));
    let others = accounts::named(db, others).await?;
    register.extend(others);
    Ok(register)
}

/// A session's knowledge of its device.
#[derive(Debug)]
pub struct View {
    /// The device's row.
    pub device: Device,
    /// Where the chain stands, records under way included.
    pub head: Head,
    /// Consents per category.
    pub consents: Consents,
    /// Policies given to this phone.
    pub policies: HashMap<u32, Version>,
    /// Which of them it accepted where, in order.
    pub accepted: Vec<Accepted>,
    /// Notices it received.
    pub received: Vec<Received>,
    /// The holder.
    pub person: Person,
    /// The holder's hours; `None` when no schedule is stored.
    pub hours: Option<Hours>,
    /// The holder's accounts and those its policies name, as far as they are in the register.
    pub register: HashMap<String, Account>,
    /// The rules in force.
    pub rules: Arc<RuleSet>,
    recent: VecDeque<(u64, u64, Link)>,
}

impl View {
    /// Loads everything.
    pub async fn load(shared: &Shared, device: DeviceId) -> Result<Self> {
        // One connection for all: taking and returning one costs as much as two of these reads.
        let db = &mut *shared.db.reader().acquire().await?;
        let device = devices::load(&mut *db, device).await?;
        let person = people::load(&mut *db, &device.person).await?;
        let policies = policy::versions(&mut *db, device.device).await?;
        Ok(Self {
            head: device.head,
            consents: Consents::load(&mut *db, device.device).await?,
            accepted: policy::accepted(&mut *db, device.device).await?,
            received: notice::received(&mut *db, device.device).await?,
            hours: people::schedule(&mut *db, &device.person)
                .await?
                .and_then(Hours::new),
            register: register(db, &device.person, &policies).await?,
            policies,
            rules: shared.rules(),
            recent: VecDeque::new(),
            person,
            device,
        })
    }

    /// Reads again what IT may have changed, keeping the chain's state.
    pub async fn refresh(&mut self, shared: &Shared) -> Result<()> {
        let db = &mut *shared.db.reader().acquire().await?;
        self.device = devices::load(&mut *db, self.device.device).await?;
        self.policies = policy::versions(&mut *db, self.device.device).await?;
        self.person = people::load(&mut *db, &self.device.person).await?;
        self.hours = people::schedule(&mut *db, &self.device.person)
            .await?
            .and_then(Hours::new);
        self.register = register(db, &self.device.person, &self.policies).await?;
        Ok(())
    }

    /// Takes up a policy that was just made for the phone.
    ///
    /// Its accounts are the holder's, which are known here already.
    pub fn give(&mut self, version: Version) {
        self.policies.insert(version.version, version);
    }

    /// Whether the device may still speak.
    pub fn active(&self) -> bool {
        self.device.state == State::Active
    }

    /// Moves the head past a record handed to the committer.
    pub fn advance(&mut self, head: Head) {
        self.head = head;
        if self.recent.len() >= RECENT_LINKS {
            self.recent.pop_front();
        }
        self.recent.push_back((head.epoch, head.seq, head.link));
    }

    /// The link after `seq`, if a record ends there.
    pub async fn link_at(&self, shared: &Shared, epoch: u64, seq: u64) -> Result<Option<Link>> {
        let recent = self
            .recent
            .iter()
            .rev()
            .find(|(at_epoch, at_seq, _)| (*at_epoch, *at_seq) == (epoch, seq));
        if let Some((_, _, link)) = recent {
            return Ok(Some(*link));
        }
        if seq == 0 {
            return archive::first_previous(&shared.db, &self.device, epoch).await;
        }
        archive::link_at(&shared.db, self.device.device, epoch, seq).await
    }

    /// The genesis link of the device's first epoch.
    pub fn genesis(&self) -> Link {
        chain::genesis(&self.device.spki)
    }
}
