//! Server TLS: three listeners' settings and the accept loop that hands out finished streams.
//!
//! Invariants: TLS 1.3 with ring only, no tickets; each handshake has its own task, a deadline and a
//! place in a bounded number, which a phone keeps until its session has begun; who can't be served yet
//! waits in turn, unread, and costs no more than a socket; only streams whose handshake is done reach
//! gRPC; an expired client certificate is accepted on the enrolment listener alone, for 90 days, and
//! marked as such.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::error::Elapsed;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::FromDer;

use crate::ca::{Ca, ServerIdentity};
use crate::clock::Clock;
use crate::error::{Error, Result};

const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long after its handshake a connection keeps its place at most.
const SETTLING: Duration = Duration::from_secs(2);
/// Connections that wait for a place, at most. The system's own queue is no place to wait: once it is full,
/// what phones send is dropped, and they say it again only after seconds.
const WAITING: usize = 8192;
/// Connections the system may keep for us until they are accepted; it has a limit of its own.
const BACKLOG: u32 = 4096;
/// How long after its end a client certificate may still renew (wire.md §7).
pub const RENEWAL_GRACE_DAYS: u64 = 90;

/// rustls' view of our clock.
#[derive(Debug)]
struct ClockTime(Arc<dyn Clock>);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now_ms() / 1000).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// The certificate in use; replaced before it ends.
#[derive(Debug)]
pub struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl CurrentCertificate {
    /// Starts with this identity.
    pub fn new(identity: &ServerIdentity) -> Result<Self> {
        Ok(Self(RwLock::new(certified(identity)?)))
    }

    /// Replaces it for new connections.
    pub fn replace(&self, identity: &ServerIdentity) -> Result<()> {
        *self
            .0
            .write()
            .expect("no panic while holding the certificate") = certified(identity)?;
        Ok(())
    }
}

fn certified(identity: &ServerIdentity) -> Result<Arc<CertifiedKey>> {
    let key = PrivateKeyDer::Pkcs8(identity.key.clone_key());
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|error| Error::Authority(error.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(identity.chain.clone(), key)))
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().ok().map(|certificate| certificate.clone())
    }
}

/// Who may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// A valid certificate of the company's root.
    Required,
    /// None, or one that is valid or ended less than 90 days ago.
    OptionalForRenewal,
    /// Browsers: no client certificates.
    Nobody,
}

