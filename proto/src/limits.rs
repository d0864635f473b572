//! Every number that bounds what one side may ask of the other.
//!
//! Invariant: both sides take their caps from here; a cap is changed in this file or not at all.

/// Events in one record, at most.
pub const RECORD_EVENTS: usize = 25;
/// Encoded bytes of one record's body before a new record is begun. One large event may exceed it.
pub const RECORD_BYTES: usize = 4096;
/// Encoded bytes of one event; longer text is cut and marked.
pub const EVENT_BYTES: usize = 64 * 1024;
/// Bytes of a text field kept from one event, leaving room for the other fields.
pub const TEXT_BYTES: usize = 48 * 1024;
/// Bytes of a name, title or other short field.
pub const NAME_BYTES: usize = 1024;
/// Members listed in one event.
pub const MEMBERS: usize = 512;
/// Bytes of one batch after inflating.
pub const BATCH_BYTES: usize = 1024 * 1024;
/// Events in one batch.
pub const BATCH_EVENTS: usize = 1000;
/// Batches a phone may have unanswered.
pub const IN_FLIGHT: usize = 32;
/// Bytes of one gRPC message, either direction.
pub const MESSAGE_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of a certificate signing request.
pub const CSR_BYTES: usize = 4096;
/// Certificates in an attestation chain, and bytes of each.
pub const ATTESTATION_CERTS: usize = 8;
/// Bytes of one certificate in an attestation chain.
pub const ATTESTATION_CERT_BYTES: usize = 16 * 1024;
/// Bytes of a free text written by the employee (answer, complaint, request).
pub const LETTER_BYTES: usize = 16 * 1024;
/// Bytes of a letter's id.
pub const LETTER_ID_BYTES: usize = 64;
/// Letters of one phone the collector takes in 24 hours; the others wait on the phone.
pub const LETTERS_PER_DAY: i64 = 200;
/// Bytes of a password in a grant proof.
pub const PASSWORD_BYTES: usize = 256;
/// Bytes of buffered records on the phone before the oldest unsent go.
pub const BUFFER_BYTES: u64 = 64 * 1024 * 1024;
/// Age of buffered records on the phone before the oldest unsent go.
pub const BUFFER_DAYS: u64 = 7;
/// Text nodes of one window that are looked at.
pub const SCREEN_NODES: usize = 10_000;
/// Signals in one `record` call.
pub const SIGNALS: usize = 10_000;
/// Hours a superseded notice still allows capture, of elapsed time since the phone received the new one.
pub const NOTICE_GRACE_HOURS: u64 = 72;
