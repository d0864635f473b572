//! 采集覆盖: what each phone captures and what it misses, for IT and auditors.
//!
//! Invariants: counts, versions, reasons and times only, never content; a state is what the phone last
//! said, shown with when it said so; every text of a phone is capped in number and length; auditors
//! see pseudonyms, names are IT's.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use mingjing_proto::ids::DeviceId;
use mingjing_proto::pb::{self, Decision};
use mingjing_proto::vocabulary::Named;
use serde::Deserialize;

use super::alerts::Pages;
use super::errors::Failure;
use super::shell::{Shell, Visit, page};
use super::words::Language;
use super::{format, phones};
use crate::access::{self, What};
use crate::consent::{Consents, Decided};
use crate::devices::{self, Device, State};
use crate::error::{Error, Result};
use crate::gaps::{self, Gap};

const GAPS_MS: i64 = 7 * 86_400_000;
const SIZES: [i64; 3] = [20, 50, 100];
/// Entries of a phone's map shown at most, and characters of one text.
const ENTRIES: usize = 20;
const CHARACTERS: usize = 160;

/// States with a word of their own, for the locale test; a newer phone's are shown as it says them.
#[cfg(test)]
pub(super) const STATES: &[&str] = &[
    "capturing",
    "off_hours",
    "paused",
    "off_account",
    "permission_missing",
    "no_consent",
    "withdrawn",
    "no_notice",
    "notice_superseded",
    "no_schedule",
    "unknown",
];
/// Where an app's version stands against the packs, for the locale test.
#[cfg(test)]
pub(super) const FITS: &[&str] = &["fits", "newer", "older", "untested", "unknown"];
/// Reasons of dropping with a word of their own, for the locale test.
#[cfg(test)]
pub(super) const DROPS: &[&str] = &[
    "other_app",
    "other_user",
    "no_policy",
    "no_consent",
    "notice_superseded",
    "off_hours",
    "paused",
    "unproven",
    "before_consent",
    "not_granted",
    "not_in_policy",
    "no_account",
    "excluded",
    "empty",
    "disk",
];

/// A word with its colour: good, info, warn, bad or off.
#[derive(Debug)]
struct Chip {
    tone: &'static str,
    text: String,
}

#[derive(Debug)]
struct Row {
    id: String,
    short: String,
    capture: Chip,
    phone: &'static str,
    phone_text: &'static str,
    holder: String,
    pseudonym: String,
    model: String,
    agent_version: String,
    channels: Vec<Chip>,
    apps: Vec<App>,
    pack: Chip,
    consents: Chip,
    dropped: String,
    gaps: Option<String>,
    signal: String,
    seen: String,
    order: u8,
}

/// An app on a phone, and whether the packs in force were tested with its version.
#[derive(Debug)]
struct App {
    name: String,
    version: String,
    fit: Chip,
}

#[derive(Template)]
#[template(path = "coverage.html")]
struct CoveragePage {
    shell: Shell,
    rows: Vec<Row>,
    capturing: String,
    pages: Pages,
}

#[derive(Debug)]
struct ConsentRow {
    category: &'static str,
    decision: Chip,
    notice: Option<u32>,
}

#[derive(Debug)]
struct GapItem {
    at: String,
    reason: Chip,
    events: String,
    counts: String,
    place: String,
}

#[derive(Template)]
#[template(path = "coverage_phone.html")]
struct PhonePage {
    shell: Shell,
    row: Row,
    queued: u64,
    problems: Vec<String>,
    consents: Vec<ConsentRow>,
    drops: Vec<(String, u64)>,
    gaps: Vec<GapItem>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    page: String,
    size: String,
}

/// What the rows of one page share.
struct Reading<'a> {
    visit: &'a Visit,
    now_ms: i64,
    names: HashMap<String, String>,
    pseudonyms: HashMap<String, String>,
}

