//! 工作台: what happened today, what waits, how fresh it is — as far as the viewer's roles reach.
//!
//! Invariant: a number counts only what its viewer could open, and says how it is counted.

use std::collections::HashMap;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use mingjing_proto::pb::{Category, Kind};
use mingjing_proto::vocabulary::Named;

use super::chart::Chart;
use super::errors::Failure;
use super::format;
use super::phones;
use super::shell::{Shell, Visit, page};
use crate::access::{self, What};
use crate::error::{Error, Result};
use crate::findings::{self, Reach};
use crate::people::Role;
use crate::{accounts, archive, devices};

/// A number with what it means and how it compares.
#[derive(Debug)]
struct Card {
    label: String,
    value: i64,
    about: &'static str,
    /// Against yesterday, such as `+3`; empty where that says nothing.
    change: String,
    href: Option<&'static str>,
    grave: bool,
}

/// A rule and how often it raised something.
#[derive(Debug)]
struct TopRule {
    title: String,
    n: i64,
    most: i64,
    href: String,
    precision: String,
}

#[derive(Debug)]
struct Findings {
    cards: Vec<Card>,
    activities: Vec<Card>,
    charts: [Chart; 2],
    rules: Vec<TopRule>,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    freshness: String,
    findings: Option<Findings>,
    phones: Option<Vec<Card>>,
}

const DAY_MS: i64 = 86_400_000;
const DAYS: i32 = 7;

