//! A phone written on raw tonic: it sends whatever a test wants, honest or not.
//!
//! Invariant: it shares no code with the agent, so that what it proves about the collector does not
//! rest on the agent's good manners.

mod session;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper_util::rt::TokioIo;
use mingjing_proto::chain::{self, Link};
use mingjing_proto::device_signed::Purpose;
use mingjing_proto::pb::{self, Category, Decision, from_device, to_device};
use prost::Message;
use rcgen::{CertificateParams, KeyPair, SigningKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

pub use self::session::RawSession;

/// A phone's key, certificate and place in its chain.
#[derive(Debug)]
pub struct RawPhone {
    /// Its private key.
    pub key: KeyPair,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// What enrolment answered.
    pub enrolled: pb::EnrollResponse,
    /// Epoch it writes in.
    pub epoch: u64,
    /// Last seq numbered.
    pub seq: u64,
    /// The link there.
    pub link: Link,
    /// Person id it claims.
    pub person: String,
    /// Where sessions go; enrolment's answer unless a test says otherwise.
    pub session_server: String,
}

/// The raw phone trusts any server: what it tests is the collector.
#[derive(Debug)]
struct TrustAll;

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What TLS needs to connect with this client certificate, or with none.
pub fn connector(
    identity: Option<(Vec<CertificateDer<'static>>, &KeyPair)>,
) -> anyhow::Result<TlsConnector> {
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAll));
    let mut config = match identity {
        Some((chain, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A channel to `server`.
pub async fn channel(server: &str, connector: TlsConnector) -> anyhow::Result<Channel> {
    let uri: Uri = server.parse()?;
    let address = format!("127.0.0.1:{}", uri.port_u16().context("a port")?);
    // The scheme tells tonic's HTTP/2 what it speaks; TLS is ours.
    let endpoint = Endpoint::from_shared(server.replacen("https", "http", 1))?
        // As long as the agent waits.
        .connect_timeout(Duration::from_secs(20));
    let service = tower::service_fn(move |_: Uri| {
        let (connector, address) = (connector.clone(), address.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").expect("a valid name");
            let tls = connector.connect(name, tcp).await?;
            Ok::<_, std::io::Error>(TokioIo::new(tls))
        }
    });
    Ok(endpoint.connect_with_connector(service).await?)
}

/// The parts of an enrolment code.
pub fn token(text: &str) -> anyhow::Result<pb::EnrollmentToken> {
    let encoded = text
        .strip_prefix("mj1.")
        .context("a code begins with mj1.")?;
    Ok(pb::EnrollmentToken::decode(
        &*URL_SAFE_NO_PAD.decode(encoded)?,
    )?)
}

/// A certificate signing request of this key.
pub fn csr(key: &KeyPair) -> anyhow::Result<Vec<u8>> {
    Ok(CertificateParams::default()
        .serialize_request(key)?
        .der()
        .to_vec())
}

/// Asks for enrolment with this code and key.
pub async fn enroll(token_text: &str, key: &KeyPair) -> anyhow::Result<pb::EnrollResponse> {
    enroll_attested(token_text, key, Vec::new()).await
}

/// Asks for enrolment with this code and key and an attestation of the key, leaf first.
pub async fn enroll_attested(
    token_text: &str,
    key: &KeyPair,
    attestation_chain: Vec<Vec<u8>>,
) -> anyhow::Result<pb::EnrollResponse> {
    let token = token(token_text)?;
    let channel = channel(&token.server, connector(None)?).await?;
    let request = pb::EnrollRequest {
        secret: token.secret,
        csr_der: csr(key)?,
        model: "raw phone".to_owned(),
        agent_version: "raw".to_owned(),
        attestation_chain,
        ..Default::default()
    };
    let answer = pb::enrollment_client::EnrollmentClient::new(channel)
        .enroll(request)
        .await?;
    Ok(answer.into_inner())
}

impl RawPhone {
    /// Enrols with a code.
    pub async fn enroll(token_text: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let enrolled = enroll(token_text, &key).await?;
        Self::new(key, enrolled)
    }

    /// A phone from what enrolment answered.
    pub fn new(key: KeyPair, enrolled: pb::EnrollResponse) -> anyhow::Result<Self> {
        let chain = enrolled
            .certificate_chain
            .iter()
            .map(|der| CertificateDer::from(der.clone()))
            .collect();
        use rcgen::PublicKeyData;
        let link = chain::genesis(&key.subject_public_key_info());
        Ok(Self {
            chain,
            epoch: 1,
            seq: 0,
            link,
            person: enrolled.person.clone(),
            session_server: enrolled.session_server.clone(),
            enrolled,
            key,
        })
    }

    /// The link before its first record.
    pub fn genesis(&self) -> Link {
        use rcgen::PublicKeyData;
        chain::genesis(&self.key.subject_public_key_info())
    }

    /// What its connections need, for who makes many of them.
    pub fn connector(&self) -> anyhow::Result<TlsConnector> {
        connector(Some((self.chain.clone(), &self.key)))
    }

    /// Connects without saying anything.
    pub async fn connect(&self) -> anyhow::Result<RawSession> {
        self.connect_by(self.connector()?).await
    }

    async fn connect_by(&self, connector: TlsConnector) -> anyhow::Result<RawSession> {
        let channel = channel(&self.session_server, connector).await?;
        let (up, receiver) = mpsc::channel(64);
        let answer = pb::phone_client::PhoneClient::new(channel)
            .max_decoding_message_size(16 << 20)
            .session(ReceiverStream::new(receiver))
            .await?;
        Ok(RawSession {
            up,
            down: answer.into_inner(),
        })
    }

    /// The hello of a phone that holds nothing unacknowledged.
    pub fn hello(&self) -> pb::Hello {
        pb::Hello {
            agent_version: "raw".to_owned(),
            protocol: 1,
            manifest_sha256: mingjing_proto::manifest::SHA256.to_vec(),
            epoch: self.epoch,
            first_seq: self.seq + 1,
            link_before: self.link.to_vec(),
            head_seq: self.seq,
            head_link: self.link.to_vec(),
            boot_id: vec![1; 16],
            ..Default::default()
        }
    }

    /// Connects, says hello and returns the welcome.
    pub async fn open(&self) -> anyhow::Result<(RawSession, pb::Welcome)> {
        self.open_with(self.hello()).await
    }

    /// Connects with this hello.
    pub async fn open_with(&self, hello: pb::Hello) -> anyhow::Result<(RawSession, pb::Welcome)> {
        self.open_by(self.connector()?, hello).await
    }

    /// Connects so, with this hello.
    pub async fn open_by(
        &self,
        connector: TlsConnector,
        hello: pb::Hello,
    ) -> anyhow::Result<(RawSession, pb::Welcome)> {
        let mut session = self.connect_by(connector).await?;
        session.send(from_device::Body::Hello(hello)).await?;
        let first = session.next().await?;
        let to_device::Body::Welcome(welcome) = first else {
            bail!("expected a welcome, got {first:?}");
        };
        Ok((session, welcome))
    }

    /// Appends a frame to the chain.
    pub fn append(&mut self, category: Category, count: u32, body: Vec<u8>) -> pb::RecordFrame {
        let mut salt = vec![0; 16];
        getrandom::fill(&mut salt).expect("random bytes");
        let frame = pb::RecordFrame {
            first_seq: self.seq + 1,
            count,
            category: category.into(),
            salt,
            body: body.into(),
        };
        self.link = chain::frame_link(&self.link, self.epoch, &frame);
        self.seq += u64::from(count);
        frame
    }

    /// A record of messages with these texts.
    pub fn messages(&mut self, account: &str, at_ms: i64, texts: &[&str]) -> pb::RecordFrame {
        let activities = texts
            .iter()
            .map(|text| pb::Activity {
                at_ms,
                utc_offset_min: 480,
                kind: pb::Kind::Message.into(),
                direction: pb::Direction::In.into(),
                conversation: Some(pb::Conversation {
                    title: "客户甲".to_owned(),
                    ..Default::default()
                }),
                peer: "客户甲".to_owned(),
                sender: "客户甲".to_owned(),
                content: "text".to_owned(),
                text: (*text).to_owned(),
                source: pb::Source::Notification.into(),
                confidence: pb::Confidence::Likely.into(),
                ..Default::default()
            })
            .collect();
        self.events(Category::Messages, account, at_ms, activities)
    }

    /// A record of these activities.
    pub fn events(
        &mut self,
        category: Category,
        account: &str,
        at_ms: i64,
        activities: Vec<pb::Activity>,
    ) -> pb::RecordFrame {
        let count = u32::try_from(activities.len()).expect("few");
        let events = pb::Events {
            version: 1,
            account: account.to_owned(),
            day: i32::try_from(at_ms.div_euclid(86_400_000)).expect("a day"),
            activities,
        };
        self.append(category, count, events.encode_to_vec())
    }

    /// Signs and appends a consent record.
    pub fn consent(
        &mut self,
        notice: &pb::Signed,
        decision: Decision,
        categories: &[Category],
    ) -> pb::RecordFrame {
        use rcgen::PublicKeyData;
        let version = pb::Notice::decode(&*notice.payload).map_or(0, |notice| notice.version);
        let consent = pb::Consent {
            consent_id: vec![9; 16],
            person: self.person.clone(),
            device_id: self.enrolled.device_id.clone(),
            key_fingerprint: chain::sha256(&self.key.subject_public_key_info()).to_vec(),
            notice_version: version,
            notice_sha256: chain::sha256(&notice.payload).to_vec(),
            language: "zh-CN".to_owned(),
            decisions: categories
                .iter()
                .map(|category| pb::CategoryDecision {
                    category: (*category).into(),
                    decision: decision.into(),
                })
                .collect(),
            given_how: "command_line".to_owned(),
            ..Default::default()
        };
        let payload = consent.encode_to_vec();
        let signature = self
            .key
            .sign(&Purpose::Consent.bytes(&payload))
            .expect("the key signs");
        self.control(pb::control::Body::Consent(pb::DeviceSigned {
            payload,
            signature,
        }))
    }

    /// A signed gap over these seqs; it takes their place and leaves the chain's end where it is.
    pub fn gap(
        &self,
        seqs: std::ops::RangeInclusive<u64>,
        reason: pb::GapReason,
        end_link: Link,
    ) -> pb::RecordFrame {
        let gap = pb::Gap {
            epoch: self.epoch,
            first_seq: *seqs.start(),
            last_seq: *seqs.end(),
            reason: reason.into(),
            counts: Vec::new(),
            end_link: end_link.to_vec(),
        };
        let payload = gap.encode_to_vec();
        let signature = self
            .key
            .sign(&Purpose::Gap.bytes(&payload))
            .expect("the key signs");
        let control = pb::Control {
            version: 1,
            body: Some(pb::control::Body::Gap(pb::DeviceSigned {
                payload,
                signature,
            })),
        };
        pb::RecordFrame {
            first_seq: gap.first_seq,
            count: u32::try_from(gap.last_seq - gap.first_seq + 1).expect("few"),
            category: Category::Control.into(),
            salt: vec![0; 16],
            body: control.encode_to_vec().into(),
        }
    }

    /// The device key's signature over a place of its chain.
    pub fn checkpoint(&self, seq: u64, link: &Link) -> pb::Checkpoint {
        let bytes = chain::checkpoint_bytes(self.epoch, seq, link);
        pb::Checkpoint {
            epoch: self.epoch,
            seq,
            link: link.to_vec(),
            signature: self.key.sign(&bytes).expect("the key signs"),
        }
    }

    /// Appends a control record.
    pub fn control(&mut self, body: pb::control::Body) -> pb::RecordFrame {
        let control = pb::Control {
            version: 1,
            body: Some(body),
        };
        self.append(Category::Control, 1, control.encode_to_vec())
    }

    /// Goes through policy, notice and consent like an honest phone; returns the session.
    pub async fn consented(&mut self, password: &str) -> anyhow::Result<RawSession> {
        let (mut session, _) = self.open().await?;
        let (mut policy, mut notice) = (None, None);
        while policy.is_none() || notice.is_none() {
            if let to_device::Body::Signed(signed) = session.next().await? {
                let kind = signed.kind();
                if kind == pb::SignedKind::Policy {
                    policy = Some(signed);
                } else if kind == pb::SignedKind::Notice {
                    notice = Some(signed);
                }
            }
        }
        let (policy, notice) = (policy.context("a policy")?, notice.context("a notice")?);
        let version = pb::Policy::decode(&*policy.payload)?.version;
        let accepted = self.control(pb::control::Body::PolicyAccepted(pb::PolicyAccepted {
            version,
            sha256: chain::sha256(&policy.payload).to_vec(),
        }));
        let consent = self.consent(&notice, Decision::Granted, &Category::CONSENTED);
        session.batch(self.epoch, vec![accepted, consent]).await?;
        session.ack_through(self.seq).await?;
        session
            .send(from_device::Body::GrantProof(pb::GrantProof {
                consent_seq: self.seq,
                password: password.to_owned(),
            }))
            .await?;
        let receipt = session.receipt().await?;
        if !receipt.accepted {
            bail!("the grant was refused: {}", receipt.refusal);
        }
        Ok(session)
    }
}
