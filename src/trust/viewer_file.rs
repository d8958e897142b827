//! The list of viewers as a file: `{"v":1,"viewers":[{"key":…,"name":…,"rights":[…],"until":…,"since":…}]}`.
//!
//! It is read strictly. A file that is not exactly as this program writes it gives nobody access: a guess could let
//! somebody in whom the owner has removed.

use serde::{Deserialize, Serialize};

use super::{
    name::checked_name,
    viewer_list::{EntryOrigin, VIEWERS_MAX, ViewerEntry, ViewerList, rights_of_names},
};

/// The number of the format.
const FORMAT: u32 = 1;

/// The number of the format, whatever else is in the file.
#[derive(Deserialize)]
struct Head {
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u32,
    viewers: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    key: String,
    name: String,
    rights: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    since: u64,
}

impl ViewerList {
    /// Reads the file. The error says what is wrong with it, and shows nothing of its content.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let head: Head = serde_json::from_slice(bytes).map_err(|_| "damaged or cut short")?;
        if head.v != FORMAT {
            return Err("written by another version of fanlight");
        }
        let file: File = serde_json::from_slice(bytes).map_err(|_| "damaged: a field is missing, unknown or wrong")?;
        if file.viewers.len() > VIEWERS_MAX {
            return Err("damaged: more than 256 viewers");
        }
        let mut list = Self::default();
        for entry in file.viewers {
            let entry = entry.read()?;
            if list.iter().any(|(_, other)| other.name == entry.name) {
                return Err("damaged: a name occurs twice");
            }
            if !list.put(entry) {
                return Err("damaged: a key occurs twice");
            }
        }
        Ok(list)
    }

    /// The content of the file. Entries of the configuration are not in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let viewers = self.listed().map(FileEntry::of).collect();
        // Strings, numbers and lists are always JSON. Were they not, the text would be no list, and nobody may watch.
        let mut bytes = serde_json::to_vec(&File { v: FORMAT, viewers }).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

impl FileEntry {
    fn of(entry: &ViewerEntry) -> Self {
        Self {
            key: entry.key.to_string(),
            name: entry.name.clone(),
            rights: entry.rights.iter().map(|right| right.name().to_owned()).collect(),
            until: entry.until,
            since: entry.since,
        }
    }

    fn read(self) -> Result<ViewerEntry, &'static str> {
        let key = self.key.parse().map_err(|_| "damaged: a key is no point on the curve P-256")?;
        let name = checked_name(&self.name).map_err(|_| "damaged: a name that cannot be used")?;
        if name != self.name {
            return Err("damaged: a name with spaces around it");
        }
        let rights = rights_of_names(self.rights.iter().map(String::as_str));
        let rights = rights.ok_or("damaged: a right that is not known, or occurs twice")?;
        let (until, since) = (self.until, self.since);
        Ok(ViewerEntry { key, name, rights, until, since, origin: EntryOrigin::Listed })
    }
}
