//! What words and windows mean on screen: recognition packs, compiled once.
//!
//! Invariants:
//! - a set of packs loads whole or not at all, and every error names the file, the line and the cure;
//! - every expression is linear in its input, and sizes, counts and expressions are capped;
//! - every pattern carries at least one hit and one near miss, and is checked against all of them;
//! - a window's role depends on its class name alone, never on text.

mod check;
mod expression;
mod mask;
mod pattern;
mod source;

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use mingjing_proto::pb;

pub use check::{Checked, check_files};
pub(crate) use expression::{Expression, Letters};
use pattern::compile;
pub(crate) use pattern::{Captured, Outcome, Pattern, Place, Rest};
use source::{PackSource, VersionRange};

/// Version of the packs compiled in.
pub const BUILTIN_VERSION: u32 = 1;

/// The packs compiled in: name and JSON, which `build.rs` makes of the files in `packs`.
pub const BUILTIN: [(&str, &str); 3] = [
    (
        "both.json",
        include_str!(concat!(env!("OUT_DIR"), "/both.json")),
    ),
    (
        "wechat.json",
        include_str!(concat!(env!("OUT_DIR"), "/wechat.json")),
    ),
    (
        "wecom.json",
        include_str!(concat!(env!("OUT_DIR"), "/wecom.json")),
    ),
];

/// A pack that cannot be used; nothing of the set is.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Neither JSON nor YAML, an unknown field, or a field of the wrong shape.
    #[error("{file}:{line}: {problem}; docs/recognition.md lists the fields of a pack")]
    Shape {
        /// The file.
        file: String,
        /// Line in the file, 0 when unknown.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A pattern that does not compile, or does not do what its examples say.
    #[error("{file}:{line}: pattern {id}: {problem}; {cure}")]
    Pattern {
        /// The file.
        file: String,
        /// Line of the pattern's id.
        line: usize,
        /// The pattern.
        id: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        cure: &'static str,
    },
    /// Too many or too large files.
    #[error("{file}: larger than {limit}; split or shorten the pack")]
    TooLarge {
        /// The file.
        file: String,
        /// The limit, in words.
        limit: &'static str,
    },
}

/// What a window is, by its class name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowRole {
    /// The account's own page, the only one that proves it.
    AccountPage,
    /// Logging in.
    Login,
    /// Switching between accounts.
    SwitchAccount,
    /// Confirming a login on a computer.
    DesktopLogin,
    /// Moments: opened is counted, nothing is read.
    Moments,
    /// Never read: Channels, mini programs, browser, wallet and other private pages.
    Excluded,
    /// The app's main window: conversation list, contacts, or a chat inside it.
    Main,
    /// A chat page.
    Chat,
    /// A contact's page or its settings.
    Profile,
    /// Settings of a chat or group.
    ChatInfo,
    /// New friends and friend requests.
    FriendRequests,
    /// A contact list with a window of its own.
    ContactList,
    /// The scanner.
    Scanner,
    /// A red packet before it is opened.
    RedPacket,
    /// A red packet's detail page.
    RedPacketDetail,
    /// A transfer: entering, result or detail.
    Transfer,
    /// A voice or video call.
    Call,
    /// Location sharing.
    Location,
    /// Money received by code.
    Payment,
    /// Settings outside any chat.
    Settings,
    /// A dialog of the platform or the app.
    Dialog,
    /// Anything else.
    Other,
}

/// Packs of both apps, compiled once.
#[derive(Debug)]
pub struct PackSet {
    version: u32,
    packs: Vec<Pack>,
}

/// What is known about the app version a signal came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// Inside a range a pack was tested with, or not told.
    Known,
    /// Outside every range: the nearest pack is used with less confidence.
    Unknown,
}

#[derive(Debug)]
struct Pack {
    packages: Vec<String>,
    versions: Vec<VersionRange>,
    windows: Vec<(String, WindowRole)>,
    tags: Vec<(String, String)>,
    /// By place.
    patterns: Vec<Pattern>,
}

