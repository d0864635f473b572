//! The wire between phone and collector, its limits, and the vocabulary both speak.
//!
//! Invariants:
//! - bytes that are hashed are the bytes as sent; nothing here re-encodes them;
//! - every size that comes from outside is capped by a constant of [`limits`];
//! - wire types become trusted types in [`validate`] and nowhere else.

pub mod chain;
pub mod codec;
pub mod device_signed;
pub mod ids;
pub mod json;
pub mod letter;
pub mod limits;
pub mod manifest;
pub mod signed;
pub mod validate;
pub mod vocabulary;

/// The protobuf messages and services of `mingjing.v1`.
#[allow(
    missing_debug_implementations,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::todo,
    clippy::let_underscore_must_use,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod pb {
    tonic::include_proto!("mingjing.v1");
}

/// Protocol version spoken in `Hello.protocol`.
pub const PROTOCOL: u32 = 1;
/// Version written into `Events.version` and `Control.version`.
pub const RECORD_VERSION: u32 = 1;
