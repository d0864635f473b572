//! Time, percentiles, progress: what every bench needs to measure and to show that it works.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// The moment of now.
#[allow(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since.
pub fn ms_since(then: Instant) -> f64 {
    then.elapsed().as_secs_f64() * 1000.0
}

/// The `p`th percentile (0–100) of sorted values; 0 of none.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index below the length"
)]
pub fn percentile(sorted: &[f64], p: f64) -> f64 {
    if sorted.is_empty() {
        return 0.0;
    }
    sorted[((sorted.len() - 1) as f64 * p / 100.0).round() as usize]
}

/// How long something took, over many times.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Spread {
    /// How often it was measured.
    pub samples: usize,
    /// The middle, milliseconds.
    pub p50_ms: f64,
    /// All but one of a hundred, milliseconds.
    pub p99_ms: f64,
    /// The slowest, milliseconds.
    pub max_ms: f64,
}

impl Spread {
    /// Of these milliseconds, in any order.
    pub fn of(mut ms: Vec<f64>) -> Self {
        ms.sort_by(f64::total_cmp);
        Self {
            samples: ms.len(),
            p50_ms: percentile(&ms, 50.0),
            p99_ms: percentile(&ms, 99.0),
            max_ms: ms.last().copied().unwrap_or(0.0),
        }
    }
}

/// A bar of so many steps on standard error, if a terminal is there.
pub fn bar(steps: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<36} {wide_bar} {pos}/{len}")
        .expect("the template is ours");
    let bar = ProgressBar::new(steps).with_style(style);
    bar.set_message(what.to_owned());
    bar
}

/// Waits so many seconds behind a bar.
pub async fn wait(seconds: u64, what: &str) {
    let bar = bar(seconds, what);
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
}

/// Seconds of processor time this thread has used.
pub fn thread_cpu_s() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().context("schedstat is empty")?;
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}

/// `yes` or `NO`, for a table's last column.
pub fn held(value: f64, most: f64) -> &'static str {
    if value <= most { "yes" } else { "NO" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(
            (spread.p50_ms, spread.p99_ms, spread.max_ms),
            (51.0, 99.0, 100.0)
        );
        assert_eq!(Spread::of(Vec::new()).samples, 0);
    }
}
