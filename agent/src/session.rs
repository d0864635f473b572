//! Sends what the buffer holds and takes what the company sends: one stream, kept open.
//!
//! Invariants: all decisions are the [`machine`]'s; this shell connects, reads, writes and waits;
//! nothing is signed while the agent's lock is held, because a key store may block; every wait ends
//! with a message, new work, a kick or the stop.

mod alarm;
mod machine;
mod talk;

use std::sync::Arc;
use std::time::Duration;

use mingjing_proto::chain;
use mingjing_proto::device_signed::Purpose;
use mingjing_proto::pb;
use prost::Message;
use tonic::Code;

use crate::Shared;
use crate::identity::{RenewError, SignError, Signer, renew_expired};
use crate::tls::{self, TlsError};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("the device certificate can't be renewed")]
    Renew(#[from] RenewError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the collector ended the session: {0}")]
    Status(#[from] Box<tonic::Status>),
    #[error("the collector closed the session")]
    Closed,
    #[error("the collector broke the protocol: {0}")]
    Broken(&'static str),
    #[error("the connection does not take messages")]
    Stalled,
    #[error("the system gives no timer")]
    Alarm(#[source] std::io::Error),
    #[error("a newer session of this device took over")]
    Superseded,
    #[error("a withdrawal goes ahead of what waits")]
    Withdrawn,
    #[error(transparent)]
    Buffer(#[from] crate::buffer::BufferError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// What an ended session means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Try again, later each time.
    Backoff,
    /// Waits for a confirmation in the console.
    Pending,
    /// Revoked: only a person can change that.
    Revoked,
    /// Another session of this device took over.
    Superseded,
    /// At once.
    Now,
}

/// Decides after every end. A refused client certificate shows as `Cancelled` or `Unknown` and is
/// like any broken connection: the next attempt renews first if it has to.
fn next(error: &SessionError) -> Next {
    if matches!(error, SessionError::Superseded) {
        return Next::Superseded;
    }
    if matches!(error, SessionError::Withdrawn) {
        return Next::Now;
    }
    let (SessionError::Status(status) | SessionError::Renew(RenewError::Refused(status))) = error
    else {
        return Next::Backoff;
    };
    let says = |code, word| status.code() == code && status.message().starts_with(word);
    if says(Code::FailedPrecondition, "pending") {
        Next::Pending
    } else if says(Code::PermissionDenied, "revoked") {
        Next::Revoked
    } else {
        Next::Backoff
    }
}

/// Keeps a session open until the agent stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut attempt: u32 = 0;
    while !shared.stop.is_cancelled() {
        shared.set_session("connecting", String::new());
        let stopped = shared.stop.cancelled();
        let result = tokio::select! {
            () = stopped => break,
            result = once(&shared, &mut attempt) => result,
        };
        shared.core().buffer.forget_sent();
        let Err(error) = result else { break };
        let (state, wait) = match next(&error) {
            Next::Backoff => ("waiting", backoff(&shared, attempt)),
            Next::Pending => ("pending", backoff(&shared, attempt.min(4))),
            Next::Revoked => ("revoked", jitter(shared.config.superseded_wait)),
            Next::Superseded => ("superseded", jitter(shared.config.superseded_wait)),
            Next::Now => ("connecting", Duration::ZERO),
        };
        attempt = attempt.saturating_add(1);
        tracing::info!(error = %chain_text(&error), state, wait_ms = wait.as_millis(), "no session");
        shared.set_session(state, chain_text(&error));
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = shared.kick.notified() => attempt = 0,
            () = tokio::time::sleep(wait) => {}
        }
    }
    shared.set_session("stopped", String::new());
}

/// An error with its causes; none of ours carries content or secrets.
fn chain_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Exponential, with full jitter so that a thousand phones do not come back together.
fn backoff(shared: &Shared, attempt: u32) -> Duration {
    let (first, longest) = shared.config.backoff;
    let factor = 2_u32.saturating_pow(attempt.min(16));
    jitter(first.saturating_mul(factor).min(longest))
}

fn jitter(wait: Duration) -> Duration {
    let random = u32::from_be_bytes(crate::keys::random());
    wait.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// One attempt: renew if expired, connect, talk.
async fn once(shared: &Arc<Shared>, attempt: &mut u32) -> Result<(), SessionError> {
    let identity = shared.identity();
    let now_ms = shared.time.now().at_ms;
    let expired = identity.validity().is_some_and(|it| it.to_ms <= now_ms);
    let identity = if expired {
        let dir = &shared.config.dir;
        let renewed = renew_expired(dir, &identity, &shared.signer, &shared.time).await?;
        shared.publish(renewed)
    } else {
        identity
    };
    let config = tls::mutual(&identity, shared.signer.clone(), shared.time.clone())?;
    let keep_alive = Some(shared.config.keep_alive);
    let channel = tls::connect(&identity.session_server, config, keep_alive).await?;
    talk::talk(shared, channel, attempt).await
}

/// A gap as the control record that goes out; its link is the gap's `end_link`, so it may be built
/// anew for every sending.
pub(crate) fn gap_frame(gap: pb::Gap, signer: &dyn Signer) -> Result<pb::RecordFrame, SignError> {
    let payload = gap.encode_to_vec();
    let signature = signer.sign(&Purpose::Gap.bytes(&payload))?;
    let count = gap.last_seq - gap.first_seq + 1;
    let body = pb::Control {
        version: mingjing_proto::RECORD_VERSION,
        body: Some(pb::control::Body::Gap(pb::DeviceSigned {
            payload,
            signature,
        })),
    };
    let body = body.encode_to_vec();
    Ok(pb::RecordFrame {
        first_seq: gap.first_seq,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        category: pb::Category::Control.into(),
        salt: chain::sha256(&body)[..16].to_vec(),
        body: body.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_next_step() {
        let status =
            |code, message: &str| SessionError::from(Box::new(tonic::Status::new(code, message)));
        for (error, expected) in [
            (status(Code::FailedPrecondition, "pending"), Next::Pending),
            (status(Code::FailedPrecondition, "other"), Next::Backoff),
            (
                status(Code::PermissionDenied, "revoked: by IT"),
                Next::Revoked,
            ),
            (status(Code::Unknown, "tls"), Next::Backoff),
            (status(Code::Cancelled, ""), Next::Backoff),
            (SessionError::Superseded, Next::Superseded),
            (SessionError::Withdrawn, Next::Now),
            (SessionError::Closed, Next::Backoff),
        ] {
            assert_eq!(next(&error), expected, "{error}");
        }
    }

    #[test]
    fn jitter_stays_within_the_wait() {
        let wait = Duration::from_secs(8);
        assert!((0..200).all(|_| jitter(wait) <= wait));
    }
}
