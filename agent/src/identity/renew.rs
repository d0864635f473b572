//! Renewal (wire.md §7): the same key, a new certificate, a new set of roots.
//!
//! Invariant: the new identity is checked and stored before it is published.

use std::path::Path;
use std::sync::Arc;

use mingjing_proto::pb;

use super::der::request;
use super::{Identity, IdentityError, SignError, Signer, check_answer};
use crate::clock::Timekeeper;
use crate::tls::{self, TlsError};

/// Why a certificate could not be renewed; it is tried again later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("the certificate request could not be signed")]
    Csr(#[source] SignError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the collector did not renew")]
    Refused(#[source] Box<tonic::Status>),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Renews over an open session channel.
pub(crate) async fn renew_in(
    channel: tonic::transport::Channel,
    dir: &Path,
    identity: &Identity,
    signer: &dyn Signer,
) -> Result<Identity, RenewError> {
    let csr_der = request(signer).map_err(RenewError::Csr)?;
    let answer = pb::phone_client::PhoneClient::new(channel)
        .renew(pb::RenewRequest { csr_der })
        .await
        .map_err(|status| RenewError::Refused(Box::new(status)))?;
    accept(dir, identity, signer, answer.into_inner())
}

/// Renews an expired certificate on the enrolment listener, which accepts it for this one call.
pub(crate) async fn renew_expired(
    dir: &Path,
    identity: &Identity,
    signer: &Arc<dyn Signer>,
    time: &Arc<Timekeeper>,
) -> Result<Identity, RenewError> {
    let csr_der = request(signer.as_ref()).map_err(RenewError::Csr)?;
    let config = tls::mutual(identity, signer.clone(), time.clone())?;
    let channel = tls::connect(&identity.enrolment_server, config, None).await?;
    let answer = pb::enrollment_client::EnrollmentClient::new(channel)
        .renew(pb::RenewRequest { csr_der })
        .await
        .map_err(|status| RenewError::Refused(Box::new(status)))?;
    accept(dir, identity, signer.as_ref(), answer.into_inner())
}

fn accept(
    dir: &Path,
    identity: &Identity,
    signer: &dyn Signer,
    answer: pb::RenewResponse,
) -> Result<Identity, RenewError> {
    check_answer(&answer.certificate_chain, &answer.roots, signer)?;
    let renewed = Identity {
        certificate_chain: answer.certificate_chain,
        roots: answer.roots,
        ..identity.clone()
    };
    renewed.store(dir)?;
    Ok(renewed)
}
