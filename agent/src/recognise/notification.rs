//! Notifications: who wrote what in which conversation.
//!
//! Invariants:
//! - unread prefixes, sender prefixes and type tags are taken off only where the form has them, so that
//!   the same characters typed by somebody stay text;
//! - what is remembered holds no text (`known`).

mod form;
mod known;
mod say;

use mingjing_proto::pb::{self, Confidence, Kind, Source};

use super::draft::Draft;
use super::layout::without_company;
use super::{Context, money, text};
use crate::pack::{Pattern, Place};
use form::{body_of_service, fullest, said_by, split_sender, unread_prefix};
pub(super) use known::{Notices, REPOST_MS};
use say::{Conversation, Line, gap, say};

impl Notices {
    /// What a notification says.
    pub(super) fn read(&mut self, context: &mut Context<'_>, it: &pb::Notification) -> Vec<Draft> {
        let shown = if it.conversation_title.trim().is_empty() {
            &it.title
        } else {
            &it.conversation_title
        };
        let (name, counted) = text::without_count(shown);
        let (name, _) = without_company(context.packs, &context.signal.package, name);
        if context.is_private(name) || context.is_private(shown) {
            return Vec::new();
        }
        let package = context.signal.package.as_str();
        if it.event() == pb::notification::Event::Removed {
            let known = self.known(text::key(&[package, name]));
            known.unread = Some(0);
            known.removed_ms = Some(context.signal.at_ms);
            return Vec::new();
        }
        let words = fullest(it);
        if words.is_empty() && it.messages.is_empty() && it.lines.is_empty() {
            return from_ticker(self, context, it);
        }
        if let Some(drafts) = self.whole(context, it, name, &words) {
            return drafts;
        }
        if !it.messages.is_empty() {
            return self.messaging(context, it, name, counted);
        }
        let inbox = it.lines.len() > 1 || (it.lines.len() == 1 && words.is_empty());
        if inbox {
            return self.inbox(context, it, name, counted);
        }
        self.single(context, it, name, counted, &words)
    }

    /// Notifications that mean something as a whole: previews off, requests, payments.
    fn whole(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        words: &str,
    ) -> Option<Vec<Draft>> {
        let packs = context.packs;
        let package = context.signal.package.as_str();
        let cleaned = text::clean(words);
        let fits = |pattern: &&Pattern| {
            let titled = pattern.title.as_ref().is_none_or(|it| it.is_match(title));
            titled && pattern.takes_channel(&it.channel)
        };
        let (pattern, found) = packs.first_of(package, Place::Notice, &cleaned, fits)?;
        let app = packs.any(package, Place::AppTitle, title)
            || packs.any(package, Place::ServiceTitle, title);
        let peer = found.get("peer");
        if pattern.kind == Some(Kind::ContactRequested)
            && ![peer, ""].contains(&title)
            && !peer.is_empty()
            && !app
        {
            // A member of a group wrote these words.
            return None;
        }
        let member = || {
            let rest = unread_prefix(words).map_or(words, |(_, rest)| rest);
            split_sender(rest, false).is_some_and(|(sender, _)| {
                sender != title
                    && !pattern.is_match(sender)
                    && !packs.any(package, Place::ServiceTitle, sender)
                    && !packs.any(package, Place::Label, sender)
            })
        };
        if pattern.kind == Some(Kind::PaymentReceived) && member() {
            // A group that calls itself like a service: somebody in it wrote this.
            return None;
        }
        // Known to be nothing: the app speaks of itself.
        let Some(kind) = pattern.kind else {
            return Some(Vec::new());
        };
        let known = self.known(text::key(&[package, title]));
        let post = text::key(&[title, words]);
        if known.is_repost(post, context.signal.at_ms) {
            return Some(Vec::new());
        }
        let mut draft = context.draft(kind, pattern.direction, Source::Notification);
        draft.activity.content.clone_from(&pattern.content);
        draft.confidence(pattern.confidence.unwrap_or(Confidence::Likely));
        if kind == Kind::Coverage {
            draft.activity.count = found.number("count").unwrap_or(1);
            draft.confidence(Confidence::Certain);
            return Some(vec![draft]);
        }
        if kind == Kind::PaymentReceived {
            draft.activity.amount_fen = money::stated_amount(words);
            draft.conversation(title, false, false);
            draft.text(body_of_service(words, title));
            let missed = known.missed(unread_prefix(words).map(|(count, _)| count));
            let gap = (missed > 0).then(|| gap(context, missed));
            return Some(gap.into_iter().chain([draft]).collect());
        }
        let peer = match (peer.is_empty(), app) {
            (true, false) => title,
            (true, true) => it.sub_text.as_str(),
            (false, _) => peer,
        };
        if context.is_private(peer) {
            return Some(Vec::new());
        }
        draft.activity.peer = text::name(peer);
        Some(vec![draft])
    }

