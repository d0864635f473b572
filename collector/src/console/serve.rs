//! HTTP over the console's TLS streams.
//!
//! Invariants: connections are bounded in number, slow senders of headers are cut, and at `stop` what
//! is under way gets a few seconds to finish.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::Shared;
use crate::tls::Stream;

const CONNECTIONS: usize = 1024;
const HEADERS: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(3);

/// Serves the pages on finished TLS streams until `stop`.
pub async fn serve(
    shared: Arc<Shared>,
    mut streams: mpsc::Receiver<std::io::Result<Stream>>,
    stop: CancellationToken,
) {
    let router = super::router(shared, stop.clone());
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            stream = streams.recv(), if connections.len() < CONNECTIONS => stream,
        };
        match stream {
            Some(Ok(stream)) => {
                connections.spawn(connection(stream, router.clone(), stop.clone()));
            }
            Some(Err(error)) => tracing::debug!(%error, "a connection failed"),
            None => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: Stream, router: Router, stop: CancellationToken) {
    let address = stream.peer().address;
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(address));
        answer(router.clone(), request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .keep_alive_interval(Duration::from_secs(20));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // Browsers close as they like.
        tracing::debug!(%address, error = &*error, "a connection ended early");
    }
}

async fn answer(mut router: Router, request: Request<Body>) -> Result<Response, Infallible> {
    router.call(request).await
}
