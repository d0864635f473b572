//! The only crate that sees both sides: harness, raw phone, end-to-end tests, demo, bench, tidy.

pub mod bench;
pub mod child;
pub mod clock;
pub mod harness;
pub mod raw;
