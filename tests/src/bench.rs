//! Benchmarks as commands: each prints tables for people and one JSON object as its last line.

pub mod ingest;
pub mod texts;