/// The settings of one listener.
pub fn server_config(
    ca: &Ca,
    certificate: Arc<CurrentCertificate>,
    clients: Clients,
    clock: Arc<dyn Clock>,
) -> Result<Arc<ServerConfig>> {
    let authority = |error: rustls::Error| Error::Authority(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_details(provider.clone(), Arc::new(ClockTime(clock)))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(authority)?;
    let mut roots = RootCertStore::empty();
    for root in ca.roots() {
        roots.add(root).map_err(authority)?;
    }
    let strict = || {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::Authority(error.to_string()))
    };
    let builder = match clients {
        Clients::Required => builder.with_client_cert_verifier(strict()?),
        Clients::OptionalForRenewal => {
            builder.with_client_cert_verifier(Arc::new(RenewalVerifier { strict: strict()? }))
        }
        Clients::Nobody => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.send_tls13_tickets = 0;
    config.alpn_protocols = match clients {
        Clients::Nobody => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Clients::Required | Clients::OptionalForRenewal => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// Accepts no certificate, a valid one, or one that ended less than 90 days ago.
#[derive(Debug)]
struct RenewalVerifier {
    strict: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for RenewalVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(end_entity)
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        if now.as_secs() > not_after + RENEWAL_GRACE_DAYS * 86_400 {
            return Err(rustls::Error::InvalidCertificate(CertificateError::Expired));
        }
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().min(not_after)));
        self.strict
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.strict
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.strict
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

/// Who is at the other end of a finished stream.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address, for rate limits.
    pub address: std::net::SocketAddr,
    /// The client certificate, verified by the listener's rules.
    pub certificate: Option<CertificateDer<'static>>,
    settled: Arc<watch::Sender<bool>>,
}

impl Peer {
    /// What it came for has begun or was refused: another connection may be set up.
    pub fn settle(&self) {
        self.settled.send_replace(true);
    }
}

/// A stream whose handshake is done.
#[derive(Debug)]
pub struct Stream {
    inner: TlsStream<TcpStream>,
    peer: Peer,
}

impl Stream {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl tonic::transport::server::Connected for Stream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Listens; must be called within the runtime.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart finds the port again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How many may wait at one listener: a part of the files this process may open, so that whoever floods
/// every listener leaves enough to sessions and the database.
fn waiting() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let part = files.unwrap_or(u64::MAX) / 8;
    usize::try_from(part).unwrap_or(WAITING).min(WAITING)
}

/// Accepts connections until `stop`; finished streams come out of the returned channel.
pub fn accept(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    clients: Clients,
    handshakes: usize,
    refused: Counter,
    stop: CancellationToken,
) -> mpsc::Receiver<io::Result<Stream>> {
    let (sender, receiver) = mpsc::channel(handshakes);
    let acceptor = TlsAcceptor::from(config);
    let places = Arc::new(Semaphore::new(handshakes));
    let waiting = Arc::new(Semaphore::new(waiting()));
    tokio::spawn(async move {
        loop {
            let waits = tokio::select! {
                () = stop.cancelled() => return,
                waits = waiting.clone().acquire_owned() => waits,
            };
            let Ok(waits) = waits else { return };
            let (tcp, address) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, most likely: give others time to close.
                        tracing::warn!(%error, "can't accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let acceptor = acceptor.clone();
            let sender = sender.clone();
            let refused = refused.clone();
            let places = places.clone();
            let stop = stop.clone();
            tokio::spawn(async move {
                drop(tcp.set_nodelay(true));
                let place = tokio::select! {
                    () = stop.cancelled() => return,
                    place = turn(&tcp, places) => place,
                };
                drop(waits);
                let place = match place {
                    Ok(Some(place)) => place,
                    Ok(None) => return,
                    Err(_) => {
                        refused.inc();
                        tracing::info!(%address, "a connection said nothing");
                        return;
                    }
                };
                let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await;
                let inner = match handshake {
                    Ok(Ok(inner)) => inner,
                    Ok(Err(error)) => {
                        refused.inc();
                        tracing::info!(%address, %error, "TLS handshake refused");
                        return;
                    }
                    Err(_) => {
                        refused.inc();
                        tracing::info!(%address, "TLS handshake took too long");
                        return;
                    }
                };
                let certificate = inner
                    .get_ref()
                    .1
                    .peer_certificates()
                    .and_then(|chain| chain.first())
                    .map(|certificate| certificate.clone().into_owned());
                let (settled, mut settling) = watch::channel(false);
                let peer = Peer {
                    address,
                    certificate,
                    settled: Arc::new(settled),
                };
                // A closed channel means the listener stopped.
                drop(sender.send(Ok(Stream { inner, peer })).await);
                // Until it has settled, is gone, or takes too long.
                let settled = settling.wait_for(|settled| *settled || clients != Clients::Required);
                drop(tokio::time::timeout(SETTLING, settled).await);
                drop(place);
            });
        }
    });
    receiver
}

/// A place for a connection once it has something to say and its turn has come; none when it is gone by
/// then.
async fn turn(
    tcp: &TcpStream,
    places: Arc<Semaphore>,
) -> std::result::Result<Option<OwnedSemaphorePermit>, Elapsed> {
    // Looking is the only proof: a new socket may be called readable before anything came.
    let Ok(1..) = tokio::time::timeout(HANDSHAKE, tcp.peek(&mut [0])).await? else {
        return Ok(None);
    };
    let Ok(place) = places.acquire_owned().await else {
        return Ok(None);
    };
    // Who gave up while waiting is not worth a handshake.
    let state = tcp.ready(Interest::READABLE).await;
    Ok(state
        .is_ok_and(|state| !state.is_read_closed())
        .then_some(place))
}
