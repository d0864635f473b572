//! The collector's settings: one TOML file, parsed, then validated into a type that can't be wrong.
//!
//! Invariants: unknown settings are errors; the shipped `mingjing.toml` holds every setting with its
//! default and a test loads it; secrets come from the environment or their own files, never from here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::civil::{Date, Time};
use mingjing_proto::pb::{self, Category};
use mingjing_proto::vocabulary::Named;
use serde::Deserialize;

use crate::attestation::Tier;
use crate::error::{Error, Result};
use crate::master::MasterKey;

/// The shipped example, every setting with its default.
pub const EXAMPLE: &str = include_str!("../mingjing.toml");
/// Name of the settings file in the data folder.
pub const FILE: &str = "mingjing.toml";

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything lives.
    pub data_dir: PathBuf,
    /// Where the master key is.
    pub master_key: MasterKey,
    /// Name of this collector.
    pub collector: String,
    /// Who supervises.
    pub company: Company,
    /// The three listeners.
    pub listen: Listen,
    /// How phones and browsers reach them.
    pub public: Public,
    /// `postgres://…` or empty for SQLite.
    pub store_url: String,
    /// Enrolment.
    pub phones: Phones,
    /// Working hours an invited person begins with.
    pub hours: pb::Schedule,
    /// The zone reports and pages use.
    pub zone: String,
    /// Company-wide terms.
    pub terms: pb::PolicyTerms,
    /// Company texts of the notice by language.
    pub notice: BTreeMap<String, NoticeWords>,
    /// The company's own rules.
    pub rules_dir: Option<PathBuf>,
    /// The company's own lexicons.
    pub lexicons_dir: Option<PathBuf>,
    /// The console.
    pub console: Console,
    /// Bounds.
    pub limits: Limits,
    /// All settings as they stand in file and defaults, to tell what changed.
    settings: toml::Table,
}

/// Who supervises.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    /// Its name.
    pub name: String,
    /// Whom to ask.
    pub contact: String,
    /// Whom to ask about personal data.
    pub privacy_contact: String,
}

/// Addresses to listen on; port 0 takes a free one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// `Enroll` and `Renew`.
    pub enrollment: SocketAddr,
    /// `Session`.
    pub session: SocketAddr,
    /// The console.
    pub console: SocketAddr,
    /// Metrics and health over plain HTTP; `None` when switched off.
    #[serde(deserialize_with = "address_or_empty")]
    pub metrics: Option<SocketAddr>,
}

fn address_or_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        serde::de::Error::custom(format!(
            "listen.metrics holds {text:?}; write \"127.0.0.1:9464\", or \"\" for none"
        ))
    })
}

/// Addresses as phones and browsers see them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// Names in the server certificate; the first is used in addresses.
    pub names: Vec<String>,
    /// Full address or empty.
    pub enrollment: String,
    /// Full address or empty.
    pub session: String,
    /// Full address or empty.
    pub console: String,
}

/// Enrolment settings.
#[derive(Clone, Debug)]
pub struct Phones {
    /// Whether a new phone waits for confirmation.
    pub confirm: bool,
    /// Serials that need none.
    pub known_serials: Vec<String>,
    /// Days a phone's certificate lasts.
    pub certificate_days: u16,
    /// Hours an enrolment code is good for.
    pub token_hours: u16,
    /// PEM file or folder of the roots that may attest keys.
    pub attestation_roots: Option<PathBuf>,
    /// The least tier that may enrol.
    pub minimum_trust: Tier,
    /// Where a phone that is set up by QR code loads the app; empty: nowhere.
    pub apk_url: String,
    /// The same file here, compared at the start.
    pub apk_file: Option<PathBuf>,
    /// SHA-256 of that file.
    pub apk_sha256: Option<[u8; 32]>,
    /// SHA-256 of the certificate that signed it.
    pub apk_signer_sha256: Option<[u8; 32]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhonesFile {
    confirm: bool,
    known_serials: Vec<String>,
    certificate_days: u16,
    token_hours: u16,
    attestation_roots: String,
    minimum_trust: String,
    apk_url: String,
    apk_file: String,
    apk_sha256: String,
    apk_signer_sha256: String,
}

/// The company's words of the notice in one language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeWords {
    /// What for.
    pub purposes: String,
    /// Who may read.
    pub readers: String,
    /// Where data are kept.
    pub stored_where: String,
    /// What follows from refusing.
    pub refusal_consequences: String,
    /// Anything the company adds.
    pub addition: String,
}