/// `GET /coverage`
pub(super) async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::Coverage, None)?;
    let db = &visit.console.shared.db;
    let devices = devices::list(db).await?;
    let reading = Reading::new(&visit, &devices).await?;
    let mut gaps: HashMap<DeviceId, Vec<Gap>> = HashMap::new();
    for gap in gaps::list(db, reading.now_ms - GAPS_MS).await? {
        gaps.entry(gap.device).or_default().push(gap);
    }
    let mut rows = Vec::with_capacity(devices.len());
    let mut capturing = 0;
    for device in &devices {
        let consents = Consents::load(db.reader(), device.device).await?;
        let online = phones::state(device, reading.now_ms) == "online";
        let gaps = gaps.get(&device.device).map_or(&[][..], |it| &it[..]);
        capturing += u64::from(online && state(device, &consents) == "capturing");
        rows.push(reading.row(device, &consents, gaps));
    }
    // What somebody should look at comes first; within that, the newest phone.
    rows.sort_by_key(|row| row.order);

    let language = visit.language;
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let size = asked.size.parse().ok().filter(|it| SIZES.contains(it));
    let size = size.unwrap_or(SIZES[0]);
    let last = ((total + size - 1) / size).max(1);
    let number = asked.page.parse().unwrap_or(1).clamp(1, last);
    let address = |page: i64, size: i64| format!("/coverage?page={page}&size={size}");
    let skipped = usize::try_from((number - 1) * size).unwrap_or(0);
    let taken = usize::try_from(size).unwrap_or(0);
    page(&CoveragePage {
        shell: visit.shell("/coverage").await?,
        capturing: language.f(
            "coverage.capturing",
            &[&capturing.to_string(), &total.to_string()],
        ),
        rows: rows.into_iter().skip(skipped).take(taken).collect(),
        pages: Pages {
            page: number,
            size,
            total_text: language.f("list.total", &[&total.to_string()]),
            place_text: language.f("list.place", &[&number.to_string(), &last.to_string()]),
            previous: (number > 1).then(|| address(number - 1, size)),
            next: (number < last).then(|| address(number + 1, size)),
            sizes: SIZES
                .iter()
                .map(|size| (*size, address(1, *size)))
                .collect(),
        },
    })
}

/// `GET /coverage/{id}`
pub(super) async fn show_phone(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    access::decide(&visit.viewer, What::Coverage, None)?;
    let db = &visit.console.shared.db;
    let id = id.parse().map_err(|_| Error::NotFound("phone"))?;
    let device = devices::load(db.reader(), id).await?;
    let reading = Reading::new(&visit, std::slice::from_ref(&device)).await?;
    let consents = Consents::load(db.reader(), id).await?;
    let gaps = gaps::of_device(db, id, reading.now_ms - GAPS_MS).await?;
    let row = reading.row(&device, &consents, &gaps);
    let language = visit.language;
    let status = device.status.unwrap_or_default();
    let mut drops: Vec<_> = status
        .dropped
        .iter()
        .map(|(reason, count)| (word(language, "dropped", reason), *count))
        .collect();
    drops.sort_by_key(|(text, count)| (std::cmp::Reverse(*count), text.clone()));
    drops.truncate(ENTRIES);
    page(&PhonePage {
        shell: visit.shell("/coverage").await?,
        row,
        queued: status.queued_events,
        problems: status
            .pack_problems
            .iter()
            .take(ENTRIES)
            .map(|text| cut(text))
            .collect(),
        consents: consents
            .newest()
            .into_iter()
            .map(|(category, decided)| consent_row(language, category, decided))
            .collect(),
        drops,
        gaps: gaps.iter().map(|gap| gap_item(&visit, gap)).collect(),
    })
}

impl<'a> Reading<'a> {
    async fn new(visit: &'a Visit, devices: &[Device]) -> Result<Self> {
        let shared = &visit.console.shared;
        let names = if access::decide(&visit.viewer, What::Phones, None).is_ok() {
            let holders = devices.iter().map(|it| it.person.clone()).collect();
            access::holder_names(shared, &visit.viewer, holders).await?
        } else {
            HashMap::new()
        };
        Ok(Self {
            visit,
            now_ms: shared.clock.now_ms(),
            names,
            pseudonyms: visit.pseudonyms().await?,
        })
    }

