//! Mingjing's phone agent: decides whether something may be looked at, recognises what happened,
//! keeps it sealed, and sends it.
//!
//! Invariants (design §1): nothing is parsed before the scope, account, hours and consent gate has
//! let it pass; nothing leaves the buffer before the collector's acknowledgement except by
//! withdrawal or the cap, and both leave a `Gap`.

pub mod buffer;
pub mod clock;
pub mod config;
pub mod consent;
pub mod hours;
pub mod identity;
pub mod keys;
pub mod notice;
pub mod pack;
pub mod proof;
pub mod recognise;
pub mod scope;
pub mod session;
pub mod tls;
