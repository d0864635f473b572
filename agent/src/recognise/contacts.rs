//! Contact snapshots: pages of the list put together, and the difference of two whole ones.
//!
//! Invariants:
//! - only two whole snapshots are compared, and only within one uninterrupted watch;
//! - a changed remark is not a deletion; what might be a renaming is `weak`;
//! - at most [`NAMES`] names are remembered.

use std::collections::BTreeMap;

use mingjing_proto::pb::{self, Confidence, Direction, Interval, Kind, Source};

use super::draft::Draft;
use super::{Context, text};

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

    /// A page of the list, or all of it.
    pub(super) fn read(&mut self, context: &Context<'_>, page: &pb::ContactList) -> Vec<Draft> {
        let list = self
            .lists
            .entry(context.signal.package.clone())
            .or_default();
        let at_ms = context.signal.at_ms;
        let mut snapshot = match list.growing.take() {
            // Another total means the list changed meanwhile: begin again.
            Some(growing) if growing.total == page.total => growing,
            _ => Snapshot {
                began_ms: at_ms,
                total: page.total,
                with_ids: true,
                ..Snapshot::default()
            },
        };
        for it in page.names.iter().take(NAMES) {
            let shown = if it.name.is_empty() {
                &it.remark
            } else {
                &it.name
            };
            if snapshot.names.len() >= NAMES
                || context.is_private(&it.name)
                || context.is_private(&it.remark)
            {
                continue;
            }
            snapshot.with_ids &= !it.id.is_empty();
            let key = if it.id.is_empty() {
                text::name(shown)
            } else {
                text::name(&it.id)
            };
            if !key.is_empty() {
                let told = if it.remark.is_empty() {
                    shown
                } else {
                    &it.remark
                };
                snapshot.names.insert(key, text::name(told));
            }
        }
        let counted = u32::try_from(snapshot.names.len()).unwrap_or(u32::MAX);
        let whole = page.complete || (page.total > 0 && counted >= page.total);
        if !whole {
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

fn difference(context: &Context<'_>, before: &Snapshot, now: &Snapshot) -> Vec<Draft> {
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
    let mut drafts = Vec::new();
    let mut tell = |kind: Kind, direction: Direction, names: Vec<String>, sure: bool| {
        for peer in names {
            let mut draft = context.draft(kind, direction, Source::Contacts);
            draft.confidence(match (sure, by_id) {
                (false, _) => Confidence::Weak,
                (true, true) => Confidence::Certain,
                (true, false) => Confidence::Likely,
            });
            draft.activity.peer = peer;
            draft.activity.interval = Some(Interval {
                from_ms: before.began_ms,
                to_ms: context.signal.at_ms,
            });
            drafts.push(draft);
        }
    };
    // Without ids a renamed contact looks like one gone and one new.
    let renamings = !by_id && !added.is_empty() && !deleted.is_empty();
    tell(Kind::ContactAdded, Direction::None, added, !renamings);
    tell(Kind::ContactDeleted, Direction::Out, deleted, !renamings);
    drafts
}
