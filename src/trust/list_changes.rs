//! What differs between two versions of the list of viewers. Pure.

use super::viewer_list::{EntryOrigin, ViewerEntry, ViewerList};
use crate::{config::Id, protocol::Rights};

/// How an entry of the list changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryChange {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has another name.
    Renamed,
    /// It has other rights, or another end.
    Permitted,
    /// The configuration has it now, or no longer, or in another way.
    Configured,
}

/// One change of one viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChange {
    /// The viewer.
    pub viewer: Id,
    /// Its name; the new one, if there are two.
    pub name: String,
    /// What it may do now. `None`: it is not on the list.
    pub rights: Option<Rights>,
    /// How it changed.
    pub change: EntryChange,
}

/// How `after` came from `before`: first those that are gone.
pub fn changes(before: &ViewerList, after: &ViewerList) -> Vec<ListChange> {
    let gone = before.iter().filter(|(id, _)| after.by_id(id).is_none());
    let mut all: Vec<_> = gone.flat_map(|(id, entry)| changes_of(id, Some(entry), None)).collect();
    all.extend(after.iter().flat_map(|(id, entry)| changes_of(id, before.by_id(id), Some(entry))));
    all
}

fn changes_of(id: &Id, before: Option<&ViewerEntry>, after: Option<&ViewerEntry>) -> Vec<ListChange> {
    let Some(newest) = after.or(before) else { return Vec::new() };
    let one = |change| ListChange {
        viewer: id.clone(),
        name: newest.name.clone(),
        rights: after.map(|entry| entry.rights),
        change,
    };
    let configured = |entry: Option<&ViewerEntry>| entry.is_some_and(|entry| entry.origin == EntryOrigin::Configured);
    if before == after {
        return Vec::new();
    }
    if configured(before) || configured(after) {
        return vec![one(EntryChange::Configured)];
    }
    match (before, after) {
        (None, _) => vec![one(EntryChange::Added)],
        (_, None) => vec![one(EntryChange::Removed)],
        (Some(old), Some(new)) => {
            let renamed = (old.name != new.name).then(|| one(EntryChange::Renamed));
            let permitted = ((old.rights, old.until) != (new.rights, new.until)).then(|| one(EntryChange::Permitted));
            renamed.into_iter().chain(permitted).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{jose::SigningKey, protocol::Right};

    fn entry(name: &str, rights: &[Right], origin: EntryOrigin) -> ViewerEntry {
        let key = *SigningKey::generate().unwrap().public();
        let rights = Rights::of(rights.iter().copied());
        ViewerEntry { key, name: name.into(), rights, until: None, since: 0, origin }
    }

    fn list(entries: &[&ViewerEntry]) -> ViewerList {
        let mut list = ViewerList::default();
        let of = |origin| entries.iter().filter(move |it| it.origin == origin).map(|it| (*it).clone());
        of(EntryOrigin::Listed).for_each(|it| list.add(it).unwrap());
        list.with_configured(of(EntryOrigin::Configured))
    }

    #[test]
    fn each_change_of_the_list_is_told_once() {
        use EntryChange::{Added, Configured, Permitted, Removed, Renamed};
        let anna = entry("anna", &[Right::View], EntryOrigin::Listed);
        let configured = ViewerEntry { origin: EntryOrigin::Configured, ..anna.clone() };
        let renamed = ViewerEntry { name: "hall".into(), ..anna.clone() };
        let more = ViewerEntry { rights: Rights::of([Right::View, Right::Listen]), ..anna.clone() };
        let ends = ViewerEntry { until: Some(1_900_000_000), ..anna.clone() };
        let both = ViewerEntry { name: "hall".into(), ..more.clone() };
        let view = Some(Rights::of([Right::View]));
        let all = Some(more.rights);
        type Row<'a> = (&'a [&'a ViewerEntry], &'a [&'a ViewerEntry], &'a [(&'a str, Option<Rights>, EntryChange)]);
        let rows: [Row<'_>; 13] = [
            (&[&anna], &[&anna], &[]),
            (&[], &[&anna], &[("anna", view, Added)]),
            (&[&anna], &[], &[("anna", None, Removed)]),
            (&[&anna], &[&renamed], &[("hall", view, Renamed)]),
            (&[&anna], &[&more], &[("anna", all, Permitted)]),
            (&[&anna], &[&ends], &[("anna", view, Permitted)]),
            (&[&anna], &[&both], &[("hall", all, Renamed), ("hall", all, Permitted)]),
            (&[], &[&configured], &[("anna", view, Configured)]),
            (&[&configured], &[], &[("anna", None, Configured)]),
            (&[&anna], &[&anna, &configured], &[("anna", view, Configured)]),
            (&[&anna, &configured], &[&anna], &[("anna", view, Configured)]),
            (&[&anna, &configured], &[&more, &configured], &[]),
            (&[], &[], &[]),
        ];
        for (before, after, expected) in rows {
            let told = changes(&list(before), &list(after));
            let told: Vec<_> = told.iter().map(|it| (it.name.as_str(), it.rights, it.change)).collect();
            assert_eq!(told, expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn several_viewers_are_told_one_by_one() {
        let [anna, bert, carl] = ["anna", "bert", "carl"].map(|name| entry(name, &[Right::View], EntryOrigin::Listed));
        let told = changes(&list(&[&anna, &bert]), &list(&[&bert, &carl]));
        let told: Vec<_> = told.iter().map(|it| (it.viewer.clone(), it.change)).collect();
        assert_eq!(told, [(anna.id(), EntryChange::Removed), (carl.id(), EntryChange::Added)]);
    }
}
