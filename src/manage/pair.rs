//! `fanlight pair`.

use std::io::Write;

use super::{
    client::{Client, unexpected},
    dates,
    qr::{Screen, draw},
    viewers::{now, rights},
};
use crate::{
    cli::PairCommand,
    owner::control_message::{ControlReply, ControlRequest, PermissionEnd},
};

/// Opens a pairing, shows the link, and waits until a viewer has used it. An error is why nobody did.
pub fn pair(command: &PairCommand, screen: Screen, output: &mut impl Write) -> Result<(), String> {
    let until = command.until.as_deref().map(|until| dates::end(until, now())).transpose()?;
    let request = ControlRequest::Pair {
        name: command.name.clone(),
        rights: rights(&command.rights),
        until: match until {
            Some(PermissionEnd::At(until)) => Some(until),
            Some(PermissionEnd::Never) | None => None,
        },
        page: command.page.clone(),
        broker: command.broker.clone(),
    };
    let mut daemon = Client::ask(&command.socket, &request)?;
    let ControlReply::PairingOpen { link, seconds, replaced } = daemon.answer()? else {
        return Err("an unexpected answer".into());
    };
    let code = if command.no_qr { Ok(String::new()) } else { draw(&link, screen) };
    show(output, &invitation(&link, code, seconds, replaced))?;
    loop {
        match daemon.answer()? {
            ControlReply::PairingWrong { wrong, max } => {
                show(
                    output,
                    &format!("A message with a wrong secret came ({wrong} of {max}; then the pairing ends).\n"),
                )?;
            }
            ControlReply::PairingDone { viewer } => {
                let until = match viewer.until {
                    Some(until) => format!(", until {}", dates::end_text(Some(until))),
                    None => String::new(),
                };
                let rights = viewer.rights.join(", ");
                return show(output, &format!("Paired: {:?}, which may {rights}{until}.\n", viewer.name));
            }
            ControlReply::PairingEnded { message } => return Err(message),
            other => return Err(unexpected(&other)),
        }
    }
}

/// What the owner reads while the daemon waits. `code`: the drawing, or why there is none.
fn invitation(link: &str, code: Result<String, String>, seconds: u64, replaced: bool) -> String {
    let mut text = String::new();
    if replaced {
        text += "The pairing that was open before has ended: its link is no longer valid.\n\n";
    }
    match code {
        Ok(code) if code.is_empty() => text += "Open this link in the browser that shall watch:\n\n",
        Ok(code) => {
            text +=
                "Read this code with the telephone that shall watch, or open the link below it in another browser:\n\n";
            text += &code;
            text += "\n";
        }
        Err(why) => text += &format!("{why}. Open this link in the browser that shall watch:\n\n"),
    }
    let minutes = seconds / 60;
    text += &format!(
        "{link}\n\n\
         The link pairs one browser, within {minutes} minutes. Whoever reads it can use it: show it to nobody else.\n\
         The browser makes a key that stays in it. It may ask whether the page may keep data: allow this, or the\n\
         key can get lost. If the page has a certificate of this board itself, the browser warns once before it\n\
         opens the page.\n\n\
         Waiting. Ctrl-C ends it.\n"
    );
    text
}

fn show(output: &mut impl Write, text: &str) -> Result<(), String> {
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|e| format!("print: {e}"))
}
