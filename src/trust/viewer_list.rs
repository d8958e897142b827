//! The list of viewers: whose key may watch, what, and until when. Some entries come from the configuration, the others
//! from the file `viewers.json` of the state folder, which the commands of the owner change.

use std::{collections::HashMap, fmt};

use super::name::{checked_name, free_name, proposed_name};
use crate::{
    config::Id,
    jose::{PublicKey, Thumbprint},
    protocol::{Right, Rights},
};

/// The most viewers of the file. With those of the configuration, no new one is accepted beyond this number.
pub const VIEWERS_MAX: usize = 256;
/// The most entries in memory: as many from the configuration, and as many from the file.
pub(super) const ENTRIES_MAX: usize = 2 * VIEWERS_MAX;

/// Characters of a thumbprint that are the id of a viewer.
const ID: usize = 22;

/// Where an entry is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryOrigin {
    /// In the file of the state folder.
    Listed,
    /// In the configuration. Commands cannot change it.
    Configured,
}

/// A viewer that may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerEntry {
    /// Its identity.
    pub key: PublicKey,
    /// Its name for people: as `checked_name` accepts it.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// When the permission ends, in seconds since 1970. `None`: never.
    pub until: Option<u64>,
    /// When it came on the list, in seconds since 1970. 0: unknown, because the clock was not right.
    pub since: u64,
    /// Where it is written down.
    pub origin: EntryOrigin,
}

impl ViewerEntry {
    /// The id of the viewer.
    pub fn id(&self) -> Id {
        viewer_id(&self.key.thumbprint())
    }

    /// Whether the permission has ended. `now`: seconds since 1970.
    pub fn has_ended(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// The id of the viewer whose identity has this thumbprint: its front.
pub fn viewer_id(thumbprint: &Thumbprint) -> Id {
    let mut text = thumbprint.to_string();
    text.truncate(ID);
    // A thumbprint has 43 characters of base64url, and all of them may be in an id.
    Id::new(&text).expect("the front of a thumbprint is an id")
}

/// The rights with these names. `None` if one is unknown or occurs twice.
pub fn rights_of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<Rights> {
    let mut rights = Vec::new();
    for name in names {
        let right = Right::of_name(name)?;
        if rights.contains(&right) {
            return None;
        }
        rights.push(right);
    }
    Some(Rights::of(rights))
}

/// Why the list was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    /// There is no room.
    Full,
    /// The key is on the list, under this name.
    KnownKey(String),
    /// Another viewer has this name.
    NameTaken(String),
    /// The name cannot be used. The text says why.
    BadName(&'static str),
    /// No viewer has this name or id.
    Unknown(String),
    /// Several viewers have this text as their name or id.
    Ambiguous(String),
    /// The viewer with this name is in the configuration.
    Configured(String),
    /// An entry without rights would be of no use.
    NoRights,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(f, "the list is full: it has room for {VIEWERS_MAX} viewers"),
            Self::KnownKey(name) => write!(f, "this key is on the list already, as {name:?}"),
            Self::NameTaken(name) => write!(f, "another viewer has the name {name:?}"),
            Self::BadName(why) => f.write_str(why),
            Self::Unknown(text) => write!(f, "no viewer has the name or id {text:?}; fanlight viewers lists them"),
            Self::Ambiguous(text) => {
                write!(f, "{text:?} is the name or id of several viewers: use another of their names or ids")
            }
            Self::Configured(name) => write!(
                f,
                "{name:?} is in the configuration, not on the list: change it in the table access of the \
                 configuration file, then reload the service"
            ),
            Self::NoRights => f.write_str("a viewer needs at least one right; to take all away, remove it"),
        }
    }
}

impl std::error::Error for ListError {}

/// All viewers that may watch. An entry of the configuration hides one of the file with the same key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewerList {
    /// Entries of the configuration come first.
    entries: Vec<(Id, ViewerEntry)>,
    /// The place of the entry that counts, by the viewer's id.
    index: HashMap<Id, usize>,
}

impl ViewerList {
    /// The viewer with this id.
    pub fn by_id(&self, id: &Id) -> Option<&ViewerEntry> {
        self.entries.get(*self.index.get(id)?).map(|(_, entry)| entry)
    }

