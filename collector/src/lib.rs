//! Mingjing's collector: who may speak, what they say, what it means, who sees it.
//!
//! Invariants (design §1): nothing is stored without a signed consent; content is sealed before it
//! reaches a table; every look at content passes `access` and leaves an audit record.

pub mod access;
pub mod accounts;
pub mod archive;
pub mod audit;
pub mod ca;
pub mod changes;
pub mod clock;
pub mod config;
pub mod consent;
pub mod console;
pub mod db;
pub mod devices;
pub mod enroll;
pub mod error;
pub mod findings;
#[cfg(test)]
mod fixture;
pub mod hours;
pub mod ingest;
pub mod normalise;
pub mod notice;
pub mod people;
pub mod policy;
pub mod rules;
pub mod seal;
pub mod tls;

use std::sync::{Arc, OnceLock, RwLock};

use crate::audit::Audit;
use crate::ca::Ca;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::rules::RuleSet;
use crate::seal::Sealer;

/// What every part of one running collector shares.
#[derive(Debug)]
pub struct Shared {
    /// Validated settings.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Content keys.
    pub sealer: Sealer,
    /// The audit chain of this collector.
    pub audit: Audit,
    /// News between collectors and open consoles.
    pub changes: Changes,
    /// The certificate authority.
    pub ca: Ca,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The rules in force; replaced whole.
    pub rules: RwLock<Arc<RuleSet>>,
    /// Where the listeners are; known once they are bound.
    pub addresses: OnceLock<Addresses>,
}

impl Shared {
    /// The rules in force.
    pub fn rules(&self) -> Arc<RuleSet> {
        self.rules
            .read()
            .expect("no panic while holding the rules")
            .clone()
    }

    /// Where the listeners are, as phones and browsers see them.
    pub fn addresses(&self) -> Addresses {
        let port = |address: std::net::SocketAddr| address.port();
        let name = &self.config.public.names[0];
        self.addresses.get().cloned().unwrap_or_else(|| Addresses {
            enrollment: format!("https://{name}:{}", port(self.config.listen.enrollment)),
            session: format!("https://{name}:{}", port(self.config.listen.session)),
            console: format!("https://{name}:{}", port(self.config.listen.console)),
        })
    }
}

/// Addresses as phones and browsers see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// `https://host:port` of the enrolment listener.
    pub enrollment: String,
    /// `https://host:port` of the session listener.
    pub session: String,
    /// `https://host:port` of the console.
    pub console: String,
}
