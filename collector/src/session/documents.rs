//! What is the same for every phone: the newest notice, pack and audit checkpoints, read and signed once
//! for all sessions that begin in the same moment.
//!
//! Invariants: nothing here is older than [`FRESH`], which is how late another collector's news may come
//! anyway; after [`Documents::forget`] nothing read before it is given out.

use std::sync::Arc;
use std::time::Duration;

use mingjing_proto::pb::{self, SignedKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Shared;
use crate::audit::checkpoints;
use crate::error::Result;
use crate::{notice, packs};

const FRESH: Duration = Duration::from_millis(250);

/// A version and its signed bytes.
type Document = Option<(u32, pb::Signed)>;

/// What was read together.
#[derive(Debug)]
pub struct Newest {
    /// The notice.
    pub notice: Document,
    /// The pack.
    pub pack: Document,
    /// The newest checkpoint of each audit chain.
    pub checkpoints: Vec<pb::Signed>,
}

/// Keeps the newest documents for a moment.
#[derive(Debug, Default)]
pub struct Documents(Mutex<Option<(Instant, Arc<Newest>)>>);

impl Documents {
    /// The newest documents. Who comes while they are being read waits for the same reading.
    pub async fn newest(&self, shared: &Shared) -> Result<Arc<Newest>> {
        let mut kept = self.0.lock().await;
        if let Some((read_at, newest)) = &*kept
            && read_at.elapsed() < FRESH
        {
            return Ok(newest.clone());
        }
        let (read_at, now_ms) = (Instant::now(), shared.clock.now_ms());
        let sign = |kind, version, bytes| -> Result<_> {
            Ok((version, shared.ca.sign(kind, bytes, now_ms)?))
        };
        let notice = notice::newest(&shared.db).await?;
        let pack = packs::newest(&shared.db).await?;
        let checkpoints = checkpoints::newest(&shared.db).await?;
        let newest = Arc::new(Newest {
            notice: notice
                .map(|it| sign(SignedKind::Notice, it.version, it.bytes))
                .transpose()?,
            pack: pack
                .map(|it| sign(SignedKind::Pack, it.version, it.bytes))
                .transpose()?,
            checkpoints: checkpoints.into_iter().map(|(_, signed)| signed).collect(),
        });
        *kept = Some((read_at, newest.clone()));
        Ok(newest)
    }

    /// Reads anew for whoever asks from now on: something was published.
    pub async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
