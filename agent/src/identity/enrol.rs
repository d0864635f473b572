//! Enrolment (wire.md §7): a one-use token for a certificate.
//!
//! Invariants: the server must show a chain that leads to the root the token names; a lost answer costs
//! nothing, because the same token with the same key gets the same answer again.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mingjing_proto::pb;
use prost::Message;

use super::der::request;
use super::{Identity, IdentityError, SignError, Signer, check_answer, spki_sha256};
use crate::clock::Timekeeper;
use crate::tls::{self, TlsError};

const PREFIX: &str = "mj1.";

/// Why enrolment failed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Not a token of ours.
    #[error(
        "this is not an enrolment token; it begins with \"mj1.\" and is printed whole by the console"
    )]
    Token,
    /// The device key would not sign the request.
    #[error("the certificate request could not be signed")]
    Csr(#[source] SignError),
    /// The address, or the connection.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server refused.
    #[error("the collector refused: {0}")]
    Refused(String),
    /// The server could not be reached or answered out of form.
    #[error("no answer from {server}")]
    Unreachable {
        /// The enrolment listener.
        server: String,
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What came back can't be used or stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What the phone says about itself.
#[derive(Clone, Debug, Default)]
pub struct PhoneFacts {
    /// `Build.MANUFACTURER`
    pub manufacturer: String,
    /// `Build.MODEL`
    pub model: String,
    /// Serial number, where the owner app may read it.
    pub serial: String,
    /// Android release.
    pub os_version: String,
    /// Key attestation, DER, leaf first; empty for software keys.
    pub attestation_chain: Vec<Vec<u8>>,
}

/// An enrolment token, read.
#[derive(Clone)]
pub struct Token(pb::EnrollmentToken);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("server", &self.0.server)
            .finish_non_exhaustive()
    }
}

impl std::str::FromStr for Token {
    type Err = EnrolError;
    fn from_str(text: &str) -> Result<Self, EnrolError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(EnrolError::Token)?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(encoded.trim_end_matches('='))
            .map_err(|_| EnrolError::Token)?;
        let token = pb::EnrollmentToken::decode(&*bytes).map_err(|_| EnrolError::Token)?;
        if token.root_spki_sha256.len() != 32 || token.secret.is_empty() {
            return Err(EnrolError::Token);
        }
        Ok(Self(token))
    }
}

/// Enrols with `token` and stores the identity in `dir`.
pub async fn enrol(
    dir: &Path,
    token: &Token,
    signer: &dyn Signer,
    time: &Arc<Timekeeper>,
    facts: PhoneFacts,
) -> Result<Identity, EnrolError> {
    let token = &token.0;
    let root: [u8; 32] = token.root_spki_sha256[..]
        .try_into()
        .map_err(|_| EnrolError::Token)?;
    let unreachable = |source| EnrolError::Unreachable {
        server: token.server.clone(),
        source,
    };
    let request = pb::EnrollRequest {
        secret: token.secret.clone(),
        csr_der: request(signer).map_err(EnrolError::Csr)?,
        attestation_chain: facts.attestation_chain,
        manufacturer: facts.manufacturer,
        model: facts.model,
        serial: facts.serial,
        os_version: facts.os_version,
        agent_version: crate::VERSION.to_owned(),
    };
    let config = tls::pinned(root, time.clone())?;
    let channel = tls::connect(&token.server, config, None)
        .await
        .map_err(|error| unreachable(error.into()))?;
    let answer = pb::enrollment_client::EnrollmentClient::new(channel)
        .enroll(request)
        .await
        .map_err(|status| refused(status, unreachable))?
        .into_inner();
    check_answer(&answer.certificate_chain, &answer.roots, signer)?;
    if !answer
        .roots
        .iter()
        .any(|der| spki_sha256(der) == Some(root))
    {
        return Err(IdentityError::Certificate("the token's root is not among the roots").into());
    }
    let identity = Identity {
        device_id: answer.device_id,
        certificate_chain: answer.certificate_chain,
        roots: answer.roots,
        session_server: answer.session_server,
        enrolment_server: token.server.clone(),
        company: answer.company,
        person: answer.person,
        pending: answer.pending,
        // A collector that confirms by itself names the code all the same: nobody has to be told.
        confirmation_code: if answer.pending {
            answer.confirmation_code
        } else {
            String::new()
        },
        anchor: Some(time.anchor(answer.server_time_ms)),
    };
    identity.device()?;
    identity.store(dir)?;
    Ok(identity)
}

fn refused(
    status: tonic::Status,
    unreachable: impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> EnrolError,
) -> EnrolError {
    use tonic::Code;
    if matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
    ) {
        return unreachable(status.into());
    }
    EnrolError::Refused(format!("{} ({:?})", status.message(), status.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_are_read() {
        let token = |secret: &[u8], root: &[u8]| {
            let token = pb::EnrollmentToken {
                server: "https://127.0.0.1:1".into(),
                root_spki_sha256: root.to_vec(),
                secret: secret.to_vec(),
            };
            format!(
                "{PREFIX}{}",
                BASE64_URL_SAFE_NO_PAD.encode(token.encode_to_vec())
            )
        };
        let good = token(&[1; 32], &[2; 32]);
        assert!(good.parse::<Token>().is_ok());
        assert!(format!(" {good}\n").parse::<Token>().is_ok());
        let shown = format!("{:?}", good.parse::<Token>());
        assert!(!shown.contains("[1, 1"), "the secret is not for logs");
        for bad in [
            "",
            "mj1.",
            "mj2.AAAA",
            &good[4..],
            &token(&[1; 32], &[2; 31]),
        ] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
