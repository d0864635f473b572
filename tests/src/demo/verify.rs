//! Compares what the phones kept with what the collector stored, and both with the expectations.
//!
//! Invariant: the two sides are counted by different code: the agents' own answers on one side, rows
//! of the database on the other.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sqlx::Row as _;

use super::day::{Fate, Person};
use super::forbidden;
use super::play::{Played, is_revoked};
use super::stage::{Player, Stage};

/// What `--check` prints as its last line.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Whether there is no difference.
    pub ok: bool,
    /// Seconds it took, set-up included.
    pub seconds: u64,
    /// Signals handed to the agents.
    pub signals: u64,
    /// Events the agents kept for the collector.
    pub captured: u64,
    /// Events the collector stored.
    pub stored: u64,
    /// Events the collector refused.
    pub refused: u64,
    /// Events kept after a revocation, sealed on the phone and nowhere else.
    pub after_revocation: u64,
    /// Findings.
    pub alerts: u64,
    /// Planted events that reach the collector.
    pub planted: u64,
    /// Findings and planted events by requirement.
    pub harms: BTreeMap<String, Harm>,
    /// Phones.
    pub phones: Vec<PhoneReport>,
    /// Phrases searched for in every file of both sides.
    pub phrases: usize,
    /// Files searched.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Every difference, in words.
    pub differences: Vec<String>,
}

/// One requirement's events.
#[derive(Debug, Default, Serialize)]
pub struct Harm {
    /// Planted and expected to arrive.
    pub planted: u64,
    /// Findings of the rules planted for it.
    pub alerts: u64,
}

/// One phone.
#[derive(Debug, Serialize)]
pub struct PhoneReport {
    /// Login of the holder.
    pub login: String,
    /// Signals handed over.
    pub signals: u64,
    /// Events the agent kept until its fate befell it.
    pub captured: u64,
    /// Events stored.
    pub stored: u64,
    /// Findings.
    pub alerts: u64,
}

/// Looks at both sides while the collector runs.
pub async fn sides(stage: &Stage, played: &[Played]) -> anyhow::Result<Report> {
    let mut report = Report::default();
    for (player, played) in stage.phones.iter().zip(played) {
        phone(stage, player, played, &mut report).await?;
    }
    report
        .harms
        .values()
        .for_each(|harm| report.planted += harm.planted);
    Ok(report)
}

