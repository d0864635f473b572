//! The only crate that sees both sides: harness, raw phone, end-to-end tests, demo, bench, tidy.

pub mod bench;
pub mod browser;
pub mod child;
pub mod clock;
pub mod company;
pub mod demo;
pub mod disk;
pub mod harness;
pub mod line;
pub mod oracle;
pub mod phone;
pub mod postgres;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod scene;
pub mod search;