/// Console settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// PEM file or empty.
    pub certificate: String,
    /// PEM file or empty.
    pub key: String,
    /// Minutes a login lasts without activity.
    pub session_minutes: u16,
}

/// Bounds on what phones may ask of the collector.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// Sessions at once.
    pub sessions: usize,
    /// Batches a second and phone.
    pub batches_per_s: u32,
    /// Inflated bytes a second and phone.
    pub bytes_per_s: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    collector: String,
    company: Company,
    listen: Listen,
    public: Public,
    store: Store,
    phones: PhonesFile,
    hours: Hours,
    terms: Terms,
    notice: BTreeMap<String, NoticeWords>,
    rules: Rules,
    console: Console,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hours {
    zone: String,
    weekdays: Vec<u32>,
    spans: Vec<String>,
    holidays: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    categories: Vec<String>,
    days_unmatched: u32,
    days_matched: u32,
    pause_minutes_per_day: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    rules_dir: String,
    lexicons_dir: String,
}

impl Config {
    /// Reads `mingjing.toml` of a data folder over the defaults. `store_url` overrides the file's.
    pub fn load(data_dir: &Path, store_url: Option<String>) -> Result<Self> {
        let path = data_dir.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        let mut config = Self::parse(&text, data_dir)
            .map_err(|problem| Error::Config(format!("{}: {problem}", path.display())))?;
        if let Some(url) = store_url {
            config.store_url = url;
        }
        Ok(config)
    }

    /// Parses settings over the defaults; the error names line and cure.
    pub fn parse(text: &str, data_dir: &Path) -> std::result::Result<Self, String> {
        let mut merged: toml::Table =
            toml::from_str(EXAMPLE).map_err(|error| format!("the shipped defaults: {error}"))?;
        let given: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        // Deserialising what was given alone would miss defaults; merging first would lose its lines.
        // So unknown names are looked for by path, and everything else is checked on the merged table.
        unknown(&given, &merged, "")?;
        merge(&mut merged, given);
        let settings = merged.clone();
        let file: File = merged.try_into().map_err(|error: toml::de::Error| {
            format!(
                "{}; the shipped mingjing.toml shows every setting",
                error.message()
            )
        })?;
        file.validate(data_dir, settings)
    }

    /// The top-level names whose settings differ from `other`'s.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.settings.keys().chain(other.settings.keys());
        let differing: std::collections::BTreeSet<&String> = names
            .filter(|name| self.settings.get(*name) != other.settings.get(*name))
            .collect();
        differing.into_iter().cloned().collect()
    }
}

