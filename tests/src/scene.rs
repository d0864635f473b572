//! A collector with one employee and one account, on either engine: where most end-to-end tests begin.
//!
//! Invariant: a test of the store says nothing of the engine; [`on_each_engine`] runs it on both.

use std::sync::Arc;

use mingjing_collector::people::Role;
use tempfile::TempDir;

use crate::clock::SimClock;
use crate::harness::{Collector, Entered, SETTINGS};
use crate::postgres;
use crate::raw::RawPhone;

/// The engines a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// In the data folder.
    Sqlite,
    /// On the process's cluster.
    Postgres,
}

impl Engine {
    /// The address of a new, empty database; empty for SQLite.
    pub async fn url(self) -> anyhow::Result<String> {
        match self {
            Self::Sqlite => Ok(String::new()),
            Self::Postgres => postgres::shared()?.database().await,
        }
    }
}

/// A running collector, an employee with a password, one account of his.
#[derive(Debug)]
pub struct Scene {
    /// Everything of the test lies in here.
    pub dir: TempDir,
    /// The collector, named `c1`.
    pub collector: Collector,
    /// Who holds the phones.
    pub holder: Entered,
}

impl Scene {
    /// Starts on this engine.
    pub async fn start(engine: Engine) -> anyhow::Result<Self> {
        Self::start_on(&engine.url().await?).await
    }

    /// Starts on the database at `url`; empty for SQLite.
    pub async fn start_on(url: &str) -> anyhow::Result<Self> {
        Self::start_with(url, "").await
    }

    /// The same with further settings.
    pub async fn start_with(url: &str, settings: &str) -> anyhow::Result<Self> {
        Self::begin(tempfile::tempdir()?, url, settings).await
    }

    /// Starts in a folder the test has prepared; the collector's is `collector` in it.
    pub async fn start_in(dir: TempDir, url: &str) -> anyhow::Result<Self> {
        Self::begin(dir, url, "").await
    }

    async fn begin(dir: TempDir, url: &str, settings: &str) -> anyhow::Result<Self> {
        let clock = Arc::new(SimClock::real());
        let settings = format!("{SETTINGS}[store]\nurl = \"{url}\"\n{settings}");
        let collector = Collector::start(&dir.path().join("collector"), &settings, clock).await?;
        let holder = collector
            .person("wang", "王芳", "销售部", &[(Role::Employee, "*")])
            .await?;
        collector.account("wx-wang", &holder, "王芳").await?;
        Ok(Self {
            dir,
            collector,
            holder,
        })
    }

    /// A newly enrolled phone of the holder.
    pub async fn phone(&self) -> anyhow::Result<RawPhone> {
        let token = self.collector.token(&self.holder).await?;
        RawPhone::enroll(&token).await
    }

    /// What the collector's clock shows.
    pub fn now(&self) -> i64 {
        self.collector.clock().now()
    }
}

/// Runs a case on SQLite, then on PostgreSQL.
pub async fn on_each_engine(case: impl AsyncFn(Scene)) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        // Shown by the test runner only when the case fails.
        eprintln!("on {engine:?}");
        let scene = Scene::start(engine)
            .await
            .expect("the scene starts on both engines");
        case(scene).await;
    }
}
