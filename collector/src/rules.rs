//! Not written yet.

/// Rules that do not load.
#[derive(Debug, thiserror::Error)]
#[error("rules")]
pub struct RulesError;

/// The rules in force.
#[derive(Debug)]
pub struct RuleSet;
