//! Mingjing's phone agent: decides whether something may be looked at, recognises what happened,
//! keeps it sealed, and sends it.
//!
//! Invariants (design §1): nothing is parsed before the scope, account, hours and consent gate has
//! let it pass; nothing leaves the buffer before the collector's acknowledgement except by
//! withdrawal or the cap, and both leave a `Gap`.

pub mod buffer;
pub mod clock;
pub mod config;
mod core;
pub mod notice;
pub mod identity;
pub mod consent;
pub mod hours;
pub mod keys;
pub mod pack;
pub mod policy;
pub mod proof;
pub mod recognise;
pub mod scope;
pub mod session;
#[cfg(test)]
mod testing;
pub mod tls;

/// This agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// UTC day of a time, days since 1970-01-01.
pub(crate) fn utc_day(at_ms: i64) -> i32 {
    i32::try_from(at_ms.div_euclid(86_400_000)).unwrap_or(i32::MAX)
}
