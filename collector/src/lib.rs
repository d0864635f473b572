//! Mingjing's collector: who may speak, what they say, what it means, who sees it.
//!
//! Invariants (design §1): nothing is stored without a signed consent; content is sealed before it
//! reaches a table; every look at content passes `access` and leaves an audit record.

pub mod access;
pub mod audit;
pub mod changes;
pub mod clock;
pub mod db;
pub mod error;
pub mod findings;
pub mod normalise;
pub mod people;
pub mod rules;
pub mod seal;

/// What every part of a running collector shares.
#[derive(Debug)]
pub struct Shared {
    /// The store.
    pub db: db::Db,
    /// The keys.
    pub sealer: seal::Sealer,
    /// The log.
    pub audit: audit::Audit,
    /// What consoles hear.
    pub changes: changes::Changes,
    /// The time.
    pub clock: std::sync::Arc<dyn clock::Clock>,
}
