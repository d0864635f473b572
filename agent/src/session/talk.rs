//! One session over an open channel.
//!
//! Invariant: sending never blocks on the connection while messages from it wait to be read; what
//! finds no room ends the session, and the next one sends it again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mingjing_proto::chain::checkpoint_bytes;
use mingjing_proto::pb::{self, from_device::Body};
use mingjing_proto::{letter, limits, validate};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::alarm::Alarm;
use super::machine::{Effect, Machine};
use super::{SessionError, gap_frame};
use crate::Shared;
use crate::buffer::Outgoing;
use crate::identity::renew_in;

/// Messages that may wait for the connection: all batches in flight, all letters, and a few more.
const OUTBOX: usize = 256;
/// How long the collector may take to accept the stream.
const ACCEPT: Duration = Duration::from_secs(30);

struct Talk<'a> {
    shared: &'a Arc<Shared>,
    channel: Channel,
    up: mpsc::Sender<pb::FromDevice>,
    machine: Machine,
    /// Letters the collector has not spoken about yet, by name, and when they were sent in this session.
    letters: HashMap<(&'static str, String), u64>,
    proof_sent: Option<Vec<u8>>,
    status: Option<(pb::Status, u64)>,
    checkpoint: (u64, u64),
    checkpoint_ms: Option<u64>,
    renew_after_ms: i64,
    /// Place of the newest withdrawal this session's hello carried.
    said: (u64, u64),
}

