//! The commands of the owner.

use tracing::info;

use super::{
    Owner, OwnerBoard,
    control_message::{ControlReply, ControlRequest, PermissionEnd, ViewerRow},
    denials::DenyListSource,
    now_if_known,
};
use crate::{
    clock::Mono,
    config::Id,
    jose::PublicKey,
    protocol::{Right, Rights},
    trust::{
        checked_name,
        deny_list::{DenyListFault, SignedDenyList},
        pairing::{PAIRING, PairOptions, PairSecret, PairingNumber, SECRET_BYTES},
        pairing_link::PairingLink,
        viewer_list::{EntryOrigin, VIEWERS_MAX, ViewerEntry, rights_of_names},
    },
};

/// The answer in the mode `broker`.
const BROKER: &str = "this board is in the mode broker: whoever the broker lets in may watch, and there is no list of \
                      viewers. To decide by keys, set mode = \"keys\" in the table access of the configuration, and \
                      restart the service";

impl Owner {
    /// Does what a command asks. The number is that of the pairing that it opened.
    pub(super) async fn command(&mut self, request: ControlRequest) -> (ControlReply, Option<PairingNumber>) {
        let done = match (request, self.board.clone()) {
            (ControlRequest::PrivacySet { on }, _) => return (settled(self.privacy.set(on)), None),
            (ControlRequest::PrivacyStatus {}, _) => return (settled(Ok(self.privacy.status())), None),
            (_, None) => Err(BROKER.to_owned()),
            (ControlRequest::Pair { name, rights, until, page, broker }, Some(board)) => {
                return match self.open(&board, name, &rights, until, (page, broker)).await {
                    Ok((reply, number)) => (reply, Some(number)),
                    Err(message) => (failed(message), None),
                };
            }
            (ControlRequest::ViewersList {}, _) => return (self.viewers().await, None),
            (ControlRequest::ViewersAdd { key, name, rights, until }, _) => self.add(&key, name, &rights, until).await,
            (ControlRequest::ViewersRemove { viewer }, _) => self.remove(&viewer).await,
            (ControlRequest::ViewersRename { viewer, name }, _) => self.rename(&viewer, &name).await,
            (ControlRequest::ViewersRights { viewer, rights, until }, _) => self.permit(&viewer, rights, until).await,
            (ControlRequest::TokenApply { list }, _) => self.apply(&list).await,
        };
        if let Ok(message) = &done {
            info!("{message}");
        }
        (settled(done), None)
    }

    /// Opens a pairing.
    async fn open(
        &mut self,
        board: &OwnerBoard,
        name: Option<String>,
        rights: &[String],
        until: Option<u64>,
        (page, broker): (Option<String>, Option<String>),
    ) -> Result<(ControlReply, PairingNumber), String> {
        let name = name.map(|name| checked_name(&name)).transpose()?;
        let options = PairOptions { name, rights: named_rights(rights)?, until: checked_end(until)? };
        self.store.ready().await?;
        let list = self.store.list();
        if list.len() >= VIEWERS_MAX {
            return Err(format!("the list is full: it has room for {VIEWERS_MAX} viewers"));
        }
        if let Some(name) = options.name.as_ref().filter(|name| list.iter().any(|(_, entry)| entry.name == **name)) {
            return Err(format!(
                "another viewer has the name {name:?}. If it is the same person with a new key, remove the old one \
                 first: fanlight viewers remove {name:?}"
            ));
        }
        let addresses = self.settings.borrow().addresses.clone();
        let page = page.or(addresses.page).ok_or(
            "the address of the viewer page is not known: set page in the table access of the configuration, or give \
             --page https://…",
        )?;
        let broker = broker.or(addresses.viewer_broker).ok_or(
            "the address at which browsers reach the broker is not known: set viewer_broker in the table access of the \
             configuration, or give --broker wss://…",
        )?;
        let secret = PairSecret::new(random()?);
        let OwnerBoard { thumbprint, device, root } = board;
        let link = PairingLink { broker: &broker, root, device, board: thumbprint, secret: &secret }.compose(&page)?;
        let identity = (*thumbprint, device.clone());
        let allowed = options.clone();
        self.pairing_audit.look(self.pairing.progress().borrow().as_ref());
        let (number, replaced) =
            self.pairing.with(|pairing| pairing.open(Mono::now(), identity, options, secret.clone()));
        self.pairing_audit.opened(number, &allowed);
        info!("pairing is open for {} s", PAIRING.as_secs());
        Ok((ControlReply::PairingOpen { link, seconds: PAIRING.as_secs(), replaced }, number))
    }

    async fn viewers(&mut self) -> ControlReply {
        // An error is in the note.
        let _ = self.store.ready().await;
        let list = self.store.list();
        let viewers = list.iter().map(|(id, entry)| row(id, entry, self.last_seen.of(id))).collect();
        let notes: Vec<_> = self.store.note().into_iter().chain(self.denials.note()).collect();
        ControlReply::Viewers { viewers, note: (!notes.is_empty()).then(|| notes.join(". ")) }
    }

