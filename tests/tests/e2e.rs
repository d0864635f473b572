//! End to end: a real collector, real TLS, phones honest and not.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, and says where"
)]

mod e2e {
    mod agent;
    mod attestation;
    mod backup;
    mod chains;
    mod collectors;
    mod disks;
    mod enrolment;
    mod faults;
    mod hours;
    mod kill;
    mod letters;
    mod metrics;
    mod model;
    mod network;
    mod news;
    mod operations;
    mod packs;
    mod positions;
    mod pressure;
    mod releases;
    mod stores;
    mod verdicts;
    mod wire;
}
