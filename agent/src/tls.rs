//! Client TLS: version 1.3 with ring, the company's roots, the device key as client certificate.
//!
//! Invariants: nothing but TLS 1.3 is spoken; certificates are judged by the agent's own time; the
//! private key is asked for signatures through its [`Signer`] and never seen here.

mod pinned;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ClientConfig, RootCertStore, SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::clock::Timekeeper;
use crate::identity::{Identity, Signer};

/// How long connecting, handshake included, may take.
const CONNECT: Duration = Duration::from_secs(20);

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The address is not `https://host:port`.
    #[error("\"{0}\" is not an address of the form https://host:port")]
    Address(String),
    /// A root that is not a certificate.
    #[error("a root certificate can't be used")]
    Root(#[source] rustls::Error),
    /// rustls refused the settings.
    #[error("TLS can't be set up")]
    Setup(#[source] rustls::Error),
    /// No connection.
    #[error("no connection to {server}")]
    Connect {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For enrolment: the server must show a chain to the root with this SPKI hash; no client certificate.
pub(crate) fn pinned(root: [u8; 32], time: Arc<Timekeeper>) -> Result<ClientConfig, TlsError> {
    let verifier = pinned::Verifier::new(root, provider());
    let mut config = ClientConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// For sessions: the company's roots on one side, the device certificate on the other.
pub(crate) fn mutual(
    identity: &Identity,
    signer: Arc<dyn Signer>,
    time: Arc<Timekeeper>,
) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in &identity.roots {
        roots
            .add(CertificateDer::from(root.clone()))
            .map_err(TlsError::Root)?;
    }
    let key = CertifiedKey::new(identity.chain_der(), Arc::new(TlsKey(signer)));
    let mut config = ClientConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(OneCertificate(Arc::new(key))));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Sessions are long: a ticket saves nothing and would outlive a revocation.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Opens a channel to `server` (`https://host:port`).
pub(crate) async fn connect(
    server: &str,
    config: ClientConfig,
    keep_alive: Option<Duration>,
) -> Result<Channel, TlsError> {
    let address = || TlsError::Address(server.to_owned());
    let authority = server.strip_prefix("https://").ok_or_else(address)?;
    // tonic has no TLS of its own here: to it, this is a plain connection that our connector opens.
    let mut endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|_| address())?
        .connect_timeout(CONNECT);
    if let Some(interval) = keep_alive {
        endpoint = endpoint
            .http2_keep_alive_interval(interval)
            .keep_alive_timeout(CONNECT)
            .keep_alive_while_idle(true);
    }
    let connector = TlsConnector::from(Arc::new(config));
    let service = tower::service_fn(move |uri: http::Uri| dial(connector.clone(), uri));
    let connecting = endpoint.connect_with_connector(service);
    connecting.await.map_err(|source| TlsError::Connect {
        server: server.to_owned(),
        source,
    })
}

async fn dial(
    connector: TlsConnector,
    uri: http::Uri,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let invalid = |what: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidInput, what);
    let host = uri.host().ok_or_else(|| invalid("no host"))?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.clone()).map_err(|_| invalid("not a host name"))?;
    let dialling = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        connector.connect(name, stream).await
    };
    let stream = tokio::time::timeout(CONNECT, dialling)
        .await
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    Ok(TokioIo::new(stream))
}

/// The device key as rustls wants it.
#[derive(Debug)]
struct TlsKey(Arc<dyn Signer>);

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(TlsSigner(self.0.clone())) as Box<dyn rustls::sign::Signer>)
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

#[derive(Debug)]
struct TlsSigner(Arc<dyn Signer>);

impl rustls::sign::Signer for TlsSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0
            .sign(message)
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Always answers with the one certificate, whatever issuers the server hints at.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OneCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
    fn has_certs(&self) -> bool {
        true
    }
}
