//! Mingjing's collector: who may speak, what they say, what it means, who sees it.
//!
//! Invariants (design §1): nothing is stored without a signed consent; content is sealed before it
//! reaches a table; every look at content passes `access` and leaves an audit record.

pub mod audit;
pub mod changes;
pub mod clock;
pub mod db;
pub mod error;
pub mod normalise;
pub mod rules;
pub mod seal;
