//! End to end: a real collector, real TLS, phones honest and not.

mod e2e {
    mod agent;
    mod backup;
    mod collectors;
    mod faults;
    mod kill;
    mod metrics;
    mod stores;
    mod wire;
}
