//! Benchmarks as commands: each prints tables for people and one JSON object as its last line.
//!
//! Invariants: what is measured runs in a process of its own (collector or phone), the load in this
//! one; processor time is the process's, not the clock's; nothing is scaled up from a smaller run.

pub mod compare;
pub mod connections;
pub mod ingest;
pub mod latency;
pub mod load;
pub mod measure;
pub mod phone;
pub mod rules;
pub mod stages;
pub mod texts;