fn unknown(given: &toml::Table, known: &toml::Table, at: &str) -> std::result::Result<(), String> {
    for (name, value) in given {
        let path = if at.is_empty() {
            name.clone()
        } else {
            format!("{at}.{name}")
        };
        match (known.get(name), value) {
            (None, toml::Value::Table(_)) if at == "notice" => {}
            (None, _) => {
                return Err(format!(
                    "unknown setting {path}; the shipped mingjing.toml shows every setting"
                ));
            }
            (Some(toml::Value::Table(known)), toml::Value::Table(given)) => {
                unknown(given, known, &path)?;
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

impl File {
    fn validate(
        self,
        data_dir: &Path,
        settings: toml::Table,
    ) -> std::result::Result<Config, String> {
        if self.version != 1 {
            return Err(format!(
                "version {} is not known; this program reads 1",
                self.version
            ));
        }
        if self.collector.is_empty() || self.collector.len() > 40 {
            return Err("collector must be a name of 1 to 40 bytes".to_owned());
        }
        if self.public.names.is_empty() {
            return Err("public.names needs at least one host name or address".to_owned());
        }
        if self.limits.handshakes == 0
            || self.limits.sessions == 0
            || self.limits.batches_per_s == 0
            || self.limits.bytes_per_s == 0
        {
            return Err("limits must be above 0".to_owned());
        }
        if !self.notice.contains_key("zh-CN") || !self.notice.contains_key("en") {
            return Err("notice needs the tables zh-CN and en".to_owned());
        }
        if self.console.certificate.is_empty() != self.console.key.is_empty() {
            return Err("console.certificate and console.key go together".to_owned());
        }
        let hours = self.hours.schedule()?;
        let terms = self.terms.terms()?;
        let folder = |name: String| (!name.is_empty()).then(|| data_dir.join(name));
        Ok(Config {
            data_dir: data_dir.to_owned(),
            master_key: MasterKey::in_folder(data_dir),
            collector: self.collector,
            company: self.company,
            listen: self.listen,
            public: self.public,
            store_url: self.store.url,
            phones: self.phones.phones(data_dir)?,
            zone: hours.zone.clone(),
            hours,
            terms,
            notice: self.notice,
            rules_dir: folder(self.rules.rules_dir),
            lexicons_dir: folder(self.rules.lexicons_dir),
            console: self.console,
            limits: self.limits,
            settings,
        })
    }
}

impl PhonesFile {
    fn phones(self, data_dir: &Path) -> std::result::Result<Phones, String> {
        if !(1..=30).contains(&self.certificate_days) {
            return Err("phones.certificate_days must be 1 to 30".to_owned());
        }
        if !(1..=24).contains(&self.token_hours) {
            return Err("phones.token_hours must be 1 to 24 (requirements A)".to_owned());
        }
        let minimum_trust = self.minimum_trust.parse().map_err(|_| {
            format!(
                "phones.minimum_trust holds {:?}; write \"none\", \"software\" or \"hardware\"",
                self.minimum_trust
            )
        })?;
        if minimum_trust > Tier::None && self.attestation_roots.is_empty() {
            return Err(
                "phones.minimum_trust asks for attested keys, and without phones.attestation_roots \
                 none can be: set it to the PEM file of the roots you trust"
                    .to_owned(),
            );
        }
        let hash = |name: &str, text: &str| -> std::result::Result<_, String> {
            if text.is_empty() {
                return Ok(None);
            }
            let mut bytes = [0; 32];
            // apksigner and keytool print colons.
            hex::decode_to_slice(text.replace(':', "").trim(), &mut bytes).map_err(|_| {
                format!(
                    "phones.{name} is 64 hexadecimal digits; `mingjing-collector apk check FILE` prints it"
                )
            })?;
            Ok(Some(bytes))
        };
        let apk_sha256 = hash("apk_sha256", &self.apk_sha256)?;
        let apk_signer_sha256 = hash("apk_signer_sha256", &self.apk_signer_sha256)?;
        if !self.apk_url.is_empty() {
            if !self.apk_url.starts_with("https://") || self.apk_url.len() > 500 {
                return Err("phones.apk_url must begin with https://".to_owned());
            }
            if apk_signer_sha256.is_none() {
                return Err(
                    "phones.apk_url needs phones.apk_signer_sha256, else a phone would install whatever \
                     lies there; `mingjing-collector apk check FILE` prints it"
                        .to_owned(),
                );
            }
        }
        let path = |name: String| (!name.is_empty()).then(|| data_dir.join(name));
        Ok(Phones {
            confirm: self.confirm,
            known_serials: self.known_serials,
            certificate_days: self.certificate_days,
            token_hours: self.token_hours,
            attestation_roots: path(self.attestation_roots),
            minimum_trust,
            apk_url: self.apk_url,
            apk_file: path(self.apk_file),
            apk_sha256,
            apk_signer_sha256,
        })
    }
}

impl Hours {
    fn schedule(&self) -> std::result::Result<pb::Schedule, String> {
        jiff::tz::TimeZone::get(&self.zone)
            .map_err(|_| format!("hours.zone {:?} is not an IANA zone", self.zone))?;
        let spans: Vec<_> = self
            .spans
            .iter()
            .map(|span| minutes(span))
            .collect::<std::result::Result<_, _>>()?;
        let mut weekly = Vec::new();
        for &weekday in &self.weekdays {
            if !(1..=7).contains(&weekday) {
                return Err(format!(
                    "hours.weekdays holds {weekday}; Monday is 1, Sunday 7"
                ));
            }
            weekly.extend(
                spans
                    .iter()
                    .map(|&(from_minute, to_minute)| pb::WeeklyHours {
                        weekday,
                        from_minute,
                        to_minute,
                    }),
            );
        }
        let days = self
            .holidays
            .iter()
            .map(|date| {
                let parsed: Date = date
                    .parse()
                    .map_err(|_| format!("hours.holidays holds {date:?}; write 2027-01-01"))?;
                Ok(pb::DayHours {
                    date: days_since_epoch(parsed),
                    spans: Vec::new(),
                    why: "holiday".to_owned(),
                })
            })
            .collect::<std::result::Result<_, String>>()?;
        Ok(pb::Schedule {
            zone: self.zone.clone(),
            weekly,
            days,
        })
    }
}

/// Days since 1970-01-01 of a civil date.
pub fn days_since_epoch(date: Date) -> i32 {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.until(date).map_or(0, |span| span.get_days())
}

fn minutes(span: &str) -> std::result::Result<(u32, u32), String> {
    let wrong = || format!("hours.spans holds {span:?}; write \"08:30-12:00\"");
    let (from, to) = span.split_once('-').ok_or_else(wrong)?;
    let minute = |text: &str| {
        if text.trim() == "24:00" {
            return Ok(1440);
        }
        let time: Time = text.trim().parse().map_err(|_| wrong())?;
        u32::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).map_err(|_| wrong())
    };
    let (from, to) = (minute(from)?, minute(to)?);
    if from >= to {
        return Err(wrong());
    }
    Ok((from, to))
}

impl Terms {
    fn terms(&self) -> std::result::Result<pb::PolicyTerms, String> {
        if self.days_unmatched == 0 || self.days_matched == 0 {
            return Err("terms: unlimited retention is not a value (requirements T)".to_owned());
        }
        let mut categories = Vec::new();
        for name in &self.categories {
            let category = Category::from_name(name)
                .filter(|category| *category != Category::Control)
                .ok_or_else(|| format!("terms.categories holds {name:?}, which is no category"))?;
            categories.push(category as i32);
        }
        let retention = categories
            .iter()
            .map(|&category| pb::Retention {
                category,
                days_unmatched: self.days_unmatched,
                days_matched: self.days_matched,
            })
            .collect();
        Ok(pb::PolicyTerms {
            categories,
            retention,
            given_hours: String::new(),
            pause_minutes_per_day: self.pause_minutes_per_day,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_example_loads_and_is_complete() {
        let config = Config::parse(EXAMPLE, Path::new("data")).unwrap();
        assert_eq!(config.hours.weekly.len(), 10);
        assert_eq!(
            Config::parse("", Path::new("data")).unwrap().collector,
            "c1"
        );
    }

    #[test]
    fn mistakes_are_named_with_their_cure() {
        for (text, expected) in [
            ("verson = 1", "unknown setting verson"),
            ("[phones]\ntoken_hours = 25", "1 to 24"),
            ("[phones]\nminimum_trust = \"some\"", "hardware"),
            ("[phones]\napk_url = \"http://x\"", "https://"),
            ("[phones]\napk_url = \"https://x/a.apk\"", "apk check"),
            ("[phones]\napk_sha256 = \"12\"", "64 hexadecimal"),
            (
                "[phones]\nminimum_trust = \"software\"",
                "attestation_roots",
            ),
            ("[hours]\nspans = [\"9-10\"]", "08:30-12:00"),
            ("[hours]\nzone = \"Mars/Base\"", "IANA"),
            ("[terms]\ndays_matched = 0", "unlimited"),
            ("[listen]\nconsole = \"nowhere\"", "shipped mingjing.toml"),
            ("collector = ", "line 1"),
        ] {
            let error = Config::parse(text, Path::new("data")).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
