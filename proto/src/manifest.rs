//! What the phone agent was built to do, as data both sides hash (wire.md §5, requirements N3 N4).
//!
//! Invariant: a notice names this hash; a phone refuses a notice that names another, so a server can
//! never describe, or ask for, more than the app was built for.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::chain::{Link, sha256};

/// The manifest's bytes, hashed as they are.
pub const BYTES: &[u8] = include_bytes!("../manifest.json");

/// SHA-256 of [`BYTES`].
pub static SHA256: LazyLock<Link> = LazyLock::new(|| sha256(BYTES));

/// The manifest, parsed. Values are keys of the notice's wording, never shown raw.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of this file.
    pub format: u32,
    /// Android packages that are looked at; everything else is dropped unread.
    pub apps: Vec<String>,
    /// How signals reach the agent.
    pub methods: Vec<String>,
    /// What may be captured at most.
    pub categories: Vec<String>,
    /// Categories with a switch and a justification of their own (N9).
    pub sensitive: Vec<String>,
    /// What is never collected (N4).
    pub never: Vec<String>,
    /// What the agent does to the phone: nothing, so this list is empty.
    pub acts: Vec<String>,
}

/// The compiled-in manifest.
pub static MANIFEST: LazyLock<Manifest> =
    LazyLock::new(|| serde_json::from_slice(BYTES).expect("the compiled manifest is valid"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::Category;
    use crate::vocabulary::Named;

    #[test]
    fn categories_are_of_the_vocabulary_and_no_act_is_declared() {
        for name in MANIFEST.categories.iter().chain(&MANIFEST.sensitive) {
            assert!(Category::from_name(name).is_some(), "{name}");
        }
        assert!(MANIFEST.acts.is_empty(), "design promise 4: read-only");
    }
}