impl PackSet {
    /// The packs compiled in, compiled at the first call.
    pub fn builtin() -> Arc<Self> {
        static SET: OnceLock<Arc<PackSet>> = OnceLock::new();
        let set = SET.get_or_init(|| {
            let files = BUILTIN.map(|(name, json)| (name.to_owned(), json.to_owned()));
            let set = Self::from_files(BUILTIN_VERSION, &files);
            Arc::new(set.expect("the shipped packs are checked by this crate's tests"))
        });
        Arc::clone(set)
    }

    /// Compiles `(name, text)` files; whole or not at all.
    pub fn from_files(version: u32, files: &[(String, String)]) -> Result<Self, PackError> {
        let sources = source::read(files)?;
        let packs = files
            .iter()
            .zip(sources)
            .map(|((name, text), source)| Pack::new(name, text, source))
            .collect::<Result<_, _>>()?;
        Ok(Self { version, packs })
    }

    /// Version of this set.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The role of a window, by class name alone. `.ui.LauncherUI` is short for the package's own.
    pub fn window(&self, package: &str, class: &str) -> WindowRole {
        let short = class.strip_prefix(package).unwrap_or(class);
        // The longest entry wins, so that one window can be named inside an excluded family.
        self.packs_of(package)
            .flat_map(|pack| &pack.windows)
            .filter(|(entry, _)| window_matches(entry, short, class))
            .max_by_key(|(entry, _)| entry.len())
            .map_or(WindowRole::Other, |(_, role)| *role)
    }

