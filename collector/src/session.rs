//! A phone's session: one bidirectional stream over mutual TLS (wire.md §4).
//!
//! Invariants: the device is the one its certificate names; batches are decided strictly in the order
//! they came; an acknowledgement leaves after the commit; a revoked device's session ends within a
//! second; one phone's mistakes end its own session only.

mod documents;
mod hello;
mod live;
mod pace;
mod run;

use std::sync::Arc;

use futures::StreamExt as _;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

pub use documents::{Documents, Newest};
pub use live::{Live, Place, Signal};

use crate::devices::{self, State};
use crate::error::{Error, Result};
use crate::ingest::Committer;
use crate::tls::Peer;
use crate::{Shared, ca, enroll};

/// What goes down to a phone. It waits boxed: a channel keeps room for 32 messages from its start.
type Sent = std::result::Result<pb::ToDevice, Status>;

/// Messages waiting to go down to one phone.
const DOWN_QUEUE: usize = 64;

/// The session listener's service.
#[derive(Clone, Debug)]
pub struct Service {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    live: Arc<Live>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Service {
    /// A service on these parts; it refuses more than `sessions` at once.
    pub fn new(
        shared: Arc<Shared>,
        committer: Arc<Committer>,
        live: Arc<Live>,
        stop: CancellationToken,
    ) -> Self {
        let places = Arc::new(Semaphore::new(shared.config.limits.sessions));
        Self {
            shared,
            committer,
            live,
            places,
            stop,
        }
    }

    async fn admit(&self, peer: &Peer) -> Result<(DeviceId, String)> {
        let certificate = peer.certificate.as_ref().ok_or(Error::Unauthenticated(
            "a session needs the phone's certificate",
        ))?;
        let (device, spki) = ca::device_of(certificate)?;
        let (known, state, person) = devices::door(&self.shared.db, device).await?;
        if known != spki {
            return Err(Error::Unauthenticated("the certificate is of another key"));
        }
        match state {
            State::Active => Ok((device, person)),
            State::Pending => Err(Error::Pending),
            State::Revoked => Err(Error::Revoked),
        }
    }
}

#[tonic::async_trait]
impl pb::phone_server::Phone for Service {
    type SessionStream = futures::stream::Map<ReceiverStream<Box<Sent>>, fn(Box<Sent>) -> Sent>;

    async fn session(
        &self,
        request: Request<Streaming<pb::FromDevice>>,
    ) -> std::result::Result<Response<Self::SessionStream>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or(Error::Unauthenticated("a session needs TLS"))?;
        let (device, person) = self.admit(&peer).await.map_err(|error| {
            tracing::info!(%error, "session refused");
            peer.settle();
            Status::from(error)
        })?;
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            peer.settle();
            return Err(Error::Unavailable("too many sessions").into());
        };
        let (down, receiver) = mpsc::channel(DOWN_QUEUE);
        let door = run::Door {
            shared: self.shared.clone(),
            committer: self.committer.clone(),
            live: self.live.clone(),
            device,
            person,
            down,
            peer,
        };
        let stop = self.stop.clone();
        let sessions = self.shared.metrics.sessions.clone();
        let up = request.into_inner();
        tokio::spawn(async move {
            sessions.inc();
            door.run(up, stop).await;
            sessions.dec();
            drop(place);
        });
        let unboxed: fn(Box<Sent>) -> Sent = |message| *message;
        Ok(Response::new(ReceiverStream::new(receiver).map(unboxed)))
    }

    async fn renew(
        &self,
        request: Request<pb::RenewRequest>,
    ) -> std::result::Result<Response<pb::RenewResponse>, Status> {
        let certificate = request
            .extensions()
            .get::<Peer>()
            .and_then(|peer| peer.certificate.clone());
        let answer = enroll::renew(&self.shared, certificate, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}