/// Talks until the connection or the agent ends.
pub(super) async fn talk(
    shared: &Arc<Shared>,
    channel: Channel,
    attempt: &mut u32,
) -> Result<(), SessionError> {
    let (up, outbox) = mpsc::channel(OUTBOX);
    let (hello, machine, said) = {
        let core = shared.core();
        let held_wait_ms = millis(shared.config.held_wait);
        let position = core.buffer.position();
        let machine = Machine::new(&position, shared.config.batch_events, held_wait_ms);
        (core.hello()?, machine, core.ended_at)
    };
    let mut talk = Talk {
        shared,
        channel: channel.clone(),
        up,
        machine,
        letters: HashMap::new(),
        proof_sent: None,
        status: None,
        checkpoint: (0, 0),
        checkpoint_ms: None,
        renew_after_ms: 0,
        said,
    };
    talk.send(Body::Hello(hello))?;
    let mut client = pb::phone_client::PhoneClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let opening = client.session(ReceiverStream::new(outbox));
    let down = tokio::time::timeout(ACCEPT, opening)
        .await
        .map_err(|_| SessionError::Stalled)?
        .map_err(Box::new)?
        .into_inner();
    talk.run(down, attempt).await
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Talk<'_> {
    async fn run(
        &mut self,
        mut down: Streaming<pb::ToDevice>,
        attempt: &mut u32,
    ) -> Result<(), SessionError> {
        let alarm = Alarm::new().map_err(SessionError::Alarm)?;
        loop {
            let now_ms = self.shared.time.now().elapsed_ms;
            let effects = self.machine.tick(now_ms);
            self.apply(effects)?;
            if self.machine.is_welcomed() {
                *attempt = 0;
                self.pump()?;
                self.extras()?;
                self.withdrawal()?;
                self.renew().await;
            }
            let wait = self.wait();
            tokio::select! {
                message = down.message() => match message.map_err(Box::new)? {
                    Some(message) => self.hear(message)?,
                    None => return Err(SessionError::Closed),
                },
                () = self.shared.work.notified() => {}
                () = self.shared.kick.notified() => {
                    let effects = self.machine.resume();
                    self.apply(effects)?;
                }
                rang = alarm.after(wait) => rang.map_err(SessionError::Alarm)?,
            }
        }
    }

    fn send(&self, body: Body) -> Result<(), SessionError> {
        self.up
            .try_send(pb::FromDevice { body: Some(body) })
            .map_err(|_| SessionError::Stalled)
    }

    fn hear(&mut self, message: pb::ToDevice) -> Result<(), SessionError> {
        let now_ms = self.shared.time.now().elapsed_ms;
        let effects = self.machine.heard(message, now_ms);
        self.apply(effects)
    }

    fn apply(&mut self, effects: Vec<Effect>) -> Result<(), SessionError> {
        for effect in effects {
            self.apply_one(effect)?;
            self.shared.changed();
        }
        Ok(())
    }

    fn apply_one(&mut self, effect: Effect) -> Result<(), SessionError> {
        let shared = self.shared;
        match effect {
            Effect::Anchor(server_ms) => shared.core().anchored(server_ms)?,
            Effect::Welcomed => {
                tracing::info!("session established");
                shared.confirmed();
                shared.set_session("connected", String::new());
                shared.set_held(None);
            }
            Effect::AckIfEqual { through, link } => {
                let core = &mut *shared.core();
                if core.buffer.link_at(through)? == Some(link) {
                    let epoch = core.buffer.position().epoch;
                    core.buffer.ack(&core.keys, epoch, through)?;
                    self.machine.acked(through);
                    shared.uploaded(core.time.now().at_ms);
                }
            }
            Effect::Ack { epoch, through } => {
                let core = &mut *shared.core();
                core.buffer.ack(&core.keys, epoch, through)?;
                shared.uploaded(core.time.now().at_ms);
            }
            Effect::Refused(reasons) => {
                for (reason, count) in reasons {
                    tracing::warn!(reason, count, "the collector refused events");
                    shared.refused(count);
                }
            }
            Effect::Held(held) => {
                if let Some((seq, reason)) = held {
                    tracing::warn!(seq, reason, "the collector holds a record");
                }
                shared.set_held(held);
            }
            Effect::Relink {
                epoch,
                after_seq,
                previous,
            } => {
                tracing::warn!(epoch, after_seq, "a new epoch begins");
                let core = &mut *shared.core();
                core.buffer.relink(&core.keys, epoch, after_seq, previous)?;
            }
            Effect::Take(message) => {
                let roots = shared.identity().roots.clone();
                let show = shared.core().receive(&message, &roots)?;
                if show {
                    shared.host.on_message(&message.encode_to_vec());
                }
            }
            Effect::Superseded => return Err(SessionError::Superseded),
            Effect::Broken(how) => return Err(SessionError::Broken(how)),
        }
        Ok(())
    }

    /// Sends batches while the machine wants any and the buffer has any.
    fn pump(&mut self) -> Result<(), SessionError> {
        while let Some(want) = self.machine.wants() {
            let (epoch, outgoing) = {
                let core = &mut *self.shared.core();
                let epoch = core.buffer.position().epoch;
                let (events, bytes) = (want.max_events, want.max_bytes);
                let outgoing = core.buffer.peek(&core.keys, want.from_seq, events, bytes)?;
                (epoch, outgoing)
            };
            let Some(last_seq) = outgoing.last().map(Outgoing::last_seq) else {
                return Ok(());
            };
            let frames = outgoing
                .into_iter()
                .map(|outgoing| match outgoing {
                    Outgoing::Frame(frame) => Ok(frame),
                    Outgoing::Gap(gap) => gap_frame(gap, self.shared.signer.as_ref()),
                })
                .collect::<Result<Vec<_>, _>>()?;
            self.send(Body::Batch(validate::deflate(epoch, frames)))?;
            self.machine.sent(last_seq);
        }
        Ok(())
    }

    /// A withdrawal waits behind nothing (wire.md §4): where a held record or a backlog is before it, a
    /// new session's hello carries it.
    fn withdrawal(&self) -> Result<(), SessionError> {
        let ended_at = self.shared.core().ended_at;
        if ended_at == self.said || self.machine.has_sent(ended_at.0, ended_at.1) {
            return Ok(());
        }
        Err(SessionError::Withdrawn)
    }

    /// What goes beside the records.
    fn extras(&mut self) -> Result<(), SessionError> {
        self.shared.sign_withdrawal();
        self.grant_proof()?;
        self.post()?;
        self.checkpoint()?;
        self.status()
    }

    /// The password follows its consent record, once a session, and stays in memory until the receipt.
    fn grant_proof(&mut self) -> Result<(), SessionError> {
        let proof = {
            let core = self.shared.core();
            let (Some(proof), Some((epoch, seq))) = (&core.proofs.grant, core.pending_place())
            else {
                return Ok(());
            };
            let fresh = self.proof_sent.as_ref() != Some(&proof.attempt);
            if !fresh || !self.machine.has_sent(epoch, seq) {
                return Ok(());
            }
            self.proof_sent = Some(proof.attempt.clone());
            pb::GrantProof {
                consent_seq: seq,
                password: proof.password.to_string(),
            }
        };
        self.send(Body::GrantProof(proof))
    }

    /// Sends each waiting letter, and again after a while: the collector may have had no room for it.
    fn post(&mut self) -> Result<(), SessionError> {
        let waiting = self.shared.core().outgoing();
        let now_ms = self.shared.time.now().elapsed_ms;
        let again_ms = millis(self.shared.config.letter_interval);
        let mut sent = HashMap::with_capacity(waiting.len());
        for letter in waiting {
            let Some((kind, id)) = letter::name(&letter) else {
                continue;
            };
            let name = (kind, id.to_owned());
            let at_ms = match self.letters.get(&name) {
                Some(at_ms) if now_ms < at_ms + again_ms => *at_ms,
                _ => {
                    if let Some(body) = letter.body {
                        self.send(body)?;
                    }
                    now_ms
                }
            };
            sent.insert(name, at_ms);
        }
        self.letters = sent;
        Ok(())
    }

    /// Signs the head after it changed and everything up to it went out, at most once an interval.
    fn checkpoint(&mut self) -> Result<(), SessionError> {
        let position = self.shared.core().buffer.position();
        let head = (position.epoch, position.head_seq);
        let now_ms = self.shared.time.now().elapsed_ms;
        let due = self.checkpoint_due_ms().is_none_or(|due| due <= now_ms);
        let sent = self.machine.has_sent(position.epoch, position.head_seq);
        if head == self.checkpoint || position.head_seq == 0 || !due || !sent {
            return Ok(());
        }
        let (epoch, seq) = head;
        let bytes = checkpoint_bytes(epoch, seq, &position.head_link);
        let signature = self.shared.signer.sign(&bytes)?;
        self.checkpoint = head;
        self.checkpoint_ms = Some(now_ms);
        self.send(Body::Checkpoint(pb::Checkpoint {
            epoch,
            seq,
            link: position.head_link.to_vec(),
            signature,
        }))
    }

    fn checkpoint_due_ms(&self) -> Option<u64> {
        let interval_ms = millis(self.shared.config.checkpoint_interval);
        self.checkpoint_ms.map(|it| it + interval_ms)
    }

    fn status(&mut self) -> Result<(), SessionError> {
        let report = self.shared.core().report();
        let now_ms = self.shared.time.now().elapsed_ms;
        let interval_ms = millis(self.shared.config.status_interval);
        if let Some((last, at_ms)) = &self.status
            && (*last == report || now_ms < at_ms + interval_ms)
        {
            return Ok(());
        }
        self.status = Some((report.clone(), now_ms));
        self.send(Body::Status(report))
    }

    /// Renews at 70 % of the certificate's life; a failure is tried again an hour later.
    async fn renew(&mut self) {
        let identity = self.shared.identity();
        let now_ms = self.shared.time.now().at_ms;
        let due_ms = identity.validity().map_or(i64::MAX, |it| it.renew_at_ms());
        if now_ms < due_ms.max(self.renew_after_ms) {
            return;
        }
        let (dir, signer) = (&self.shared.config.dir, self.shared.signer.as_ref());
        match renew_in(self.channel.clone(), dir, &identity, signer).await {
            Ok(renewed) => {
                self.shared.publish(renewed);
                tracing::info!("certificate renewed");
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate was not renewed");
                self.renew_after_ms = now_ms + 3_600_000;
            }
        }
    }

    /// How long nothing has to be done: until the hold, the checkpoint, the status or the renewal.
    fn wait(&self) -> Duration {
        let now = self.shared.time.now();
        let position = self.shared.core().buffer.position();
        let stale_head = (position.epoch, position.head_seq) != self.checkpoint;
        let checkpoint = self.checkpoint_due_ms().filter(|_| stale_head);
        let interval_ms = millis(self.shared.config.status_interval);
        let status = self.status.as_ref().and_then(|(last, at_ms)| {
            let stale = *last != self.shared.core().report();
            stale.then_some(at_ms + interval_ms)
        });
        let renew_ms = self.shared.identity().validity().map(|it| {
            let due_ms = it.renew_at_ms().max(self.renew_after_ms);
            let wait_ms = u64::try_from(due_ms - now.at_ms).unwrap_or(0);
            now.elapsed_ms + wait_ms
        });
        let again_ms = millis(self.shared.config.letter_interval);
        let letters = self.letters.values().min().map(|it| it + again_ms);
        let wakes = [
            self.machine.wakes_at_ms(),
            checkpoint,
            status,
            renew_ms,
            letters,
        ];
        let wake_ms = wakes.into_iter().flatten().min();
        let wait_ms = wake_ms.map_or(u64::MAX, |it| it.saturating_sub(now.elapsed_ms));
        // Never shorter than a breath: a clock that stands still must not spin.
        Duration::from_millis(wait_ms.clamp(50, 24 * 3_600_000))
    }
}