    /// All viewers that count, and their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&Id, &ViewerEntry)> {
        let counts = move |(place, (id, _)): &(usize, &(Id, ViewerEntry))| self.index.get(id) == Some(place);
        self.entries.iter().enumerate().filter(counts).map(|(_, (id, entry))| (id, entry))
    }

    /// The entries of the file, also hidden ones.
    pub(super) fn listed(&self) -> impl Iterator<Item = &ViewerEntry> {
        self.entries.iter().map(|(_, entry)| entry).filter(|entry| entry.origin == EntryOrigin::Listed)
    }

    /// How many viewers there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nobody may watch.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The viewer with this name or id. A name that is another viewer's id names nobody, so that no viewer can choose a
    /// name that makes the owner remove another one.
    pub fn find(&self, name_or_id: &str) -> Result<(&Id, &ViewerEntry), ListError> {
        let mut found = self.iter().filter(|(id, entry)| entry.name == name_or_id || id.as_str() == name_or_id);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(ListError::Unknown(name_or_id.to_owned())),
            (Some(_), Some(_)) => Err(ListError::Ambiguous(name_or_id.to_owned())),
        }
    }

    /// A name for a new viewer: the proposed one if it is free, else with a number after it.
    pub fn free_name(&self, proposed: &str) -> String {
        free_name(&proposed_name(proposed), ENTRIES_MAX, |name| self.has_name(name, None))
    }

    fn has_name(&self, name: &str, except: Option<&Id>) -> bool {
        self.entries.iter().any(|(id, entry)| entry.name == name && Some(id) != except)
    }

    /// Adds a viewer to those of the file.
    pub fn add(&mut self, mut entry: ViewerEntry) -> Result<(), ListError> {
        entry.name = checked_name(&entry.name).map_err(ListError::BadName)?;
        entry.origin = EntryOrigin::Listed;
        let id = entry.id();
        if let Some(known) = self.by_id(&id) {
            return Err(ListError::KnownKey(known.name.clone()));
        }
        if self.has_name(&entry.name, None) {
            return Err(ListError::NameTaken(entry.name));
        }
        if entry.rights == Rights::default() {
            return Err(ListError::NoRights);
        }
        if self.entries.len() >= VIEWERS_MAX {
            return Err(ListError::Full);
        }
        self.entries.push((id, entry));
        self.reindex();
        Ok(())
    }

    /// Removes a viewer of the file.
    pub fn remove(&mut self, id: &Id) -> Result<ViewerEntry, ListError> {
        let place = self.listed_place(id)?;
        let (_, entry) = self.entries.remove(place);
        self.reindex();
        Ok(entry)
    }

    /// Gives a viewer of the file another name.
    pub fn rename(&mut self, id: &Id, name: &str) -> Result<(), ListError> {
        let name = checked_name(name).map_err(ListError::BadName)?;
        let place = self.listed_place(id)?;
        if self.has_name(&name, Some(id)) {
            return Err(ListError::NameTaken(name));
        }
        self.change(place, |entry| entry.name = name);
        Ok(())
    }

    /// Gives a viewer of the file other rights.
    pub fn set_rights(&mut self, id: &Id, rights: Rights) -> Result<(), ListError> {
        let place = self.listed_place(id)?;
        if rights == Rights::default() {
            return Err(ListError::NoRights);
        }
        self.change(place, |entry| entry.rights = rights);
        Ok(())
    }

    /// Gives a viewer of the file another end. `until`: seconds since 1970, `None` for no end.
    pub fn set_until(&mut self, id: &Id, until: Option<u64>) -> Result<(), ListError> {
        let place = self.listed_place(id)?;
        self.change(place, |entry| entry.until = until);
        Ok(())
    }

    /// Takes from a viewer of the file all rights but these, and gives it this end if it is earlier. An entry without
    /// rights may stay. Returns whether anything was taken away.
    pub fn restrict(&mut self, id: &Id, rights: Rights, until: Option<u64>) -> Result<bool, ListError> {
        let place = self.listed_place(id)?;
        let mut was_more = false;
        self.change(place, |entry| {
            let left = Rights::of(entry.rights.iter().filter(|right| rights.has(*right)));
            let end = entry.until.into_iter().chain(until).min();
            was_more = (left, end) != (entry.rights, entry.until);
            (entry.rights, entry.until) = (left, end);
        });
        Ok(was_more)
    }

    /// The same viewers of the file, and these of the configuration. What exceeds `VIEWERS_MAX`, or has the key of one
    /// before it, is left out.
    pub fn with_configured(&self, configured: impl IntoIterator<Item = ViewerEntry>) -> Self {
        let mut list = Self::default();
        for entry in configured.into_iter().take(VIEWERS_MAX) {
            list.put(ViewerEntry { origin: EntryOrigin::Configured, ..entry });
        }
        list.entries.extend(self.entries.iter().filter(|(_, entry)| entry.origin == EntryOrigin::Listed).cloned());
        list.reindex();
        list
    }

    /// Puts an entry at the end, if its key is new. Returns whether it was.
    pub(super) fn put(&mut self, entry: ViewerEntry) -> bool {
        let id = entry.id();
        let is_new = !self.index.contains_key(&id);
        if is_new {
            self.index.insert(id.clone(), self.entries.len());
            self.entries.push((id, entry));
        }
        is_new
    }

    /// The place of a viewer that a command may change.
    fn listed_place(&self, id: &Id) -> Result<usize, ListError> {
        let unknown = || ListError::Unknown(id.to_string());
        let place = *self.index.get(id).ok_or_else(unknown)?;
        match self.entries.get(place) {
            Some((_, entry)) if entry.origin == EntryOrigin::Configured => {
                Err(ListError::Configured(entry.name.clone()))
            }
            Some(_) => Ok(place),
            None => Err(unknown()),
        }
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut ViewerEntry)) {
        if let Some((_, entry)) = self.entries.get_mut(place) {
            change(entry);
        }
    }

    fn reindex(&mut self) {
        self.index.clear();
        for (place, (id, _)) in self.entries.iter().enumerate() {
            self.index.entry(id.clone()).or_insert(place);
        }
    }
}