    fn row(&self, device: &Device, consents: &Consents, gaps: &[Gap]) -> Row {
        let language = self.visit.language;
        let zone = &self.visit.console.zone;
        let id = device.device.to_string();
        let phone = phones::state(device, self.now_ms);
        let state = state(device, consents);
        let empty = pb::Status::default();
        let status = device.status.as_ref().unwrap_or(&empty);
        let events = gaps
            .iter()
            .fold(0_u64, |sum, gap| sum.saturating_add(gap.events()));
        let dropped = status
            .dropped
            .values()
            .fold(0_u64, |sum, count| sum.saturating_add(*count));
        let tone = tone_of(state, phone);
        let gap_texts = [gaps.len().to_string(), events.to_string()];
        Row {
            short: format::short(&id).to_owned(),
            id,
            capture: Chip {
                tone,
                text: word(language, "capture", state),
            },
            phone,
            phone_text: language.word("phone", phone),
            holder: self.names.get(&device.person).cloned().unwrap_or_default(),
            pseudonym: self
                .pseudonyms
                .get(&device.person)
                .cloned()
                .unwrap_or_default(),
            model: device.model.clone(),
            agent_version: device.agent_version.clone(),
            channels: channels(language, status),
            apps: apps(language, status),
            pack: pack(language, device.status.as_ref()),
            consents: consents_chip(language, consents),
            dropped: language.f("coverage.dropped_sum", &[&dropped.to_string()]),
            gaps: (!gaps.is_empty())
                .then(|| language.f("coverage.gap_sum", &[&gap_texts[0], &gap_texts[1]])),
            signal: format::time(status.last_signal_ms, zone),
            seen: format::time(device.last_seen_ms, zone),
            order: order(device.state, tone),
        }
    }
}

/// The word of what the phone last said; `withdrawn` where consent is missing because it was withdrawn.
fn state<'a>(device: &'a Device, consents: &Consents) -> &'a str {
    let said = match &device.status {
        Some(status) if !status.state.is_empty() => status.state.as_str(),
        Some(_) | None => return "unknown",
    };
    let newest = consents.newest();
    let withdrawn = newest
        .iter()
        .any(|(_, it)| it.is_some_and(|it| it.decision == Decision::Withdrawn));
    if said == "no_consent" && withdrawn {
        "withdrawn"
    } else {
        said
    }
}

/// The colour of a state; one that is no longer heard of is not shown as good.
fn tone_of(state: &str, phone: &str) -> &'static str {
    match state {
        "capturing" if phone == "online" => "good",
        "off_hours" | "paused" => "info",
        "permission_missing" | "notice_superseded" | "no_schedule" => "bad",
        "off_account" | "no_notice" => "warn",
        // Not to consent is a right, not a fault (PIPL art. 15, 16).
        _ => "off",
    }
}

fn order(state: State, tone: &str) -> u8 {
    match (state, tone) {
        (State::Revoked, _) => 9,
        (State::Pending | State::Active, "bad") => 0,
        (State::Pending | State::Active, "warn") => 1,
        (State::Pending | State::Active, "off") => 2,
        (State::Pending | State::Active, _) => 3,
    }
}

fn channels(language: Language, status: &pb::Status) -> Vec<Chip> {
    let mut permissions: Vec<_> = status.permissions.iter().collect();
    // A map has no order of its own.
    permissions.sort_by(|a, b| b.0.cmp(a.0));
    permissions
        .into_iter()
        .take(ENTRIES)
        .map(|(name, works)| {
            let name = word(language, "channel", name);
            if *works {
                Chip {
                    tone: "good",
                    text: language.f("coverage.works", &[&name]),
                }
            } else {
                Chip {
                    tone: "bad",
                    text: language.f("coverage.missing", &[&name]),
                }
            }
        })
        .collect()
}

