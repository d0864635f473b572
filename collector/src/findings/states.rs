//! The states of a finding and the steps between them (C4, design §8).
//!
//! Invariants: opening is no step (C5); every verdict is a person's; a step that its state does not
//! allow is refused.

use crate::error::{Error, Result};

/// How grave the rule is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Level {
    /// For statistics.
    Low,
    /// Look at it this week.
    Medium,
    /// Look at it today.
    High,
    /// Look at it now.
    Critical,
}

impl Level {
    /// From the stored number; what is beyond the scale counts as critical.
    pub fn from_number(number: i64) -> Self {
        match number {
            ..=0 => Self::Low,
            1 => Self::Medium,
            2 => Self::High,
            3.. => Self::Critical,
        }
    }

    /// The stored number.
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The word in URLs and locale keys.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Where the handling of a finding stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Nobody has it.
    New,
    /// Given to somebody.
    Assigned,
    /// Somebody is at it.
    InReview,
    /// In order.
    Compliant,
    /// Not in order.
    NonCompliant,
    /// In doubt.
    Questionable,
    /// The rule was wrong.
    FalsePositive,
    /// Passed upwards.
    Escalated,
    /// Done.
    Resolved,
}

impl State {
    /// States that wait for somebody.
    pub const OPEN: [Self; 4] = [Self::New, Self::Assigned, Self::InReview, Self::Escalated];

    /// The word stored, in URLs and in locale keys.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// From the stored word.
    pub fn from_name(name: &str) -> Result<Self> {
        name.parse()
            .map_err(|_| Error::Invalid("a finding has no such state".into()))
    }

    /// Whether a person has answered.
    pub fn is_verdict(self) -> bool {
        matches!(
            self,
            Self::Compliant | Self::NonCompliant | Self::Questionable | Self::FalsePositive
        )
    }
}

/// What a person does with a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes it.
    Take,
    /// Gives it to a person.
    Assign(String),
    /// Answers it: one of the verdicts.
    Mark(State),
    /// Passes it upwards.
    Escalate,
    /// Ends it.
    Resolve,
}

impl Step {
    /// The word stored as the step's action.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Assign(_) => "assign",
            Self::Mark(verdict) => verdict.name(),
            Self::Escalate => "escalate",
            Self::Resolve => "resolve",
        }
    }

    /// The state after this step, if the state before allows it.
    pub fn after(&self, before: State) -> Result<State> {
        let open = State::OPEN.contains(&before);
        let (allowed, after) = match self {
            Self::Take => (open, State::InReview),
            Self::Assign(_) => (open, State::Assigned),
            Self::Mark(verdict) => (
                verdict.is_verdict() && (open || before.is_verdict()) && *verdict != before,
                *verdict,
            ),
            Self::Escalate => (
                before != State::Escalated && before != State::Resolved,
                State::Escalated,
            ),
            Self::Resolve => (
                before.is_verdict() || before == State::Escalated,
                State::Resolved,
            ),
        };
        if allowed {
            Ok(after)
        } else {
            Err(Error::Conflict(
                "the finding's state does not allow this step",
            ))
        }
    }

    /// Whether the step is refused without a comment: what may weigh on somebody is explained (C6).
    pub fn needs_comment(&self) -> bool {
        match self {
            Self::Mark(verdict) => {
                matches!(verdict, State::NonCompliant | State::Questionable)
            }
            Self::Escalate => true,
            Self::Take | Self::Assign(_) | Self::Resolve => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answered_or_escalated_finding_ends() {
        assert!(Step::Resolve.after(State::New).is_err());
        assert!(Step::Resolve.after(State::InReview).is_err());
        assert_eq!(
            Step::Resolve.after(State::Compliant).unwrap(),
            State::Resolved
        );
        assert_eq!(
            Step::Resolve.after(State::Escalated).unwrap(),
            State::Resolved
        );
        assert!(Step::Take.after(State::Resolved).is_err());
        assert!(Step::Mark(State::New).after(State::InReview).is_err());
        assert_eq!(
            Step::Mark(State::Questionable).after(State::New).unwrap(),
            State::Questionable
        );
    }
}
