//! A real phone behind the fault proxy, and the list of what it captured.
//!
//! Invariants: every text is different, so one lost or doubled shows; the phone may be stopped, its
//! folder changed, and started again; its waits block and are therefore run beside the runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use mingjing_agent::config::Config;
use mingjing_collector::{Shared, chain};
use tokio::task::block_in_place;

use crate::clock::SimClock;
use crate::harness::{Collector, PASSWORD};
use crate::oracle;
use crate::phone::{self, Phone, account_page, message};
use crate::proxy::{Proxy, address_of};
use crate::scene::Scene;

/// A phone with its way to the collector.
#[derive(Debug)]
pub struct Line {
    /// Between the two.
    pub proxy: Proxy,
    /// The phone's folder.
    pub dir: PathBuf,
    phone: Option<Phone>,
    clock: Arc<SimClock>,
    account: String,
    said: Vec<String>,
}

/// Settings of a phone that comes back soon.
pub fn quick(dir: &Path) -> Config {
    let mut config = Config::new(dir);
    config.backoff = (Duration::from_millis(20), Duration::from_millis(100));
    config.held_wait = Duration::from_secs(1);
    config.superseded_wait = Duration::from_millis(200);
    config
}

impl Line {
    /// An enrolled, consented phone of the scene's holder; its account is proven.
    pub async fn open(scene: &Scene, name: &str) -> anyhow::Result<Self> {
        let token = scene.collector.token(&scene.holder).await?;
        let dir = scene.dir.path().join(name);
        let clock = scene.collector.clock();
        phone::enroll(&dir, &token, clock.clone()).await?;
        let proxy = Proxy::start(address_of(&scene.collector.addresses().session)?).await?;
        phone::readdress(&dir, &proxy.server())?;
        let mut line = Self {
            proxy,
            dir,
            phone: None,
            clock,
            account: "wx-wang".to_owned(),
            said: Vec::new(),
        };
        line.start()?;
        line.grant()?;
        line.drained()?;
        Ok(line)
    }

    /// The running agent.
    pub fn phone(&self) -> &Phone {
        self.phone.as_ref().expect("the test has started it")
    }

    /// Starts the agent and shows it its account.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.start_with(quick(&self.dir))
    }

    /// Starts with these settings.
    pub fn start_with(&mut self, config: Config) -> anyhow::Result<()> {
        let phone = block_in_place(|| Phone::start_with(config, self.clock.clone()))?;
        block_in_place(|| phone.signals(&[account_page(self.clock.now(), &self.account)]))?;
        self.phone = Some(phone);
        Ok(())
    }

    /// Stops the agent; what it holds stays in its folder.
    pub fn stop(&mut self) {
        block_in_place(|| drop(self.phone.take()));
    }

    /// Grants everything, and proves the account anew: what was shown before the consent does not count.
    pub fn grant(&self) -> anyhow::Result<()> {
        block_in_place(|| self.phone().grant(PASSWORD))?;
        self.prove()
    }

    /// Shows the account's own page.
    pub fn prove(&self) -> anyhow::Result<()> {
        let page = account_page(self.clock.now(), &self.account);
        block_in_place(|| self.phone().signals(&[page]))?;
        Ok(())
    }

    /// Captures this many messages; all of them must be kept.
    pub fn say(&mut self, messages: u64) -> anyhow::Result<()> {
        let recorded = self.try_say(messages)?;
        ensure!(
            recorded == messages,
            "kept {recorded} of {messages}: {:?}",
            self.phone().agent.status()
        );
        Ok(())
    }

    /// Captures messages; how many were kept.
    pub fn try_say(&mut self, messages: u64) -> anyhow::Result<u64> {
        let now = self.clock.now();
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let mut lines = Vec::new();
        for _ in 0..messages {
            let number = self.said.len();
            let text = format!("{name}第{number}句：样品和报价都发出去了，请查收");
            lines.push(message(now, &format!("客户{}", number % 50), &text));
            self.said.push(text);
        }
        let recorded = block_in_place(|| self.phone().signals(&lines))?;
        Ok(recorded.events)
    }

    /// Waits until the collector has everything.
    pub fn drained(&self) -> anyhow::Result<()> {
        // A phone that has just begun an epoch has nothing in it.
        self.wait("an empty queue in a session", |status| {
            status.session == "connected" && status.acked_seq == status.head_seq
        })
    }

    /// Waits until the collector has all of so many events: a millisecond longer for each.
    pub fn drained_of(&self, events: u64) -> anyhow::Result<()> {
        let patience = phone::PATIENCE + Duration::from_millis(events);
        block_in_place(|| {
            self.phone()
                .wait_within(patience, "everything", |status| status.queued_events == 0)
        })
    }

    /// Waits for something of the phone's status.
    pub fn wait(
        &self,
        what: &str,
        done: impl FnMut(&mingjing_agent::Status) -> bool,
    ) -> anyhow::Result<()> {
        block_in_place(|| self.phone().wait(what, done))
    }

    /// The phone goes to this collector from its next connection on.
    pub fn goes_to(&self, collector: &Collector) -> anyhow::Result<()> {
        self.proxy
            .goes_to(address_of(&collector.addresses().session)?);
        Ok(())
    }

    /// Everything captured so far, in order.
    pub fn said(&self) -> &[String] {
        &self.said
    }
}

/// Checks what is stored against what the phones captured: nothing lost, nothing doubled, every chain
/// whole.
pub async fn nothing_lost_or_doubled(shared: &Shared, lines: &[&Line]) -> anyhow::Result<()> {
    let said = lines.iter().flat_map(|line| line.said());
    stored_once(shared, said).await
}

/// Checks that exactly these texts are stored, once each, and every chain is whole.
pub async fn stored_once(
    shared: &Shared,
    texts: impl IntoIterator<Item = &String>,
) -> anyhow::Result<()> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for text in texts {
        counts.entry(text.clone()).or_default().0 += 1;
    }
    for text in oracle::texts(shared).await? {
        if !text.is_empty() {
            counts.entry(text).or_default().1 += 1;
        }
    }
    let wrong: Vec<_> = counts
        .iter()
        .filter(|(_, (said, stored))| said != stored)
        .collect();
    ensure!(
        wrong.is_empty(),
        "{} texts not stored once (said, stored): {:?}",
        wrong.len(),
        wrong.iter().take(5).collect::<Vec<_>>()
    );
    for chain in chain::verify(&shared.db).await? {
        ensure!(chain.broken.is_none(), "{:?}", chain.broken);
    }
    Ok(())
}

/// Looks again until `done`, at most as long as a test is patient.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let looking = async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(phone::PATIENCE, looking)
        .await
        .with_context(|| format!("waited in vain: {what}"))
}
