//! The words of design §5: kinds, categories, directions, sources and confidences by name.
//!
//! Invariants: each name maps to one value and back; every kind belongs to exactly one category.

use crate::pb::{
    Category, Confidence, Decision, Direction, GapReason, HoldReason, Kind, RefusalReason,
    SignedKind, Source,
};

/// An enum of the vocabulary: its values and their names are those of the protobuf files.
pub trait Named:
    Sized + Copy + Into<&'static str> + std::str::FromStr + strum::VariantArray
{
    /// The name used in JSON, YAML and the console, such as `message_recalled`.
    fn name(self) -> &'static str {
        self.into()
    }

    /// The value with this name; `None` for unknown names and for "unspecified".
    fn from_name(name: &str) -> Option<Self> {
        if name == "unspecified" {
            return None;
        }
        name.parse().ok()
    }
}

impl Named for Category {}
impl Named for Kind {}
impl Named for Direction {}
impl Named for Source {}
impl Named for Confidence {}
impl Named for Decision {}
impl Named for GapReason {}
impl Named for RefusalReason {}
impl Named for HoldReason {}
impl Named for SignedKind {}

impl Category {
    /// The categories an employee decides on; `device` follows the others, control is never content.
    pub const CONSENTED: [Self; 7] = [
        Self::Messages,
        Self::Contacts,
        Self::Groups,
        Self::Money,
        Self::Location,
        Self::Operations,
        Self::Usage,
    ];
}

impl Kind {
    /// The one category this kind belongs to; control for the unspecified kind.
    pub fn category(self) -> Category {
        match self {
            Self::Unspecified => Category::Control,
            Self::Message
            | Self::MessageRecalled
            | Self::MessageDeleted
            | Self::ChatCleared
            | Self::Call => Category::Messages,
            Self::ContactAdded
            | Self::ContactRequested
            | Self::ContactDeleted
            | Self::DeletedByContact => Category::Contacts,
            Self::GroupCreated
            | Self::GroupJoined
            | Self::GroupLeft
            | Self::GroupRenamed
            | Self::GroupDissolved
            | Self::MemberAdded
            | Self::MemberRemoved => Category::Groups,
            Self::RedPacketSent
            | Self::RedPacketReceived
            | Self::RedPacketOpened
            | Self::TransferSent
            | Self::TransferReceived
            | Self::TransferConfirmed
            | Self::TransferReturned
            | Self::PaymentReceived => Category::Money,
            Self::LocationShared => Category::Location,
            Self::CardSent
            | Self::CardReceived
            | Self::ScanOpened
            | Self::DesktopLogin
            | Self::AccountLogin
            | Self::AccountLogout
            | Self::MomentsOpened => Category::Operations,
            Self::Usage => Category::Usage,
            Self::Coverage => Category::Device,
        }
    }
}

/// What a message can be (`Activity.content` of a `message`).
pub const MESSAGE_CONTENTS: [&str; 10] = [
    "text",
    "image",
    "voice",
    "video",
    "file",
    "link",
    "mini_program",
    "sticker",
    "merged_history",
    "other",
];

/// What a coverage activity can say (`Activity.content` of `coverage`).
pub const COVERAGE_CONTENTS: [&str; 6] = [
    "gap",
    "degraded",
    "redacted",
    "preview_off",
    "off_account",
    "unsupported",
];

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn every_kind_has_a_name_and_a_category() {
        for &kind in Kind::VARIANTS
            .iter()
            .filter(|kind| **kind != Kind::Unspecified)
        {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
            assert_ne!(kind.category(), Category::Control, "{}", kind.name());
        }
    }
}
