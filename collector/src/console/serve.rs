//! Carries finished TLS streams into the router, HTTP/1.1 and HTTP/2 alike.
//!
//! Invariants: a browser that stalls holds only its own connection; on `stop` connections finish what
//! they answer, live streams excepted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Shared;
use crate::tls::Stream;

const HEADERS: Duration = Duration::from_secs(15);
const FINISHING: Duration = Duration::from_secs(3);

/// Serves pages until `stop`.
pub async fn serve(
    shared: Arc<Shared>,
    mut streams: mpsc::Receiver<io::Result<Stream>>,
    stop: CancellationToken,
) {
    let router = super::router(shared);
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            stream = streams.recv() => stream,
        };
        let Some(Ok(stream)) = stream else { break };
        let router = router.clone().layer(axum::Extension(ConnectInfo(stream.peer().address)));
        let stop = stop.clone();
        connections.spawn(async move {
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
            builder.http2().timer(TokioTimer::new()).max_concurrent_streams(64);
            let service = TowerToHyperService::new(router);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            tokio::select! {
                // A browser that goes away is no news.
                ended = &mut connection => drop(ended),
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    drop(tokio::time::timeout(FINISHING, connection).await);
                }
            }
        });
    }
    connections.close();
    connections.wait().await;
}