async fn phone(
    stage: &Stage,
    player: &Player,
    played: &Played,
    report: &mut Report,
) -> anyhow::Result<()> {
    let db = stage.collector.shared.db.reader();
    let device = &player.device.0[..];
    let person = &player.person;
    let login = &person.login;
    let one = async |sql: &'static str| -> anyhow::Result<u64> {
        let row = sqlx::query(sql).bind(device).fetch_one(db).await?;
        Ok(row.try_get::<i64, _>(0)?.try_into()?)
    };
    let stored =
        one("select cast(coalesce(sum(count), 0) as bigint) from records where device = $1 and category <> 0")
            .await?;
    let refused = one("select count(*) from refusals where device = $1").await?;
    let gaps = one("select count(*) from gaps where device = $1").await?;
    let rows = sqlx::query(
        "select rule, count(*) as n, max(at_ms) as newest_ms from findings where device = $1 group by rule",
    )
    .bind(device)
    .fetch_all(db)
    .await?;
    let mut alerts = BTreeMap::new();
    let mut newest_ms = 0;
    for row in rows {
        let count: u64 = row.try_get::<i64, _>("n")?.try_into()?;
        alerts.insert(row.try_get::<String, _>("rule")?, count);
        newest_ms = newest_ms.max(row.try_get::<i64, _>("newest_ms")?);
    }

    let status = player.phone.agent.status();
    let mut differ = |holds: bool, text: String| {
        if !holds {
            report.differences.push(format!("{login}: {text}"));
        }
    };
    differ(
        played.signals == person.signals as u64,
        format!(
            "{} of {} signals were played",
            played.signals, person.signals
        ),
    );
    differ(
        stored == played.events,
        format!(
            "the phone kept {} events, the collector stored {stored}",
            played.events
        ),
    );
    differ(
        refused == 0,
        format!("the collector refused {refused} events: {status:?}"),
    );
    differ(gaps == 0, format!("there are {gaps} gaps"));
    for (rule, expected) in person.expected() {
        let found = alerts.get(rule).copied().unwrap_or(0);
        differ(
            found >= expected as u64,
            format!("{rule}: {found} alerts, {expected} planted"),
        );
    }
    match person.fate {
        Fate::Refuses => {
            differ(
                played.events == 0,
                "an event was kept without consent".to_owned(),
            );
            let dropped: u64 = status.dropped.values().sum();
            differ(
                dropped == person.signals as u64,
                format!("{dropped} of {} signals were dropped", person.signals),
            );
        }
        Fate::Withdraws { at } => {
            differ(
                played.events > 0,
                "nothing was kept before the withdrawal".to_owned(),
            );
            differ(
                played.events_after == 0,
                "an event was kept after the withdrawal".to_owned(),
            );
            differ(
                newest_ms < at.on(stage.date),
                "an alert is newer than the withdrawal".to_owned(),
            );
        }
        Fate::Revoked { at } => {
            differ(
                played.events > 0,
                "nothing was kept before the revocation".to_owned(),
            );
            differ(
                played.events_after > 0,
                "the phone kept nothing after the revocation".to_owned(),
            );
            differ(
                is_revoked(&status),
                format!("the session is {}", status.session),
            );
            differ(
                newest_ms < at.on(stage.date),
                "an alert is newer than the revocation".to_owned(),
            );
        }
        Fate::Offline { .. } if played.waiting == 0 => {
            differ(
                false,
                "nothing waited while the network was away".to_owned(),
            );
        }
        Fate::Works | Fate::Offline { .. } => {
            differ(played.events > 0, "nothing was kept".to_owned());
            differ(
                status.queued_events == 0,
                format!("{} events still wait", status.queued_events),
            );
        }
    }

    count_harms(person, &alerts, &mut report.harms);
    let total = alerts.values().sum();
    report.signals += played.signals;
    report.captured += played.events;
    report.after_revocation += played.events_after;
    report.stored += stored;
    report.refused += refused;
    report.alerts += total;
    report.phones.push(PhoneReport {
        login: login.clone(),
        signals: played.signals,
        captured: played.events,
        stored,
        alerts: total,
    });
    Ok(())
}

fn count_harms(
    person: &Person,
    alerts: &BTreeMap<String, u64>,
    harms: &mut BTreeMap<String, Harm>,
) {
    let harm_of: BTreeMap<&str, &str> = person
        .planted
        .iter()
        .map(|planted| (planted.rule.as_str(), planted.harm.as_str()))
        .collect();
    for (rule, expected) in person.expected() {
        let Some(harm) = harm_of.get(rule) else {
            continue;
        };
        let harm = harms.entry((*harm).to_owned()).or_default();
        harm.planted += expected as u64;
        harm.alerts += alerts.get(rule).copied().unwrap_or(0);
    }
}

/// Searches everything below `dir`, once nothing writes there any more.
pub fn files(dir: &Path, people: &[Person], report: &mut Report) -> anyhow::Result<()> {
    let phrases: Vec<String> = people
        .iter()
        .flat_map(|person| person.absent.iter().chain(&person.sealed))
        .cloned()
        .collect();
    let searched = forbidden::search_all(dir, &phrases)?;
    report.phrases = phrases.len();
    report.files = searched.files;
    report.bytes = searched.bytes;
    let found = searched.found.iter();
    report.differences.extend(
        found.map(|(path, phrase)| format!("{} can be read in {}", phrase, path.display())),
    );
    // The search has to be able to find: departments are plain columns.
    if let Some(person) = people.first()
        && forbidden::search_all(
            &dir.join("collector"),
            std::slice::from_ref(&person.department),
        )?
        .found
        .is_empty()
    {
        report
            .differences
            .push("the search finds not even what lies open".to_owned());
    }
    report.ok = report.differences.is_empty();
    Ok(())
}
