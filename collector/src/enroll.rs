//! Enrolment codes, `Enroll` and `Renew` (wire.md §7). Owns the table `tokens`.
//!
//! Invariants: a code is good once, for at most 24 hours, for one person, and is stored hashed; the
//! same code with the same key gives the same device again, so a lost reply costs nothing; a
//! certificate is renewed for the key and device it names only, and never for a revoked device.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mingjing_proto::chain::sha256;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::{limits, pb};
use prost::Message;
use rustls_pki_types::CertificateDer;
use sqlx::Row;
use tonic::{Request, Response, Status};

use crate::Shared;
use crate::attestation::{self, Evidence};
use crate::audit::Entry;
use crate::ca::{self, DeviceKey};
use crate::changes::{Changes, Kind};
use crate::devices::{self, NewDevice, State};
use crate::error::{Error, Result};
use crate::tls::Peer;

/// Makes an enrolment code for a person. The code itself is returned once and stored hashed.
pub async fn new_token(shared: &Shared, person: &str, actor: &str) -> Result<String> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).expect("the system gives random bytes");
    let now_ms = shared.clock.now_ms();
    let expires_ms = now_ms + i64::from(shared.config.phones.token_hours) * 3_600_000;
    let mut tx = shared.db.begin().await?;
    sqlx::query(
        "insert into tokens (secret_hash, person, created_ms, expires_ms, used_ms, device, spki_hash)
         values ($1, $2, $3, $4, null, null, null)",
    )
    .bind(&sha256(&secret)[..])
    .bind(person)
    .bind(now_ms)
    .bind(expires_ms)
    .execute(&mut *tx)
    .await?;
    shared
        .audit
        .append_in(&mut tx, Entry::new(actor, "token.new", person, ""))
        .await?;
    tx.commit().await?;
    let token = pb::EnrollmentToken {
        server: shared.addresses().enrollment,
        root_spki_sha256: shared.ca.root_spki_sha256()?.to_vec(),
        secret,
    };
    Ok(format!(
        "mj1.{}",
        URL_SAFE_NO_PAD.encode(token.encode_to_vec())
    ))
}

/// The enrolment listener's service.
#[derive(Debug)]
pub struct Service(pub Arc<Shared>);

fn peer<T>(request: &Request<T>) -> Option<Peer> {
    request.extensions().get::<Peer>().cloned()
}

#[tonic::async_trait]
impl pb::enrollment_server::Enrollment for Service {
    async fn enroll(
        &self,
        request: Request<pb::EnrollRequest>,
    ) -> std::result::Result<Response<pb::EnrollResponse>, Status> {
        let address = peer(&request).map(|peer| peer.address.ip());
        let answer = enroll(&self.0, request.into_inner()).await;
        match &answer {
            Ok(answer) => {
                self.0.metrics.enrolments.inc();
                tracing::info!(device = hex::encode(&answer.device_id), "phone enrolled");
            }
            Err(error) => {
                self.0.metrics.enrolments_refused.inc();
                tracing::warn!(%error, ?address, "enrolment refused");
            }
        }
        Ok(Response::new(answer?))
    }

    async fn renew(
        &self,
        request: Request<pb::RenewRequest>,
    ) -> std::result::Result<Response<pb::RenewResponse>, Status> {
        let certificate = peer(&request).and_then(|peer| peer.certificate);
        Ok(Response::new(
            renew(&self.0, certificate, request.into_inner()).await?,
        ))
    }
}