    async fn add(&mut self, key: &str, name: String, rights: &[String], until: Option<u64>) -> Result<String, String> {
        let key = key.parse::<PublicKey>().map_err(|_| {
            "the key is no point on the curve P-256: 87 characters of base64url that begin with B are one".to_owned()
        })?;
        let (rights, until) = (named_rights(rights)?, checked_end(until)?);
        let since = now_if_known().unwrap_or(0);
        let entry = ViewerEntry { key, name, rights, until, since, origin: EntryOrigin::Listed };
        let id = entry.id();
        self.store.change(|list| list.add(entry)).await?;
        let name = self.name(&id);
        Ok(format!("added {name:?} with the id {id}: it may {rights}"))
    }

    /// The viewer from whom something may be taken away.
    async fn known(&mut self, viewer: &str) -> Result<(Id, String), String> {
        // Before the file was read, the viewer is not in memory. A file that cannot be used has the reason.
        let ready = self.store.ready().await;
        match (self.find(viewer), ready) {
            (Ok(found), _) => Ok(found),
            (Err(_), Err(e)) | (Err(e), Ok(())) => Err(e),
        }
    }

    async fn remove(&mut self, viewer: &str) -> Result<String, String> {
        let (id, name) = self.known(viewer).await?;
        self.store.remove(&id).await.map_err(|e| format!("{name:?}: {e}"))?;
        Ok(format!("removed {name:?}, id {id}: it may watch no longer"))
    }

    async fn rename(&mut self, viewer: &str, name: &str) -> Result<String, String> {
        self.store.ready().await?;
        let (id, old) = self.find(viewer)?;
        self.store.change(|list| list.rename(&id, name)).await?;
        Ok(format!("renamed {old:?} to {:?}", self.name(&id)))
    }

    async fn permit(
        &mut self,
        viewer: &str,
        rights: Option<Vec<String>>,
        until: Option<PermissionEnd>,
    ) -> Result<String, String> {
        if rights.is_none() && until.is_none() {
            return Err("neither rights nor an end were given".into());
        }
        let rights = rights.map(|rights| named_rights(&rights)).transpose()?;
        let until = match until {
            Some(PermissionEnd::At(until)) => Some(checked_end(Some(until))?),
            Some(PermissionEnd::Never) => Some(None),
            None => None,
        };
        let (id, name) = self.known(viewer).await?;
        self.store.permit(&id, rights, until).await?;
        let now = self.store.list().by_id(&id).map(|entry| entry.rights).unwrap_or_default();
        Ok(format!("{name:?} may {now} now"))
    }

    /// Brings a deny list into force that the owner has.
    async fn apply(&mut self, text: &str) -> Result<String, String> {
        let issuers = self.denials.issuers();
        if issuers.is_empty() {
            return Err(
                "this board knows no issuer of tokens: set mode = \"token\" and issuer_file in the table access of \
                        the configuration, and restart the service"
                    .into(),
            );
        }
        let named = SignedDenyList::named_issuer(text).map_err(|e| format!("this is no deny list: {e}"))?;
        let issuer = issuers
            .by_kid(&named)
            .ok_or_else(|| format!("the list is signed with the key {named}, which is not in access.issuer_file"))?;
        let list = SignedDenyList::read(text, issuer).map_err(|e| match e {
            DenyListFault::Old => format!("{e}, whose number is {}", issuer.denied().map_or(0, |known| known.number)),
            _ => format!("this is no deny list of the issuer {}: {e}", issuer.id()),
        })?;
        self.denials.apply(list, DenyListSource::Owner).await
    }

    fn find(&self, viewer: &str) -> Result<(Id, String), String> {
        let list = self.store.list();
        list.find(viewer).map(|(id, entry)| (id.clone(), entry.name.clone())).map_err(|e| e.to_string())
    }

    fn name(&self, id: &Id) -> String {
        self.store.list().by_id(id).map(|entry| entry.name.clone()).unwrap_or_default()
    }
}

/// A viewer, as the commands show it.
pub(super) fn row(id: &Id, entry: &ViewerEntry, last_seen: Option<u64>) -> ViewerRow {
    ViewerRow {
        id: id.to_string(),
        name: entry.name.clone(),
        rights: names(entry.rights),
        until: entry.until,
        since: Some(entry.since).filter(|since| *since > 0),
        last_seen,
        configured: entry.origin == EntryOrigin::Configured,
    }
}

/// The names of rights, in the order in which they are written.
pub(super) fn names(rights: Rights) -> Vec<String> {
    rights.iter().map(|right| right.name().to_owned()).collect()
}

fn settled(done: Result<String, String>) -> ControlReply {
    match done {
        Ok(message) => ControlReply::Done { message },
        Err(message) => failed(message),
    }
}

fn failed(message: impl Into<String>) -> ControlReply {
    ControlReply::Failed { message: message.into() }
}

fn named_rights(names: &[String]) -> Result<Rights, String> {
    let all = Right::ALL.map(Right::name).join(", ");
    let rights = rights_of_names(names.iter().map(String::as_str));
    rights
        .filter(|rights| *rights != Rights::default())
        .ok_or_else(|| format!("the rights must be one or more of {all}, each once"))
}

/// Refuses an end in the past. Without a right clock, nobody knows.
fn checked_end(until: Option<u64>) -> Result<Option<u64>, String> {
    match (until, now_if_known()) {
        (Some(until), Some(now)) if until <= now => Err("the permission would have ended already".into()),
        _ => Ok(until),
    }
}

/// Random bytes from the kernel.
fn random() -> Result<[u8; SECRET_BYTES], String> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| format!("read random bytes: {e}"))?;
    Ok(bytes)
}
