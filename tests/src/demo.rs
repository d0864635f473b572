//! The demo: a company of twelve phones, a recorded working day, the product's own two halves.
//!
//! Invariants: one accelerated clock goes to collector, agents and TLS; everything passes through the
//! functions the product's commands and pages call; nothing here decides what is captured or judged.

pub mod cut;
pub mod day;
pub mod forbidden;
pub mod guide;
pub mod play;
pub mod stage;
pub mod verify;