    /// MessagingStyle: every message has its sender; earlier ones come again with each post.
    fn messaging(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
    ) -> Vec<Draft> {
        let named_group = !it.conversation_title.is_empty() && it.title != it.conversation_title;
        let foreign = it
            .messages
            .iter()
            .any(|message| !message.sender.is_empty() && message.sender != title);
        let group = it.is_group || counted || (named_group && foreign);
        let conversation = Conversation { title, group };
        let package = context.signal.package.clone();
        let keys: Vec<u64> = it
            .messages
            .iter()
            .map(|message| {
                let at = message.at_ms.to_string();
                text::key(&[&message.sender, &message.text, &at])
            })
            .collect();
        let known = self.known(text::key(&[&package, title]));
        let new = known.new_lines(&keys);
        known.group = Some(group);
        let lines = it.messages.iter().skip(new).map(|message| {
            let sender = message.sender.as_str();
            let own = sender.is_empty()
                || (!context.watch.own_name.is_empty() && sender == context.watch.own_name);
            (message, own)
        });
        let lines: Vec<_> = lines.collect();
        let mut drafts = Vec::new();
        for (message, own) in lines {
            let line = Line {
                sender: &message.sender,
                body: said_by(&message.text, &message.sender).unwrap_or(&message.text),
                own,
                confidence: Confidence::Certain,
            };
            drafts.extend(say(context, &conversation, &line));
        }
        drafts
    }

    /// Inbox style: one line a message, oldest first.
    fn inbox(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
    ) -> Vec<Draft> {
        let package = context.signal.package.clone();
        let uncounted = |line: &String| {
            text::key(&[unread_prefix(line).map_or(line.as_str(), |(_, rest)| rest)])
        };
        let keys: Vec<u64> = it.lines.iter().map(uncounted).collect();
        let known = self.known(text::key(&[&package, title]));
        let new = known.new_lines(&keys);
        let mut drafts = Vec::new();
        for line in it.lines.iter().skip(new) {
            drafts.extend(self.one(context, it, title, counted, line).1);
        }
        drafts
    }

    /// The plain form: one text, perhaps with an unread count.
    fn single(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
        words: &str,
    ) -> Vec<Draft> {
        let at_ms = context.signal.at_ms;
        let post = text::key(&[title, words]);
        let key = text::key(&[&context.signal.package, title]);
        if self.known(key).is_repost(post, at_ms) {
            return Vec::new();
        }
        let (count, mut drafts) = self.one(context, it, title, counted, words);
        let line_key = text::key(&[unread_prefix(words).map_or(words, |(_, rest)| rest)]);
        let known = self.known(key);
        known.lines.push_back(line_key);
        let missed = known.missed(count);
        if missed > 0 {
            drafts.insert(0, gap(context, missed));
        }
        drafts
    }

