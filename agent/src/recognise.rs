//! Signals in, activities out: what happened, as far as it can be told.
//!
//! Invariants:
//! - any signal is accepted: nothing here panics or loops, whatever a phone hands over;
//! - memory is bounded, holds hashes where it can and texts only of what was captured, and
//!   [`Recogniser::forget`] drops all of it;
//! - a private conversation is dropped by its title, before anything of it is read;
//! - unsure is `weak`, never a wrong kind.

mod align;
mod bubble;
mod chat;
mod contacts;
mod draft;
mod layout;
mod money;
mod notification;
mod page;
mod seen;
mod text;
mod time;
mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;

use mingjing_proto::pb::signal::Body;
use mingjing_proto::pb::{self, Confidence, Direction, Kind, Source};

use crate::pack::{Captured, PackSet, Pattern, Place, Support, WindowRole};
use draft::Draft;

/// Turns signals into activities, with a bounded memory of what was there before.
#[derive(Debug)]
pub struct Recogniser {
    packs: Arc<PackSet>,
    seen: seen::Seen,
    notices: notification::Notices,
    chats: chat::Chats,
    pages: page::Pages,
    contacts: contacts::Contacts,
    usage: usage::Usage,
    /// App versions outside every pack, told once each.
    unsupported: BTreeSet<String>,
    /// A chat page without a node tree was told and none with one was seen since.
    degraded: bool,
}

/// What the present permitted watch is.
pub struct Watch<'a> {
    /// The account's nickname; may be empty.
    pub own_name: &'a str,
    /// Start of the present uninterrupted watch; bubbles shown as older are history. 0: no limit.
    pub since_ms: i64,
    /// Whether the conversation with this title is marked private (P5).
    pub private: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("since_ms", &self.since_ms)
            .finish_non_exhaustive()
    }
}

/// One signal being read.
struct Context<'a> {
    packs: &'a PackSet,
    signal: &'a pb::Signal,
    watch: &'a Watch<'a>,
    seen: &'a mut seen::Seen,
}

impl Context<'_> {
    fn draft(&self, kind: Kind, direction: Direction, source: Source) -> Draft {
        Draft::new(self.signal, kind, direction, source)
    }

    /// The first body pattern of the notification's channel that takes the text.
    fn body<'t>(&self, text: &'t str) -> Option<(&Pattern, Captured<'t>)> {
        let channel = match &self.signal.body {
            Some(Body::Notification(it)) => it.channel.as_str(),
            _ => "",
        };
        let fits = |it: &&Pattern| it.takes_channel(channel);
        self.packs
            .first_of(&self.signal.package, Place::Body, text, fits)
    }

    fn is_private(&self, title: &str) -> bool {
        !title.is_empty() && (self.watch.private)(title)
    }
}

/// The end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;
/// App versions told as unsupported.
const VERSIONS: usize = 64;

