//! The whole agent without a network: what may be captured, and what must be nowhere on the disk.

mod gate;
mod replay;
mod terms;
mod time;
mod withdrawal;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mingjing_proto::chain::sha256;
use mingjing_proto::pb::{self, Category, Decision, SignedKind, from_app, signal, to_device};
use prost::Message;

use super::*;
use crate::buffer::Outgoing;
use crate::identity::SoftwareSigner;
use crate::policy::tests::{notice, policy};
use crate::testing::{Company, TestClock};

/// 2026-03-02 10:00 in Shanghai, a Monday.
const MORNING: i64 = 1_772_416_800_000;
const HOUR: u64 = 3_600_000;
const APP: &str = "com.tencent.mm";

/// A key store that can be told to refuse.
#[derive(Debug)]
struct MoodySigner {
    key: SoftwareSigner,
    refuses: AtomicBool,
}

impl Signer for MoodySigner {
    fn public_key_spki(&self) -> &[u8] {
        self.key.public_key_spki()
    }
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(SignError("it is locked".into()));
        }
        self.key.sign(message)
    }
}

struct Phone {
    dir: tempfile::TempDir,
    company: Company,
    clock: Arc<TestClock>,
    signer: Arc<MoodySigner>,
    agent: Option<Agent>,
}

impl Phone {
    /// Enrolled, with a time anchor, and nothing else.
    fn enrolled() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let company = Company::new(MORNING);
        let key = SoftwareSigner::open(&dir.path().join("device.key")).expect("a key");
        let signer = Arc::new(MoodySigner {
            key,
            refuses: false.into(),
        });
        let identity = company.identity(signer.as_ref());
        identity.store(dir.path()).expect("stored");
        let mut phone = Self {
            dir,
            company,
            clock: TestClock::at(MORNING),
            signer,
            agent: None,
        };
        phone.start();
        phone
            .agent()
            .shared
            .core()
            .anchored(MORNING)
            .expect("anchored");
        phone
    }

    /// With notice 1 and policy 1.
    fn informed() -> Self {
        let phone = Self::enrolled();
        phone.deliver(SignedKind::Notice, notice(1).encode_to_vec());
        phone.deliver(SignedKind::Policy, policy(1).encode_to_vec());
        phone
    }

    /// With everything granted and the account proven.
    fn capturing() -> Self {
        let phone = Self::informed();
        phone.grant(&Category::CONSENTED);
        phone.prove();
        assert_eq!(phone.agent().status().state, "capturing");
        phone
    }

    fn start(&mut self) {
        self.agent = None;
        let parts = Parts {
            config: Config::new(self.dir.path()),
            wrapping_key: zeroize::Zeroizing::new([4; 32]),
            signer: self.signer.clone(),
            clock: self.clock.clone(),
            host: Arc::new(SilentHost),
        };
        self.agent = Some(Agent::open(parts).expect("opened"));
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("started")
    }

    fn deliver(&self, kind: SignedKind, payload: Vec<u8>) {
        let signed = self.company.sign(kind, payload);
        let message = pb::ToDevice {
            body: Some(to_device::Body::Signed(signed)),
        };
        let mut core = self.agent().shared.core();
        core.receive(&message, &self.company.roots())
            .expect("received");
    }

    fn decide(&self, categories: &[Category], decision: Decision) -> Result<Recorded, AgentError> {
        let shown = self.agent().notice("zh-CN").expect("read");
        let message = match shown {
            Some(shown) => shown.choice(categories, decision, "screen"),
            None => pb::FromApp {
                body: Some(from_app::Body::Consent(pb::ConsentChoice {
                    decisions: vec![pb::CategoryDecision {
                        category: categories[0].into(),
                        decision: decision.into(),
                    }],
                    ..Default::default()
                })),
            },
        };
        self.agent().record(message)
    }

    fn answer(&self, accepted: bool, refusal: &str) {
        let newest = self.agent().consents().expect("read");
        let newest = newest.iter().max_by_key(|it| it.seq).expect("one");
        let payload = &newest.consent.as_ref().expect("signed").payload;
        let consent = pb::Consent::decode(&**payload).expect("a consent");
        let receipt = pb::ConsentReceipt {
            consent_id: consent.consent_id,
            consent_sha256: sha256(payload).to_vec(),
            accepted,
            refusal: refusal.into(),
            ..Default::default()
        };
        self.deliver(SignedKind::ConsentReceipt, receipt.encode_to_vec());
    }

    fn grant(&self, categories: &[Category]) {
        self.decide(categories, Decision::Granted).expect("granted");
        self.answer(true, "");
    }

    fn signal(&self, body: signal::Body) -> pb::Signal {
        use crate::clock::Clock;
        pb::Signal {
            at_ms: self.clock.wall_ms(),
            elapsed_ms: self.clock.elapsed_ms(),
            utc_offset_min: 480,
            package: APP.into(),
            locale: "zh-CN".into(),
            body: Some(body),
            ..Default::default()
        }
    }

    fn see(&self, signal: pb::Signal) -> Recorded {
        let signals = pb::Signals {
            signals: vec![signal],
            ..Default::default()
        };
        let message = pb::FromApp {
            body: Some(from_app::Body::Signals(signals)),
        };
        self.agent().record(message).expect("recorded")
    }

    fn page(&self, window: &str, text: &str) -> pb::Signal {
        let node = pb::Node {
            class: "android.widget.TextView".into(),
            text: text.into(),
            right: 500,
            bottom: 100,
            ..Default::default()
        };
        self.signal(signal::Body::Screen(pb::Screen {
            window: format!("{APP}{window}"),
            width: 1080,
            height: 2400,
            nodes: vec![node],
            ..Default::default()
        }))
    }

    fn prove(&self) {
        self.see(self.page(
            ".plugin.setting.ui.setting.SettingsPersonalInfoUI",
            "微信号：wxid_work",
        ));
    }

    fn message(&self, from: &str, text: &str) -> pb::Signal {
        self.signal(signal::Body::Notification(Box::new(pb::Notification {
            key: format!("0|{APP}|{}|null|10100", text.len()),
            channel: "message_channel_new_id".into(),
            title: from.into(),
            text: text.into(),
            ticker: format!("{from}: {text}"),
            ..Default::default()
        })))
    }

    /// Everything that waits, as it would go out.
    fn waiting(&self) -> Vec<pb::Activity> {
        let core = &mut *self.agent().shared.core();
        let out = core.buffer.peek(&core.keys, 1, usize::MAX, usize::MAX);
        let frames = out.expect("peeked").into_iter().filter_map(|it| match it {
            Outgoing::Frame(frame) if frame.category() != Category::Control => Some(frame),
            Outgoing::Frame(_) | Outgoing::Gap(_) => None,
        });
        frames
            .flat_map(|frame| pb::Events::decode(&*frame.body).expect("events").activities)
            .collect()
    }

    fn gaps(&self) -> Vec<pb::Gap> {
        let core = &mut *self.agent().shared.core();
        let out = core.buffer.peek(&core.keys, 1, usize::MAX, usize::MAX);
        let gaps = out.expect("peeked").into_iter().filter_map(|it| match it {
            Outgoing::Gap(gap) => Some(gap),
            Outgoing::Frame(_) => None,
        });
        gaps.collect()
    }

    /// Whether `text` is in any file, in any form in which carelessness would leave it.
    fn is_on_disk(&self, text: &str) -> bool {
        let utf16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        let mut forms: Vec<Vec<u8>> = vec![
            text.as_bytes().to_vec(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ];
        for shift in 0..3 {
            use base64::Engine;
            let shifted = [&vec![0; shift][..], text.as_bytes()].concat();
            let encoded = base64::prelude::BASE64_STANDARD_NO_PAD.encode(shifted);
            // The characters at either end depend on the neighbours.
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
        forms.iter().any(|form| is_in_files(self.dir.path(), form))
    }
}

fn is_in_files(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).expect("a folder").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return is_in_files(&path, needle);
        }
        let bytes = std::fs::read(&path).expect("a file");
        bytes.windows(needle.len()).any(|it| it == needle)
    })
}