/// `GET /`
pub(super) async fn show(visit: Visit) -> Result<Response, Failure> {
    if visit.viewer.roles().all(|role| role == Role::Employee) && visit.viewer.holds(Role::Employee)
    {
        return Ok(Redirect::to("/me").into_response());
    }
    let found = match access::reach_of(&visit.viewer) {
        Ok(reach) => Some(figures(&visit, &reach).await?),
        Err(Error::Forbidden(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let phones = match access::decide(&visit.viewer, What::Phones, None) {
        Ok(_) => Some(phone_cards(&visit).await?),
        Err(_) => None,
    };
    page(&OverviewPage {
        shell: visit.shell("/").await?,
        freshness: freshness(&visit).await?,
        findings: found,
        phones,
    })
}

async fn freshness(visit: &Visit) -> Result<String> {
    let shared = &visit.console.shared;
    let newest = findings::freshness(&shared.db).await?;
    let today = shared.clock.now_ms().div_euclid(DAY_MS);
    let last_ms = archive::tallies(&shared.db, today - 1, today)
        .await?
        .iter()
        .map(|tally| tally.last_ms)
        .max();
    let created_ms = newest.map(|it| it.created_ms);
    let Some(as_of) = last_ms.max(created_ms) else {
        return Ok(visit.language.t("overview.no_data").to_owned());
    };
    let as_of = format::clock(as_of, &visit.console.zone);
    Ok(match newest {
        Some(it) => visit
            .language
            .f("overview.fresh", &[&as_of, &seconds(it.delay_ms)]),
        None => visit.language.f("overview.as_of", &[&as_of]),
    })
}

// Tenths of a second, as far as they say something.
fn seconds(ms: i64) -> String {
    if ms < 10_000 {
        format!("{}.{}", ms / 1000, ms % 1000 / 100)
    } else {
        (ms / 1000).to_string()
    }
}

fn change(today: i64, yesterday: i64) -> String {
    match today - yesterday {
        0 => "±0".to_owned(),
        more @ 1.. => format!("+{more}"),
        less => less.to_string().replace('-', "−"),
    }
}

async fn figures(visit: &Visit, reach: &Reach) -> Result<Findings> {
    let shared = &visit.console.shared;
    let language = visit.language;
    let zone = &visit.console.zone;
    let now_ms = shared.clock.now_ms();
    let bounds = format::days(now_ms, DAYS, zone);
    let days = findings::by_day(&shared.db, reach, &bounds).await?;
    let unhandled = findings::unhandled(&shared.db, reach).await?;
    let n_of = |back: usize| days.iter().rev().nth(back).map_or(0, |day| day.n);
    let cards = vec![
        Card {
            label: language.t("overview.findings_today").to_owned(),
            value: n_of(0),
            about: language.t("overview.findings_today_about"),
            change: change(n_of(0), n_of(1)),
            href: Some("/alerts?state=all"),
            grave: false,
        },
        Card {
            label: language.t("overview.unhandled").to_owned(),
            value: unhandled.iter().sum(),
            about: language.t("overview.unhandled_about"),
            change: String::new(),
            href: Some("/alerts"),
            grave: false,
        },
        Card {
            label: language.t("overview.critical").to_owned(),
            value: unhandled[3],
            about: language.t("overview.critical_about"),
            change: String::new(),
            href: Some("/alerts?level=critical"),
            grave: unhandled[3] > 0,
        },
    ];
    let (activities, per_day) = activities(visit, reach, now_ms).await?;
    let labelled = days
        .iter()
        .map(|day| (format::day(day.from_ms, zone), day.n))
        .collect();
    Ok(Findings {
        cards,
        activities,
        charts: [
            Chart::new(language.t("overview.trend_findings"), labelled),
            Chart::new(language.t("overview.trend_activities"), per_day),
        ],
        rules: top_rules(visit, reach, bounds.first().copied().unwrap_or(0)).await?,
    })
}

// Activities are counted by the UTC day of their records; the cards say so.
async fn activities(
    visit: &Visit,
    reach: &Reach,
    now_ms: i64,
) -> Result<(Vec<Card>, Vec<(String, i64)>)> {
    let shared = &visit.console.shared;
    let language = visit.language;
    let today = now_ms.div_euclid(DAY_MS);
    let register = accounts::by_id(&shared.db).await?;
    let mut by_category: HashMap<(i64, Category), i64> = HashMap::new();
    let mut by_day: HashMap<i64, i64> = HashMap::new();
    for tally in archive::tallies(&shared.db, today - i64::from(DAYS) + 1, today).await? {
        let within = register
            .get(&tally.account)
            .is_some_and(|account| reach.holds(&account.holder, &account.department));
        if within {
            let category = Kind::try_from(tally.kind).unwrap_or_default().category();
            *by_category.entry((tally.day, category)).or_default() += tally.n;
            *by_day.entry(tally.day).or_default() += tally.n;
        }
    }
    let n_of = |day: i64, category| by_category.get(&(day, category)).copied().unwrap_or(0);
    let cards = Category::CONSENTED
        .into_iter()
        .map(|category| Card {
            label: language.word("category", category.name()).to_owned(),
            value: n_of(today, category),
            about: language.t("overview.activities_about"),
            change: change(n_of(today, category), n_of(today - 1, category)),
            href: None,
            grave: false,
        })
        .collect();
    let per_day = (today - i64::from(DAYS) + 1..=today)
        .map(|day| {
            let label = format::day(day * DAY_MS, &jiff::tz::TimeZone::UTC);
            (label, by_day.get(&day).copied().unwrap_or(0))
        })
        .collect();
    Ok((cards, per_day))
}

async fn top_rules(visit: &Visit, reach: &Reach, since_ms: i64) -> Result<Vec<TopRule>> {
    let db = &visit.console.shared.db;
    let counts = findings::top_rules(db, reach, since_ms, 10).await?;
    let most = counts.first().map_or(1, |count| count.n);
    let mut rules = Vec::with_capacity(counts.len());
    for count in counts {
        let words = visit
            .console
            .rule_words
            .get(&visit.console.shared, &count.rule_set, &count.rule)
            .await?;
        let right = count.answered - count.false_positives;
        let rule: String = url::form_urlencoded::byte_serialize(count.rule.as_bytes()).collect();
        rules.push(TopRule {
            title: words.title(visit.language).to_owned(),
            n: count.n,
            most,
            href: format!("/alerts?state=all&rule={rule}"),
            precision: if count.answered == 0 {
                "—".to_owned()
            } else {
                format!(
                    "{} % ({}/{})",
                    right * 100 / count.answered,
                    right,
                    count.answered
                )
            },
        });
    }
    Ok(rules)
}

async fn phone_cards(visit: &Visit) -> Result<Vec<Card>> {
    let shared = &visit.console.shared;
    let language = visit.language;
    let now_ms = shared.clock.now_ms();
    let all = devices::list(&shared.db).await?;
    let count = |wanted: &str| {
        let n = all
            .iter()
            .filter(|it| phones::state(it, now_ms) == wanted)
            .count();
        i64::try_from(n).unwrap_or(0)
    };
    let card = |label: &'static str, about: &'static str, value: i64, grave: bool| Card {
        label: label.to_owned(),
        value,
        about,
        change: String::new(),
        href: Some("/phones"),
        grave,
    };
    let alarms = devices::alarms(&shared.db, now_ms - DAY_MS).await?.len();
    let alarms = i64::try_from(alarms).unwrap_or(0);
    Ok(vec![
        card(
            language.t("overview.online"),
            language.t("overview.online_about"),
            count("online"),
            false,
        ),
        card(
            language.t("overview.offline"),
            language.t("overview.offline_about"),
            count("offline"),
            false,
        ),
        card(
            language.t("overview.pending"),
            language.t("overview.pending_about"),
            count("pending"),
            count("pending") > 0,
        ),
        card(
            language.t("overview.alarms"),
            language.t("overview.alarms_about"),
            alarms,
            alarms > 0,
        ),
    ])
}
