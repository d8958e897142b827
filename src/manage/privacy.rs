//! `fanlight privacy`.

use super::client::{Client, unexpected};
use crate::{
    cli::{PrivacyAction, PrivacyCommand},
    owner::control_message::{ControlReply, ControlRequest},
};

/// Does what the command says. The result is the text to print.
pub fn privacy(command: &PrivacyCommand) -> Result<String, String> {
    let request = match command.action {
        PrivacyAction::Status => ControlRequest::PrivacyStatus {},
        PrivacyAction::On => ControlRequest::PrivacySet { on: true },
        PrivacyAction::Off => ControlRequest::PrivacySet { on: false },
    };
    match Client::ask(&command.socket, &request)?.answer()? {
        ControlReply::Done { message } => Ok(message),
        other => Err(unexpected(&other)),
    }
}