fn apps(language: Language, status: &pb::Status) -> Vec<App> {
    let mut apps: Vec<_> = status.app_versions.iter().collect();
    apps.sort();
    apps.into_iter()
        .take(ENTRIES)
        .map(|(package, version)| App {
            name: word(language, "app", package),
            version: cut(version),
            fit: fit(language, status.pack_fit.get(package)),
        })
        .collect()
}

/// The phone compares: it alone has the packs in force and the app's version.
fn fit(language: Language, said: Option<&String>) -> Chip {
    let said = said.map_or("unknown", String::as_str);
    let tone = match said {
        "fits" => "good",
        "newer" | "older" | "untested" => "warn",
        _ => "off",
    };
    Chip {
        tone,
        text: word(language, "fit", said),
    }
}

fn pack(language: Language, status: Option<&pb::Status>) -> Chip {
    let Some(status) = status else {
        return Chip {
            tone: "off",
            text: "—".to_owned(),
        };
    };
    let version = match status.pack_version {
        0 => language.t("coverage.pack_built_in").to_owned(),
        version => language.f("coverage.pack", &[&version.to_string()]),
    };
    match status.pack_problems.len() {
        0 => Chip {
            tone: "off",
            text: version,
        },
        problems => Chip {
            tone: "warn",
            text: language.f("coverage.pack_problems", &[&version, &problems.to_string()]),
        },
    }
}

fn decision(decided: Option<Decided>) -> (&'static str, &'static str) {
    match decided.map(|it| (it.decision, it.accepted)) {
        Some((Decision::Granted | Decision::Reconfirmed, true)) => ("good", "granted"),
        Some((Decision::Granted | Decision::Reconfirmed, false)) => ("info", "waiting"),
        Some((Decision::Refused, _)) => ("off", "refused"),
        Some((Decision::Withdrawn, _)) => ("off", "withdrawn"),
        Some((Decision::Unspecified, _)) | None => ("off", "none"),
    }
}

fn consents_chip(language: Language, consents: &Consents) -> Chip {
    let newest = consents.newest();
    let granted = newest
        .iter()
        .filter(|(_, it)| decision(*it).1 == "granted")
        .count();
    let counts = [granted.to_string(), newest.len().to_string()];
    Chip {
        tone: if granted > 0 { "good" } else { "off" },
        text: language.f("coverage.granted", &[&counts[0], &counts[1]]),
    }
}

fn consent_row(language: Language, category: pb::Category, decided: Option<Decided>) -> ConsentRow {
    let (tone, name) = decision(decided);
    ConsentRow {
        category: language.word("category", category.name()),
        decision: Chip {
            tone,
            text: language.word("consent", name).to_owned(),
        },
        notice: decided.map(|it| it.notice_version),
    }
}

fn gap_item(visit: &Visit, gap: &Gap) -> GapItem {
    let language = visit.language;
    let tone = match gap.reason.as_str() {
        "overflow" => "warn",
        "corrupt" | "server_lost" => "bad",
        _ => "off",
    };
    let counts: Vec<_> = gap
        .counts
        .iter()
        .take(ENTRIES)
        .map(|(category, count)| format!("{} {count}", word(language, "category", category.name())))
        .collect();
    GapItem {
        at: format::time(gap.at_ms, &visit.console.zone),
        reason: Chip {
            tone,
            text: word(language, "gap", &gap.reason),
        },
        events: language.f("coverage.events", &[&gap.events().to_string()]),
        counts: counts.join(language.t("list.comma")),
        place: format!("{} / {}–{}", gap.epoch, gap.first_seq, gap.last_seq),
    }
}

/// The word of something a phone said, or what it said, cut.
fn word(language: Language, family: &str, name: &str) -> String {
    cut(&language.word_or_name(family, name))
}

fn cut(text: &str) -> String {
    text.chars().take(CHARACTERS).collect()
}