    /// One text: unread count, sender, body.
    fn one(
        &mut self,
        context: &mut Context<'_>,
        it: &pb::Notification,
        title: &str,
        counted: bool,
        words: &str,
    ) -> (Option<u32>, Vec<Draft>) {
        let package = context.signal.package.clone();
        let app = context.packs.any(&package, Place::AppTitle, title);
        let service = context.packs.any(&package, Place::ServiceTitle, title);
        let mut rest = words.trim_start();
        // A direct message whose ticker repeats it after the name is nothing but that message.
        let by = |words| said_by(words, title).or_else(|| said_by(words, &it.title));
        let direct_ticker = by(&it.ticker) == Some(words);
        let mut count = None;
        let uncounted = !direct_ticker && by(rest).is_none();
        let mentioned = without_mention(context, rest);
        if uncounted && unread_prefix(rest).is_none() && unread_prefix(mentioned).is_some() {
            rest = mentioned;
        }
        if let Some((number, after)) = unread_prefix(rest).filter(|_| uncounted) {
            let wecom_form = it.number >= 2 && it.number == number;
            let said = split_sender(without_mention(context, after), true).is_some()
                || by(after).is_some();
            // A count stands before a sender; without one somebody typed it.
            if said || wecom_form {
                count = Some(number);
                rest = after;
            }
        }
        let told = without_mention(context, rest);
        if !direct_ticker && split_sender(told, true).is_some() {
            rest = told;
        }
        // A nameless member: the separator without a name, before a tag.
        if let Some(tagged) = rest.strip_prefix([':', '：']).map(str::trim_start)
            && tagged.starts_with('[')
        {
            rest = tagged;
        }
        let known_group = self.known(text::key(&[&package, title])).group;
        let group_told = it.is_group || counted || known_group == Some(true);
        let mut conversation = Conversation {
            title,
            group: group_told,
        };
        // Only a group's ticker is its text; a service's begins with its name.
        let of_member = !it.ticker.is_empty()
            && it.ticker.trim() == it.text.trim()
            && split_sender(rest, false).is_some_and(|(sender, _)| sender != title);
        let line = if let Some(teller) = said_by(&it.title, &it.conversation_title) {
            // The platform puts group and member together in the title.
            conversation.group = true;
            Line {
                sender: teller,
                body: said_by(rest, teller).unwrap_or(rest),
                own: false,
                confidence: Confidence::Certain,
            }
        } else if direct_ticker && !group_told {
            Line {
                sender: title,
                body: rest,
                own: false,
                confidence: Confidence::Certain,
            }
        } else if let Some(body) = by(rest) {
            // In a group the group's own name stands where a member's would: the holder wrote it.
            Line {
                sender: title,
                body,
                own: group_told,
                confidence: Confidence::Certain,
            }
        } else if app || (service && !of_member) || title.trim().is_empty() {
            match split_sender(rest, count.is_some()) {
                Some((sender, body)) if app || title.trim().is_empty() => {
                    conversation = Conversation {
                        title: sender,
                        group: false,
                    };
                    Line {
                        sender,
                        body,
                        own: false,
                        confidence: Confidence::Likely,
                    }
                }
                Some((_, body)) if count.is_some() => Line {
                    sender: title,
                    body,
                    own: false,
                    confidence: Confidence::Likely,
                },
                // The app speaking of itself is nobody's message, unless it names who did something.
                _ if app => {
                    let spoken = context.body(rest);
                    let sender = spoken.map_or("", |(_, found)| found.get("sender"));
                    if sender.is_empty() || context.is_private(sender) {
                        return (count, Vec::new());
                    }
                    conversation = Conversation {
                        title: sender,
                        group: false,
                    };
                    Line {
                        sender,
                        body: rest,
                        own: false,
                        confidence: Confidence::Likely,
                    }
                }
                _ => Line {
                    sender: title,
                    body: rest,
                    own: false,
                    confidence: Confidence::Likely,
                },
            }
        } else {
            self.member_or_peer(
                context,
                it,
                &mut conversation,
                rest,
                count.is_some(),
                known_group,
            )
        };
        if count.is_some() || group_told || line.own {
            self.known(text::key(&[&package, title])).group = Some(conversation.group);
        }
        let drafts = say(context, &conversation, &line);
        (count, drafts)
    }

    /// Whether the words before a colon are a group member's name or the beginning of a message.
    fn member_or_peer<'t>(
        &self,
        context: &Context<'_>,
        it: &pb::Notification,
        conversation: &mut Conversation<'t>,
        rest: &'t str,
        counted: bool,
        known_group: Option<bool>,
    ) -> Line<'t> {
        let direct = |confidence| Line {
            sender: conversation.title,
            body: rest,
            own: false,
            confidence,
        };
        let sure = counted
            || conversation.group
            || it.ticker.trim() == it.text.trim() && !it.ticker.is_empty();
        // A title that says it is a group's makes the full-width colon a separator as well.
        let titled = context.packs.any(
            &context.signal.package,
            Place::GroupTitle,
            conversation.title,
        );
        let split = split_sender(rest, sure).or_else(|| {
            let (sender, body) = split_sender(rest, titled)?;
            (sender.chars().count() <= 16).then_some((sender, body))
        });
        let Some((sender, body)) = split else {
            return direct(Confidence::Certain);
        };
        if known_group == Some(false) && !counted {
            return direct(Confidence::Certain);
        }
        let label = context
            .packs
            .any(&context.signal.package, Place::Label, sender);
        if label && !sure {
            return direct(Confidence::Likely);
        }
        let own = !context.watch.own_name.is_empty() && sender == context.watch.own_name;
        conversation.group = true;
        Line {
            sender,
            body,
            own,
            confidence: if sure {
                Confidence::Certain
            } else {
                Confidence::Likely
            },
        }
    }
}

/// Old phones hand over the ticker only.
fn from_ticker(
    notices: &mut Notices,
    context: &mut Context<'_>,
    it: &pb::Notification,
) -> Vec<Draft> {
    let ticker = it.ticker.trim();
    let title = it.title.clone();
    if ticker.is_empty() {
        return Vec::new();
    }
    if !title.is_empty() {
        let body = said_by(ticker, &title).unwrap_or(ticker).to_owned();
        return notices.single(context, it, &title, false, &body);
    }
    match split_sender(ticker, false) {
        Some((sender, body)) if !context.is_private(sender) => {
            let (sender, body) = (sender.to_owned(), body.to_owned());
            notices.single(context, it, &sender, false, &body)
        }
        _ => Vec::new(),
    }
}

/// `[有人@我]` before the sender.
fn without_mention<'t>(context: &Context<'_>, words: &'t str) -> &'t str {
    let Some((tag, rest)) = words.strip_prefix('[').and_then(|it| it.split_once(']')) else {
        return words;
    };
    let package = &context.signal.package;
    if context.packs.any(package, Place::Mention, tag.trim()) {
        rest.trim_start()
    } else {
        words
    }
}
