//! The raw phone's open session.

use std::time::Duration;

use anyhow::{Context as _, bail};
use mingjing_proto::pb::{self, from_device, to_device};
use mingjing_proto::validate;
use prost::Message;
use tokio::sync::mpsc;
use tonic::Streaming;

/// An open session.
#[derive(Debug)]
pub struct RawSession {
    pub(super) up: mpsc::Sender<pb::FromDevice>,
    pub(super) down: Streaming<pb::ToDevice>,
}

impl RawSession {
    /// Sends one message.
    pub async fn send(&self, body: from_device::Body) -> anyhow::Result<()> {
        self.up
            .send(pb::FromDevice { body: Some(body) })
            .await
            .context("the session is closed")
    }

    /// Sends a message of a kind the collector does not know: to it, one without a body.
    pub async fn send_unknown(&self) -> anyhow::Result<()> {
        self.up
            .send(pb::FromDevice { body: None })
            .await
            .context("the session is closed")
    }

    /// Sends records as one batch.
    pub async fn batch(&self, epoch: u64, frames: Vec<pb::RecordFrame>) -> anyhow::Result<()> {
        self.send(from_device::Body::Batch(validate::deflate(epoch, frames)))
            .await
    }

    /// The next message, or why the session ended; never waits longer than 10 seconds.
    pub async fn next(&mut self) -> anyhow::Result<to_device::Body> {
        let message = tokio::time::timeout(Duration::from_secs(10), self.down.message())
            .await
            .context("nothing came within 10 s")??;
        message
            .and_then(|message| message.body)
            .context("the session ended")
    }

    /// The next message however long it takes; `None` once the session has ended, for whatever reason.
    pub async fn idle(&mut self) -> Option<to_device::Body> {
        self.down.message().await.ok()??.body
    }

    /// How the session ends: its status, after any messages before.
    pub async fn end(&mut self) -> anyhow::Result<tonic::Status> {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(10), self.down.message())
                .await
                .context("the session did not end within 10 s")?;
            match message {
                Ok(Some(_)) => {}
                Ok(None) => bail!("the session ended without a status"),
                Err(status) => return Ok(status),
            }
        }
    }

    /// The next acknowledgement.
    pub async fn ack(&mut self) -> anyhow::Result<pb::Ack> {
        loop {
            if let to_device::Body::Ack(ack) = self.next().await? {
                return Ok(ack);
            }
        }
    }

    /// Waits for the acknowledgement that reaches `seq`; everything refused on the way.
    pub async fn ack_through(&mut self, seq: u64) -> anyhow::Result<Vec<pb::Refused>> {
        let mut refused = Vec::new();
        loop {
            let ack = self.ack().await?;
            refused.extend(ack.refused);
            if ack.through >= seq {
                return Ok(refused);
            }
            if ack.held.is_some() || ack.resend_from != 0 {
                bail!(
                    "stopped at {}: held {:?}, resend {}",
                    ack.through,
                    ack.held,
                    ack.resend_from
                );
            }
        }
    }

    /// The next message that begins a new epoch.
    pub async fn new_epoch(&mut self) -> anyhow::Result<pb::NewEpoch> {
        loop {
            if let to_device::Body::NewEpoch(new_epoch) = self.next().await? {
                return Ok(new_epoch);
            }
        }
    }

    /// The next consent receipt.
    pub async fn receipt(&mut self) -> anyhow::Result<pb::ConsentReceipt> {
        loop {
            if let to_device::Body::Signed(signed) = self.next().await?
                && signed.kind() == pb::SignedKind::ConsentReceipt
            {
                return Ok(pb::ConsentReceipt::decode(&*signed.payload)?);
            }
        }
    }
}