impl Recogniser {
    /// A recogniser without memory.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self {
            packs,
            seen: seen::Seen::default(),
            notices: notification::Notices::default(),
            chats: chat::Chats::default(),
            pages: page::Pages::default(),
            contacts: contacts::Contacts::default(),
            usage: usage::Usage::default(),
            unsupported: BTreeSet::new(),
            degraded: false,
        }
    }

    /// Reads with other packs from now on.
    pub fn set_packs(&mut self, packs: Arc<PackSet>) {
        self.packs = packs;
        self.unsupported.clear();
    }

    /// Drops every remembered text: withdrawal, account switch, account no longer proven.
    pub fn forget(&mut self) {
        self.seen.clear();
        self.notices.clear();
        self.chats.clear();
        self.pages.clear();
        self.contacts.clear();
        self.usage.clear();
        self.degraded = false;
    }

    /// What happened, in order.
    pub fn recognise(&mut self, signal: &pb::Signal, watch: &Watch<'_>) -> Vec<pb::Activity> {
        // A clock far off any calendar: no moment could be told from it.
        let offset = signal.utc_offset_min;
        if !(0..=LAST_MS).contains(&signal.at_ms) || !(-1080..=1080).contains(&offset) {
            return Vec::new();
        }
        let packs = Arc::clone(&self.packs);
        let mut seen = std::mem::take(&mut self.seen);
        let mut context = Context {
            packs: &packs,
            signal,
            watch,
            seen: &mut seen,
        };
        let known = packs.reads(&signal.package);
        let mut drafts = match &signal.body {
            Some(Body::Notification(it)) if known => self.notices.read(&mut context, it),
            Some(Body::Screen(it)) if known => self.screen(&mut context, it),
            Some(Body::Contacts(it)) if known => self.contacts.read(&mut context, it),
            Some(Body::State(it)) => channel_lost(&context, it).into_iter().collect(),
            _ => Vec::new(),
        };
        let mut used = self.usage.read(&context);
        used.append(&mut drafts);
        let mut drafts = used;
        drafts.retain(|draft| !concerns_private(&context, &draft.activity));
        for draft in &drafts {
            let kind = draft.activity.kind();
            let listed = matches!(kind, Kind::ContactAdded | Kind::ContactDeleted);
            if listed && draft.activity.source() != Source::Contacts {
                seen.note(draft.contact_key(), seen::Channel::Page, signal.at_ms);
            }
        }
        self.seen = seen;
        if matches!(signal.body, Some(Body::Notification(_))) {
            for draft in &drafts {
                self.chats.hear(&signal.package, draft);
            }
        }
        let mut activities: Vec<pb::Activity> = drafts.into_iter().map(|it| it.activity).collect();
        let told = matches!(signal.body, Some(Body::Notification(_) | Body::Screen(_)));
        if known && told && packs.support(&signal.package, &signal.app_version) == Support::Unknown
        {
            self.lower(signal, &mut activities);
        }
        activities
    }

    /// The nearest pack is used for an unknown version, with less confidence, and that is told once.
    fn lower(&mut self, signal: &pb::Signal, activities: &mut Vec<pb::Activity>) {
        for activity in activities.iter_mut() {
            let lower = match activity.confidence() {
                Confidence::Certain => Confidence::Likely,
                Confidence::Likely | Confidence::Weak => Confidence::Weak,
                Confidence::Unspecified => Confidence::Unspecified,
            };
            if activity.kind() != Kind::Coverage {
                activity.confidence = lower.into();
            }
        }
        let version = format!("{} {}", signal.package, text::name(&signal.app_version));
        if self.unsupported.len() < VERSIONS && self.unsupported.insert(version) {
            let source = match signal.body {
                Some(Body::Notification(_)) => Source::Notification,
                Some(Body::Contacts(_)) => Source::Contacts,
                Some(Body::State(_)) => Source::State,
                Some(Body::Screen(_)) | None => Source::Screen,
            };
            let mut draft = Draft::new(signal, Kind::Coverage, Direction::None, source);
            draft.activity.content = "unsupported".to_owned();
            draft.confidence(Confidence::Certain);
            activities.insert(0, draft.activity);
        }
    }

    fn screen(&mut self, context: &mut Context<'_>, screen: &pb::Screen) -> Vec<Draft> {
        let packs = context.packs;
        let package = context.signal.package.as_str();
        let role = packs.window(package, &screen.window);
        if screen.event() == pb::screen::Event::Left {
            self.pages.left();
            return Vec::new();
        }
        let mut drafts: Vec<Draft> = self.pages.window(context, role).into_iter().collect();
        match role {
            WindowRole::Excluded
            | WindowRole::Moments
            | WindowRole::DesktopLogin
            | WindowRole::Scanner => {}
            // Watched by class name alone; no text.
            WindowRole::Login => drafts.extend(self.pages.login(context)),
            WindowRole::SwitchAccount => {}
            WindowRole::AccountPage => drafts.extend(self.pages.followed(context, role, None)),
            WindowRole::Chat | WindowRole::Main => {
                drafts.extend(self.chat(context, screen, role));
            }
            WindowRole::ContactList => {
                drafts.extend(self.pages.followed(context, role, None));
                drafts.extend(self.contacts.page(context, screen));
            }
            WindowRole::Profile
            | WindowRole::ChatInfo
            | WindowRole::FriendRequests
            | WindowRole::RedPacket
            | WindowRole::RedPacketDetail
            | WindowRole::Transfer
            | WindowRole::Call
            | WindowRole::Location
            | WindowRole::Payment
            | WindowRole::Settings
            | WindowRole::Dialog
            | WindowRole::Other => {
                let lines = page::lines(screen);
                let chat = self.chats.current();
                if !self.pages.dialog(context, role, &lines, chat) {
                    drafts.extend(self.pages.followed(context, role, None));
                    drafts.extend(self.pages.page(context, role, &lines, chat));
                }
            }
        }
        drafts
    }

    fn chat(
        &mut self,
        context: &mut Context<'_>,
        screen: &pb::Screen,
        role: WindowRole,
    ) -> Vec<Draft> {
        let packs = context.packs;
        let package = context.signal.package.as_str();
        let worded = |it: &pb::Node| !it.text.trim().is_empty() || !it.desc.trim().is_empty();
        if !screen.nodes.iter().any(worded) {
            if role == WindowRole::Main || std::mem::replace(&mut self.degraded, true) {
                return Vec::new();
            }
            let mut draft = context.draft(Kind::Coverage, Direction::None, Source::Screen);
            draft.activity.content = "degraded".to_owned();
            draft.confidence(Confidence::Certain);
            return vec![draft];
        }
        self.degraded = false;
        let page = layout::read(packs, package, screen);
        if context.is_private(page.title) {
            return Vec::new();
        }
        if page.title.is_empty() && context.is_private(self.chats.current().0) {
            return Vec::new();
        }
        let lines = page::lines(screen);
        let about = if page.title.is_empty() {
            self.chats.current()
        } else {
            (
                page.title,
                page.counted || self.chats.current() == (page.title, true),
            )
        };
        if self.pages.dialog(context, role, &lines, about) {
            return Vec::new();
        }
        if role == WindowRole::Main && !page.is_chat {
            self.chats.leave();
            let mut drafts: Vec<Draft> = self.pages.home(context, &lines).into_iter().collect();
            drafts.extend(self.contacts.page(context, screen));
            return drafts;
        }
        let class = screen.window.rsplit('.').next().unwrap_or_default();
        let (mut drafts, outcome) = self.chats.read(
            context,
            &page,
            class.starts_with("External"),
            class.starts_with("ExternalGroup"),
        );
        if !outcome.title.is_empty() {
            let group = page.counted;
            if group {
                self.notices.learn(package, &outcome.title, group);
            }
        }
        let about = self.pages.asked_about();
        if about.is_empty() || about == outcome.title {
            drafts.extend(self.pages.followed(context, role, Some(&outcome)));
        }
        drafts
    }
}

/// Permission for a channel taken away, or a phone about to have no room for records.
fn channel_lost(context: &Context<'_>, state: &pb::DeviceState) -> Option<Draft> {
    let full = state.kind == "storage" && state.value == "low";
    let channel = matches!(state.kind.as_str(), "listener" | "accessibility");
    let lost = matches!(
        state.value.to_ascii_lowercase().as_str(),
        "off" | "disabled" | "disconnected" | "false" | "0" | "denied" | "revoked"
    );
    if !(full || channel && lost) {
        return None;
    }
    let mut draft = context.draft(Kind::Coverage, Direction::None, Source::State);
    draft.activity.content = "degraded".to_owned();
    if full {
        draft.activity.target = "storage".to_owned();
    }
    draft.confidence(Confidence::Certain);
    Some(draft)
}

fn concerns_private(context: &Context<'_>, activity: &pb::Activity) -> bool {
    let title = activity
        .conversation
        .as_ref()
        .map_or("", |it| it.title.as_str());
    context.is_private(title) || context.is_private(&activity.peer)
}