    /// The account id shown on the account's own page, and nowhere else.
    pub fn shown_account_id<'a>(&self, package: &str, screen: &'a pb::Screen) -> Option<&'a str> {
        if self.window(package, &screen.window) != WindowRole::AccountPage {
            return None;
        }
        let rules: Vec<&Pattern> = self.patterns(package, Place::AccountId).collect();
        let mut texts = screen
            .nodes
            .iter()
            .take(mingjing_proto::limits::SCREEN_NODES)
            .flat_map(|node| [node.text.trim(), node.desc.trim()])
            .filter(|text| !text.is_empty() && text.len() <= ACCOUNT_LINE_BYTES);
        while let Some(text) = texts.next() {
            for rule in &rules {
                let Some(found) = rule.regex.captures(text) else {
                    continue;
                };
                let id = match found.name("id") {
                    Some(id) if !id.is_empty() => id.as_str(),
                    _ => texts.next()?,
                };
                return is_account_id(id).then_some(id);
            }
        }
        None
    }

    /// Whether any pack reads this package.
    pub(crate) fn reads(&self, package: &str) -> bool {
        self.packs_of(package).next().is_some()
    }

    /// Whether a pack was tested with this version of the app; an empty version is not judged.
    pub(crate) fn support(&self, package: &str, app_version: &str) -> Support {
        match self.fit(package, app_version) {
            "fits" | "unknown" => Support::Known,
            _ => Support::Unknown,
        }
    }

    /// Where a version of an app stands against the packs: `fits`, `newer` or `older` than all they were
    /// tested with, `untested` in between; `unknown` when either says nothing.
    pub fn fit(&self, package: &str, app_version: &str) -> &'static str {
        let mut places = self
            .packs_of(package)
            .flat_map(|it| &it.versions)
            .map(|range| range.place(app_version))
            .peekable();
        if app_version.is_empty() || places.peek().is_none() {
            return "unknown";
        }
        let places: Vec<Ordering> = places.collect();
        let all = |place: Ordering| places.iter().all(|it| *it == place);
        if places.contains(&Ordering::Equal) {
            "fits"
        } else if all(Ordering::Greater) {
            "newer"
        } else if all(Ordering::Less) {
            "older"
        } else {
            "untested"
        }
    }

    /// The patterns of one place, in the order of the packs.
    pub(crate) fn patterns(&self, package: &str, place: Place) -> impl Iterator<Item = &Pattern> {
        self.packs_of(package).flat_map(move |pack| {
            let before = pack.patterns.partition_point(|it| it.place < place);
            let rest = pack.patterns.get(before..).unwrap_or_default();
            rest.iter().take_while(move |it| it.place == place)
        })
    }

    /// The first pattern of a place that takes the text.
    pub(crate) fn first<'p, 't>(
        &'p self,
        package: &str,
        place: Place,
        text: &'t str,
    ) -> Option<(&'p Pattern, Captured<'t>)> {
        self.first_of(package, place, text, |_| true)
    }

    /// The first pattern of a place among some that takes the text.
    pub(crate) fn first_of<'p, 't>(
        &'p self,
        package: &str,
        place: Place,
        text: &'t str,
        among: impl Fn(&&Pattern) -> bool,
    ) -> Option<(&'p Pattern, Captured<'t>)> {
        if text.is_empty() || text.len() > place.longest() {
            return None;
        }
        let letters = Letters::of(text);
        self.patterns(package, place)
            .filter(|pattern| pattern.regex.may_match(letters))
            .filter(among)
            .find_map(|pattern| {
                let found = pattern.captures(text)?;
                (!pattern.refuses(text)).then_some((pattern, found))
            })
    }

    /// Whether any pattern of a place takes the text.
    pub(crate) fn any(&self, package: &str, place: Place, text: &str) -> bool {
        if text.is_empty() || text.len() > place.longest() {
            return false;
        }
        let letters = Letters::of(text);
        self.patterns(package, place)
            .filter(|pattern| pattern.regex.may_match(letters) && pattern.is_match(text))
            .any(|pattern| !pattern.refuses(text))
    }

    /// The content of a type tag such as `图片`, without its brackets.
    pub(crate) fn tag(&self, package: &str, word: &str) -> Option<&str> {
        self.packs_of(package)
            .flat_map(|pack| &pack.tags)
            .find(|(tag, _)| tag.eq_ignore_ascii_case(word))
            .map(|(_, content)| content.as_str())
    }

    fn packs_of<'s>(&'s self, package: &str) -> impl Iterator<Item = &'s Pack> {
        self.packs
            .iter()
            .filter(move |pack| pack.packages.iter().any(|it| it == package))
    }
}

const ACCOUNT_LINE_BYTES: usize = 128;

/// WeChat ids and WeCom accounts: one word, no spaces, ASCII.
fn is_account_id(text: &str) -> bool {
    (2..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn window_matches(entry: &str, short: &str, class: &str) -> bool {
    let simple = class.rsplit('.').next().unwrap_or(class);
    match (entry.strip_prefix('*'), entry.strip_suffix('*')) {
        (Some(_), Some(_)) => short.contains(entry.trim_matches('*')),
        (Some(end), None) => short.ends_with(end),
        (None, Some(start)) => short.starts_with(start),
        (None, None) if entry.starts_with('.') => short == entry || class == entry,
        (None, None) => simple == entry || class == entry,
    }
}

impl Pack {
    fn new(file: &str, text: &str, source: PackSource) -> Result<Self, PackError> {
        let windows = source
            .windows
            .into_iter()
            .flat_map(|(role, entries)| entries.into_iter().map(move |entry| (entry, role)))
            .collect();
        let tags = source
            .tags
            .into_iter()
            .flat_map(|(content, words)| words.into_iter().map(move |it| (it, content.clone())))
            .collect();
        let mut patterns = source
            .patterns
            .into_iter()
            .map(|pattern| compile(file, text, &source.words, pattern))
            .collect::<Result<Vec<_>, _>>()?;
        // Of one place they stay in the order of the file.
        patterns.sort_by_key(|it| it.place);
        Ok(Self {
            packages: source.packages,
            versions: source.versions,
            windows,
            tags,
            patterns,
        })
    }
}
