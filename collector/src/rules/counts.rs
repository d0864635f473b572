//! How often something happened within a window: sums over buckets of a twelfth of the window.
//!
//! Invariants: a bucket is (rule, scope, number) and only grows; the answer to an addition is the fullest
//! window that contains the bucket, so an event that arrives late is judged with those around it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Event;
use super::parse::CountBy;

/// Buckets of a window.
pub const BUCKETS: i64 = 12;

/// The window with the largest sum among those that contain a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first bucket.
    pub first_bucket: i64,
    /// Sum of its [`BUCKETS`] buckets.
    pub sum: i64,
}

/// Where counts are kept. One table holds them: `(rule, scope, bucket) → value`.
pub trait Counts {
    /// The scope's key. The name of a person or conversation is content: a store that is not sealed
    /// keeps a keyed hash of it.
    fn scope(&self, by: CountBy, event: &Event<'_>) -> String;

    /// Adds to a bucket and answers the fullest window around it; see [`fullest_window`].
    fn add(&self, rule: &str, scope: &str, bucket: i64, by: i64) -> Window;
}

/// The fullest window among those that contain `bucket`, the earliest of equals. `value` gives a bucket's
/// value, 0 for buckets not there; only `bucket - 11 ..= bucket + 11` are asked.
pub fn fullest_window(bucket: i64, value: impl Fn(i64) -> i64) -> Window {
    let sum_from = |first: i64| (first..first + BUCKETS).map(&value).sum();
    let mut fullest = Window {
        first_bucket: bucket - BUCKETS + 1,
        sum: sum_from(bucket - BUCKETS + 1),
    };
    for first_bucket in bucket - BUCKETS + 2..=bucket {
        let sum = sum_from(first_bucket);
        if sum > fullest.sum {
            fullest = Window { first_bucket, sum };
        }
    }
    fullest
}

/// Counts in memory, for files and examples; scopes are plain names.
#[derive(Debug, Default)]
pub struct MemoryCounts {
    buckets: RefCell<BTreeMap<(String, String, i64), i64>>,
}

impl Counts for MemoryCounts {
    fn scope(&self, by: CountBy, event: &Event<'_>) -> String {
        let title = event.activity.conversation.as_ref().map(|it| &it.title);
        match by {
            CountBy::Account => event.account.to_owned(),
            CountBy::Conversation => {
                let name = title.unwrap_or(&event.activity.peer);
                format!("{}\n{name}", event.account)
            }
            CountBy::Peer => format!("{}\n{}", event.account, event.activity.peer),
            CountBy::Department => event.department.to_owned(),
        }
    }

    fn add(&self, rule: &str, scope: &str, bucket: i64, by: i64) -> Window {
        let key = |bucket| (rule.to_owned(), scope.to_owned(), bucket);
        let mut buckets = self.buckets.borrow_mut();
        *buckets.entry(key(bucket)).or_default() += by;
        fullest_window(bucket, |at| buckets.get(&key(at)).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_events_count_with_those_after_them() {
        let counts = MemoryCounts::default();
        for (bucket, first_bucket, sum) in [(100, 89, 1), (105, 94, 2), (116, 105, 2), (106, 95, 3)]
        {
            let window = counts.add("rule", "scope", bucket, 1);
            assert_eq!(window, Window { first_bucket, sum }, "bucket {bucket}");
        }
    }
}