async fn enroll(shared: &Shared, request: pb::EnrollRequest) -> Result<pb::EnrollResponse> {
    const REFUSED: Error = Error::Forbidden("this enrolment code is unknown, used or expired");
    let short = [
        &request.manufacturer,
        &request.model,
        &request.serial,
        &request.os_version,
        &request.agent_version,
    ];
    if short.iter().any(|text| text.len() > 200)
        || request.attestation_chain.len() > limits::ATTESTATION_CERTS
        || request
            .attestation_chain
            .iter()
            .any(|certificate| certificate.len() > limits::ATTESTATION_CERT_BYTES)
    {
        return Err(Error::Invalid("a field is too long".to_owned()));
    }
    let key = DeviceKey::from_csr(&request.csr_der)?;
    let spki_hash = sha256(&key.spki);
    let secret_hash = sha256(&request.secret);
    let now_ms = shared.clock.now_ms();
    let mut tx = shared.db.begin().await?;
    let token = sqlx::query(
        "select person, expires_ms, used_ms, device, spki_hash from tokens where secret_hash = $1",
    )
    .bind(&secret_hash[..])
    .fetch_optional(&mut *tx)
    .await?
    .ok_or(REFUSED)?;
    let person: String = token.try_get("person")?;
    let used_by: Option<Vec<u8>> = token.try_get("device")?;
    if let Some(used_by) = used_by {
        // The same key asks again: its first answer was lost.
        let same: Option<Vec<u8>> = token.try_get("spki_hash")?;
        if same.as_deref() != Some(&spki_hash[..]) {
            return Err(REFUSED);
        }
        drop(tx);
        let id = DeviceId::from_slice(&used_by).map_err(|_| REFUSED)?;
        let device = devices::load(shared.db.reader(), id).await?;
        if device.state == State::Revoked {
            return Err(Error::Revoked);
        }
        let (chain, _) = certificate(shared, &key, id, now_ms)?;
        return answer(
            shared,
            id,
            &device.person,
            device.state,
            &key,
            &chain,
            now_ms,
        );
    }
    if now_ms >= token.try_get::<i64, _>("expires_ms")? {
        return Err(REFUSED);
    }
    let mut id = DeviceId([0; 16]);
    getrandom::fill(&mut id.0).expect("the system gives random bytes");
    let evidence = weigh(shared, &request, &key.spki, &secret_hash, now_ms)?;
    let known =
        !request.serial.is_empty() && shared.config.phones.known_serials.contains(&request.serial);
    let state = if shared.config.phones.confirm && !known {
        State::Pending
    } else {
        State::Active
    };
    let (chain, until_ms) = certificate(shared, &key, id, now_ms)?;
    let taken = sqlx::query(
        "update tokens set used_ms = $1, device = $2, spki_hash = $3
         where secret_hash = $4 and used_ms is null",
    )
    .bind(now_ms)
    .bind(&id.0[..])
    .bind(&spki_hash[..])
    .bind(&secret_hash[..])
    .execute(&mut *tx)
    .await?;
    if taken.rows_affected() == 0 {
        return Err(REFUSED);
    }
    let new = NewDevice {
        device: id,
        person: person.clone(),
        spki: key.spki.clone(),
        point: key.point.clone(),
        state,
        evidence,
        model: format!("{} {}", request.manufacturer, request.model)
            .trim()
            .to_owned(),
        agent_version: request.agent_version,
        enrolled_ms: now_ms,
        certificate_until_ms: until_ms,
    };
    devices::insert(&mut tx, &new).await?;
    let detail = format!("{person} key={}", evidence.name());
    let entry = Entry::new("system", "device.enroll", id.to_string(), detail);
    shared.audit.append_in(&mut tx, entry).await?;
    let change = Changes::record(&mut tx, now_ms, Kind::Device, &id.to_string()).await?;
    tx.commit().await?;
    shared.changes.announce(change);
    answer(shared, id, &person, state, &key, &chain, now_ms)
}

/// What the key's attestation is worth; an error when the company asks for more.
fn weigh(
    shared: &Shared,
    request: &pb::EnrollRequest,
    spki: &[u8],
    challenge: &[u8; 32],
    now_ms: i64,
) -> Result<Evidence> {
    let chain = &request.attestation_chain;
    let status = shared
        .attestation_status
        .read()
        .expect("no panic while holding the list")
        .clone();
    let evidence = attestation::weigh(&shared.attestation, &status, chain, spki, challenge, now_ms);
    let minimum = shared.config.phones.minimum_trust;
    if evidence.tier() < minimum {
        tracing::warn!(
            evidence = evidence.name(),
            minimum = minimum.name(),
            "a phone's key is not attested as phones.minimum_trust asks"
        );
        return Err(Error::Forbidden(
            "this phone's key is not attested as the company asks for; IT finds the reason in the log",
        ));
    }
    Ok(evidence)
}

fn certificate(
    shared: &Shared,
    key: &DeviceKey,
    id: DeviceId,
    now_ms: i64,
) -> Result<(Vec<CertificateDer<'static>>, i64)> {
    shared
        .ca
        .device_certificate(key, id, now_ms, shared.config.phones.certificate_days)
}

fn answer(
    shared: &Shared,
    id: DeviceId,
    person: &str,
    state: State,
    key: &DeviceKey,
    chain: &[CertificateDer<'static>],
    now_ms: i64,
) -> Result<pb::EnrollResponse> {
    Ok(pb::EnrollResponse {
        device_id: id.0.to_vec(),
        certificate_chain: chain
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect(),
        roots: shared.ca.roots().iter().map(|root| root.to_vec()).collect(),
        session_server: shared.addresses().session,
        server_time_ms: now_ms,
        pending: state == State::Pending,
        confirmation_code: devices::confirmation_code(&key.spki),
        company: shared.config.company.name.clone(),
        person: person.to_owned(),
    })
}

/// Renews the certificate of the device its present certificate names.
pub async fn renew(
    shared: &Shared,
    certificate_now: Option<CertificateDer<'static>>,
    request: pb::RenewRequest,
) -> Result<pb::RenewResponse> {
    let certificate_now = certificate_now.ok_or(Error::Unauthenticated(
        "renewal needs the phone's certificate",
    ))?;
    let (id, _) = ca::device_of(&certificate_now)?;
    let device = devices::load(shared.db.reader(), id).await?;
    if device.state == State::Revoked {
        return Err(Error::Revoked);
    }
    let key = DeviceKey::from_csr(&request.csr_der)?;
    if key.spki != device.spki {
        return Err(Error::Forbidden(
            "a certificate is renewed for the same key only",
        ));
    }
    let now_ms = shared.clock.now_ms();
    let (chain, until_ms) = certificate(shared, &key, id, now_ms)?;
    devices::set_certificate_until(&shared.db, id, until_ms).await?;
    tracing::info!(device = %id, "certificate renewed");
    Ok(pb::RenewResponse {
        certificate_chain: chain
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect(),
        roots: shared.ca.roots().iter().map(|root| root.to_vec()).collect(),
        server_time_ms: now_ms,
    })
}
