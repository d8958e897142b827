//! The body of a fuzz target: a line of the control socket, and what a command would make of it.

use super::control_message::{ControlRequest, REQUEST_MAX};
use crate::{
    config::Id,
    jose::PublicKey,
    trust::{
        pairing::PairSecret,
        pairing_link::PairingLink,
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList, rights_of_names},
    },
};

/// The generator of P-256.
const POINT: &str = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

/// A request is written as it was read. What it puts on a list of viewers can be read again after a restart, and a link
/// is one line.
pub(crate) fn control(data: &[u8]) {
    let Ok(request) = serde_json::from_slice::<ControlRequest>(data.get(..REQUEST_MAX).unwrap_or(data)) else { return };
    let written = serde_json::to_vec(&request).unwrap_or_default();
    assert_eq!(serde_json::from_slice::<ControlRequest>(&written).ok().as_ref(), Some(&request));
    let (Ok(key), Some(device)) = (POINT.parse::<PublicKey>(), Id::new("porch")) else { return };
    let mut list = ViewerList::default();
    let rights = |names: &[String]| rights_of_names(names.iter().map(String::as_str));
    let entry = |key, name: &str, rights, until| {
        let name = name.to_owned();
        ViewerEntry { key, name, rights, until, since: 0, origin: EntryOrigin::Listed }
    };
    let _ = list.add(entry(key, "anna", rights(&["view".to_owned()]).unwrap_or_default(), None));
    let id = list.find("anna").map(|(id, _)| id.clone()).ok();
    match request {
        ControlRequest::Pair { page, broker, .. } => {
            let (secret, board) = (PairSecret::new([7; 16]), key.thumbprint());
            let broker = broker.unwrap_or_default();
            let link =
                PairingLink { broker: &broker, root: "fanlight/v1", device: &device, board: &board, secret: &secret };
            if let Ok(link) = link.compose(&page.unwrap_or_default()) {
                assert!(link.contains("#p=") && !link.contains(char::is_control) && !link.contains(' '), "{link:?}");
            }
        }
        ControlRequest::ViewersAdd { key, name, rights: names, until } => {
            if let (Ok(key), Some(rights)) = (key.parse(), rights(&names)) {
                let _ = list.add(entry(key, &name, rights, until));
            }
        }
        ControlRequest::ViewersRename { name, .. } => drop(id.map(|id| list.rename(&id, &name))),
        ControlRequest::ViewersRights { rights: names, .. } => {
            if let (Some(id), Some(rights)) = (id, names.as_deref().and_then(rights)) {
                let _ = list.set_rights(&id, rights);
            }
        }
        ControlRequest::ViewersRemove { viewer } => {
            if let Ok(id) = list.find(&viewer).map(|(id, _)| id.clone()) {
                let _ = list.remove(&id);
            }
        }
        _ => {}
    }
    assert_eq!(ViewerList::parse(&list.to_bytes()).as_ref(), Ok(&list), "the file is read again");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_accepts_any_bytes() {
        for data in [&b""[..], b"{\"command\":\"viewers-list\"}", b"{\"command\":\"viewers-rename\"}", &[0xff; 9]] {
            super::control(data);
        }
    }
}
