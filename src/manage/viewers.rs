//! `fanlight viewers`.

use std::path::Path;

use super::{
    client::{Client, unexpected},
    dates, key_file,
};
use crate::{
    cli::{ViewersAction, ViewersCommand},
    clock::{self, Mono},
    owner::control_message::{ControlReply, ControlRequest, PermissionEnd, ViewerRow},
};

/// Does what the command says. The result is the text to print.
pub fn viewers(command: &ViewersCommand) -> Result<String, String> {
    let ask = |request: &ControlRequest| Client::ask(&command.socket, request)?.answer();
    let request = match &command.action {
        None => return list(ask(&ControlRequest::ViewersList {})?, false),
        Some(ViewersAction::List { json }) => return list(ask(&ControlRequest::ViewersList {})?, *json),
        Some(ViewersAction::NewKey { file, name }) => return new_key(file, name),
        Some(ViewersAction::Add { key, name, rights: names, until }) => ControlRequest::ViewersAdd {
            key: key.clone(),
            name: name.clone(),
            rights: rights(names),
            until: match end(until.as_deref())? {
                Some(PermissionEnd::At(until)) => Some(until),
                Some(PermissionEnd::Never) | None => None,
            },
        },
        Some(ViewersAction::Remove { viewer }) => ControlRequest::ViewersRemove { viewer: viewer.clone() },
        Some(ViewersAction::Rename { viewer, name }) => {
            ControlRequest::ViewersRename { viewer: viewer.clone(), name: name.clone() }
        }
        Some(ViewersAction::Rights { viewer, rights: names, until }) => ControlRequest::ViewersRights {
            viewer: viewer.clone(),
            rights: names.as_deref().map(rights),
            until: end(until.as_deref())?,
        },
    };
    match ask(&request)? {
        ControlReply::Done { message } => Ok(message),
        other => Err(unexpected(&other)),
    }
}

/// The names of rights, which commas separate.
pub(super) fn rights(names: &str) -> Vec<String> {
    names.split(',').map(|name| name.trim().to_owned()).collect()
}

/// The time in seconds since 1970, if the clock is right.
pub(super) fn now() -> Option<u64> {
    clock::is_synced().then(|| Mono::now().wall().as_secs())
}

fn end(until: Option<&str>) -> Result<Option<PermissionEnd>, String> {
    until.map(|until| dates::end(until, now())).transpose()
}

fn new_key(file: &Path, name: &str) -> Result<String, String> {
    let point = key_file::make(file)?.to_string();
    Ok(format!(
        "wrote the private key to {}: keep it where only the program can read it\n\
         The public key is {point}\n\
         On the board: sudo fanlight viewers add {point} --name {}",
        file.display(),
        quoted(name)
    ))
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn list(reply: ControlReply, json: bool) -> Result<String, String> {
    let (viewers, note) = match reply {
        ControlReply::Viewers { viewers, note } => (viewers, note),
        other => return Err(unexpected(&other)),
    };
    if json {
        let list = serde_json::json!({ "viewers": viewers, "note": note });
        return serde_json::to_string_pretty(&list).map_err(|e| e.to_string());
    }
    let mut text = match viewers.is_empty() {
        true => "nobody may watch; sudo fanlight pair lets a viewer in\n".to_owned(),
        false => table(&viewers),
    };
    if let Some(note) = note {
        text += &format!("\nwarning: {note}\n");
    }
    Ok(text)
}

/// The viewers as a table. Times are in UTC.
fn table(viewers: &[ViewerRow]) -> String {
    const HEAD: [&str; 7] = ["NAME", "ID", "RIGHTS", "ENDS", "SINCE", "LAST SEEN", "FROM"];
    let moment = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), dates::moment);
    let cells = |viewer: &ViewerRow| {
        let from = if viewer.configured { "configuration" } else { "list" };
        let (id, rights) = (viewer.id.clone(), viewer.rights.join(","));
        let (ends, since) = (dates::end_text(viewer.until), moment(viewer.since));
        [viewer.name.clone(), id, rights, ends, since, moment(viewer.last_seen), from.to_owned()]
    };
    let rows: Vec<[String; 7]> = std::iter::once(HEAD.map(str::to_owned)).chain(viewers.iter().map(cells)).collect();
    let widths: [usize; 7] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let line: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}
