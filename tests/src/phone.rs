//! A simulated phone: the real agent in this process, with its own folder and the test's clock.
//!
//! Invariant: it does what the app does, through the agent's five calls, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mingjing_agent::clock::{Clock, Timekeeper};
use mingjing_agent::config::Config;
use mingjing_agent::identity::{PhoneFacts, SoftwareSigner, Token, enrol};
use mingjing_agent::{Agent, Parts, Recorded, SilentHost};
use mingjing_proto::json::signal_from_line;
use mingjing_proto::pb::{self, Category, Decision};

use crate::clock::SimClock;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A phone with its folder.
#[derive(Debug)]
pub struct Phone {
    /// The running agent.
    pub agent: Agent,
    /// Its folder.
    pub dir: PathBuf,
}

fn signer(dir: &Path) -> anyhow::Result<Arc<SoftwareSigner>> {
    Ok(Arc::new(SoftwareSigner::open(&dir.join("device.key"))?))
}

/// Enrols a phone in `dir` with a code.
pub async fn enroll(dir: &Path, token: &str, clock: Arc<SimClock>) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let clock: Arc<dyn Clock> = clock;
    let time = Arc::new(Timekeeper::new(clock, None, 0));
    let token: Token = token.parse()?;
    let facts = PhoneFacts {
        model: "simulated".to_owned(),
        ..Default::default()
    };
    enrol(dir, &token, signer(dir)?.as_ref(), &time, facts).await?;
    Ok(())
}

impl Phone {
    /// Starts the agent of an enrolled folder.
    pub fn start(dir: &Path, clock: Arc<SimClock>) -> anyhow::Result<Self> {
        let mut config = Config::new(dir);
        config.backoff = (Duration::from_millis(50), Duration::from_millis(400));
        config.held_wait = Duration::from_secs(2);
        Self::start_with(config, clock)
    }

    /// Starts with these settings.
    pub fn start_with(config: Config, clock: Arc<SimClock>) -> anyhow::Result<Self> {
        let dir = config.dir.clone();
        let parts = Parts {
            signer: signer(&dir)?,
            config,
            wrapping_key: zeroize::Zeroizing::new([5; 32]),
            clock,
            host: Arc::new(SilentHost),
        };
        Ok(Self {
            agent: Agent::start(parts)?,
            dir,
        })
    }

    /// Waits until `done`, with an error that says how things stand.
    pub fn wait(
        &self,
        what: &str,
        done: impl FnMut(&mingjing_agent::Status) -> bool,
    ) -> anyhow::Result<()> {
        self.wait_within(PATIENCE, what, done)
    }

    /// Like [`Phone::wait`], for what takes as long as there is much of it.
    pub fn wait_within(
        &self,
        patience: Duration,
        what: &str,
        done: impl FnMut(&mingjing_agent::Status) -> bool,
    ) -> anyhow::Result<()> {
        if self.agent.wait(patience, done) {
            return Ok(());
        }
        anyhow::bail!("waited in vain: {what}; status {:?}", self.agent.status())
    }

    /// Decides these categories, as the app's switches do.
    pub fn choose(&self, decision: Decision, categories: &[Category]) -> anyhow::Result<Recorded> {
        let status = self.agent.status();
        let choice = pb::ConsentChoice {
            decisions: categories
                .iter()
                .map(|category| pb::CategoryDecision {
                    category: (*category).into(),
                    decision: decision.into(),
                })
                .collect(),
            language: "zh-CN".to_owned(),
            given_how: "screen".to_owned(),
            notice_version: status.notice_version,
            notice_sha256: hex::decode(&status.notice_sha256)?,
        };
        self.say(pb::from_app::Body::Consent(choice))
    }

    /// Grants every category with the password, and waits for the receipt.
    pub fn grant(&self, password: &str) -> anyhow::Result<()> {
        self.wait("a notice and a policy", |status| {
            status.notice_version > 0 && (status.policy_version > 0 || status.policy_offered > 0)
        })?;
        let recorded = self.choose(Decision::Granted, &Category::CONSENTED)?;
        self.say(pb::from_app::Body::GrantProof(pb::GrantProof {
            consent_seq: recorded.consent_seq.context("a consent record")?,
            password: password.to_owned(),
        }))?;
        // Other categories may have been granted before.
        self.wait("the receipt", |status| {
            status.grant != "waiting" && !status.granted.is_empty()
        })
    }

    /// Hands one message from the app to the agent.
    pub fn say(&self, body: pb::from_app::Body) -> anyhow::Result<Recorded> {
        Ok(self.agent.record(pb::FromApp { body: Some(body) })?)
    }

    /// Hands over signals given as JSON lines.
    pub fn signals(&self, lines: &[String]) -> anyhow::Result<Recorded> {
        let signals = lines
            .iter()
            .map(|line| signal_from_line(line))
            .collect::<Result<_, _>>()?;
        self.say(pb::from_app::Body::Signals(pb::Signals {
            signals,
            ..Default::default()
        }))
    }

    /// Waits until the collector has everything.
    pub fn drained(&self) -> anyhow::Result<()> {
        self.wait("an empty queue", |status| {
            status.head_seq > 0 && status.acked_seq == status.head_seq
        })
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.agent.stop();
    }
}

/// A signal of WeChat's own account page showing `shown_id`, as a JSON line.
pub fn account_page(at_ms: i64, shown_id: &str) -> String {
    let at = mingjing_proto::json::rfc3339(at_ms, 480);
    serde_json::json!({
        "at": at, "package": "com.tencent.mm", "app_version": "8.0.50", "locale": "zh-CN",
        "screen": {
            "event": "opened",
            "window": "com.tencent.mm.plugin.setting.ui.setting.SettingsPersonalInfoUI",
            "width": 1080, "height": 2400,
            "nodes": [
                {"class": "android.widget.TextView", "text": "个人信息", "bounds": [420, 110, 660, 190], "depth": 3},
                {"class": "android.widget.TextView", "text": "微信号", "bounds": [40, 600, 240, 660], "depth": 5},
                {"class": "android.widget.TextView", "text": shown_id, "bounds": [600, 600, 1000, 660], "depth": 5},
            ],
        },
    })
    .to_string()
}

/// A signal of a direct message's notification, as a JSON line.
pub fn message(at_ms: i64, from: &str, text: &str) -> String {
    let at = mingjing_proto::json::rfc3339(at_ms, 480);
    serde_json::json!({
        "at": at, "package": "com.tencent.mm", "app_version": "8.0.50", "locale": "zh-CN",
        "notification": {
            "event": "posted", "channel": "message_channel_new_id", "key": format!("0|com.tencent.mm|{from}"),
            "title": from, "text": text, "ticker": format!("{from}: {text}"),
        },
    })
    .to_string()
}

/// Tells an enrolled phone that its collector moved, as a port of a restarted test collector does.
pub fn readdress(dir: &Path, session_server: &str) -> anyhow::Result<()> {
    let signer = signer(dir)?;
    let mut identity = mingjing_agent::identity::Identity::load(dir, signer.as_ref())?;
    identity.session_server = session_server.to_owned();
    identity.store(dir)?;
    Ok(())
}
