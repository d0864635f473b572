//! Placeholder until the console lands.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Shared;
use crate::tls::Stream;

/// Serves pages until `stop`.
pub async fn serve(
    _shared: Arc<Shared>,
    _streams: mpsc::Receiver<std::io::Result<Stream>>,
    stop: CancellationToken,
) {
    stop.cancelled().await;
}
