//! End to end: a real collector, real TLS, phones honest and not.

mod e2e {
    mod agent;
    mod collectors;
    mod stores;
    mod wire;
}
