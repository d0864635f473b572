//! Contact snapshots: pages of the list put together, and the difference of two whole ones.
//!
//! Invariants:
//! - only two whole snapshots are compared, and only within one uninterrupted watch;
//! - a changed remark is not a deletion; what might be a renaming is `weak`;
//! - at most [`NAMES`] names are remembered.

use std::collections::BTreeMap;

use mingjing_proto::pb::{self, Confidence, Direction, Interval, Kind, Source};

use super::draft::Draft;
use super::seen::Channel;
use super::{Context, text};
use crate::pack::Place;

/// Names remembered in one snapshot.
const NAMES: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Contacts {
    lists: BTreeMap<String, List>,
}

#[derive(Debug, Default)]
struct List {
    whole: Option<Snapshot>,
    growing: Option<Snapshot>,
}

#[derive(Debug, Default)]
struct Snapshot {
    began_ms: i64,
    /// Shown name by id or name.
    names: BTreeMap<String, String>,
    with_ids: bool,
    total: u32,
}

impl Contacts {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A part of the list as Android handed it over, or all of it.
    pub(super) fn read(&mut self, context: &mut Context<'_>, page: &pb::ContactList) -> Vec<Draft> {
        let names = page.names.iter().take(NAMES).map(|it| {
            let shown = if it.name.is_empty() {
                &it.remark
            } else {
                &it.name
            };
            let told = if it.remark.is_empty() {
                shown
            } else {
                &it.remark
            };
            let key = if it.id.is_empty() { shown } else { &it.id };
            Row {
                key,
                told,
                with_id: !it.id.is_empty(),
                also: &it.name,
            }
        });
        let part = Part {
            rows: names.collect(),
            total: page.total,
            complete: page.complete,
            begins: false,
            list: "",
        };
        self.merge(context, &part)
    }

    /// The list page itself, scrolled by the employee.
    pub(super) fn page(&mut self, context: &mut Context<'_>, screen: &pb::Screen) -> Vec<Draft> {
        let packs = context.packs;
        let package = context.signal.package.clone();
        let is = |place: Place, words: &str| packs.any(&package, place, words);
        let nodes = screen.nodes.iter().take(ROWS);
        let texts: Vec<&str> = nodes
            .map(|it| it.text.trim())
            .filter(|it| !it.is_empty())
            .collect();
        let title = texts
            .first()
            .and_then(|it| packs.first(&package, Place::ListTitle, it));
        let Some((_, title)) = title else {
            return Vec::new();
        };
        let list = super::layout::list_rows(screen);
        let mut part = Part {
            rows: Vec::new(),
            total: 0,
            complete: false,
            begins: false,
            list: title.get("list"),
        };
        for words in list
            .iter()
            .map(|it| it.text.trim())
            .filter(|it| !it.is_empty())
        {
            if let Some((_, found)) = packs.first(&package, Place::ListTotal, words) {
                part.total = found.number("total").unwrap_or(0);
            } else if is(Place::ListTop, words) {
                part.begins = true;
            } else if !is(Place::ListFixed, words) && !is(Place::ListTitle, words) {
                part.rows.push(Row {
                    key: words,
                    told: words,
                    with_id: false,
                    also: "",
                });
            }
        }
        self.merge(context, &part)
    }

    fn merge(&mut self, context: &mut Context<'_>, part: &Part<'_>) -> Vec<Draft> {
        let at_ms = context.signal.at_ms;
        let list = self
            .lists
            .entry(format!("{} {}", context.signal.package, part.list))
            .or_default();
        let growing = list.growing.take().filter(|it| {
            // Another total means the list changed meanwhile, and its top that it is shown anew.
            let same = it.total == part.total || it.total == 0 || part.total == 0;
            same && !part.begins
        });
        let mut snapshot = growing.unwrap_or_else(|| Snapshot {
            began_ms: at_ms,
            with_ids: true,
            ..Snapshot::default()
        });
        snapshot.total = snapshot.total.max(part.total);
        for row in &part.rows {
            let private = context.is_private(row.told) || context.is_private(row.also);
            if snapshot.names.len() >= NAMES || private || row.key.is_empty() {
                continue;
            }
            snapshot.with_ids &= row.with_id;
            snapshot
                .names
                .insert(text::name(row.key), text::name(row.told));
        }
        let counted = u32::try_from(snapshot.names.len()).unwrap_or(u32::MAX);
        if !part.complete && (snapshot.total == 0 || counted != snapshot.total) {
            list.growing = Some(snapshot);
            return Vec::new();
        }
        let drafts = match &list.whole {
            Some(before) if before.began_ms >= context.watch.since_ms => {
                difference(context, before, &snapshot)
            }
            _ => Vec::new(),
        };
        list.whole = Some(snapshot);
        drafts
    }
}

/// Nodes of a list page that are looked at.
const ROWS: usize = 2000;

struct Row<'a> {
    key: &'a str,
    told: &'a str,
    with_id: bool,
    also: &'a str,
}

struct Part<'a> {
    rows: Vec<Row<'a>>,
    total: u32,
    complete: bool,
    /// The top of the list is in view.
    begins: bool,
    /// The list's own name; empty: the contact list itself.
    list: &'a str,
}

fn difference(context: &mut Context<'_>, before: &Snapshot, now: &Snapshot) -> Vec<Draft> {
    let missing = |from: &Snapshot, than: &Snapshot| -> Vec<String> {
        from.names
            .iter()
            .filter(|(key, _)| !than.names.contains_key(*key))
            .map(|(_, shown)| shown.clone())
            .collect()
    };
    let added = missing(now, before);
    let deleted = missing(before, now);
    let by_id = before.with_ids && now.with_ids;
    // Without ids a renamed contact looks like one gone and one new.
    let renamings = !by_id && !added.is_empty() && !deleted.is_empty();
    let confidence = match (renamings, by_id) {
        (true, _) => Confidence::Weak,
        (false, true) => Confidence::Certain,
        (false, false) => Confidence::Likely,
    };
    let at_ms = context.signal.at_ms;
    let mut drafts = Vec::new();
    let both = [
        (Kind::ContactAdded, Direction::None, added),
        (Kind::ContactDeleted, Direction::Out, deleted),
    ];
    for (kind, direction, names) in both {
        for peer in names {
            let mut draft = context.draft(kind, direction, Source::Contacts);
            draft.confidence(confidence);
            draft.activity.peer = peer;
            draft.activity.interval = Some(Interval {
                from_ms: before.began_ms,
                to_ms: at_ms,
            });
            // A dialog or a line on screen may have told it already.
            let key = draft.contact_key();
            if !context
                .seen
                .take(key, Channel::Notification, at_ms, TOLD_MS)
            {
                drafts.push(draft);
            }
        }
    }
    drafts
}

/// A coming or going told on screen answers for the list this long.
const TOLD_MS: i64 = 24 * 60 * 60 * 1000;
