//! A message of the data channel: a command. Pure.

use crate::protocol::{
    ErrorName, Refusal,
    command::{CommandMessage, ReadCommand, RejectedCommand},
};

/// Reads a message. Commands are texts.
pub(crate) fn read(is_text: bool, data: &[u8]) -> ReadCommand {
    let bad = |message: String| RejectedCommand { id: None, refusal: Refusal::new(ErrorName::BadRequest, message) };
    if !is_text {
        return Err(bad("the message is binary: a command is a text".to_owned()));
    }
    let text = std::str::from_utf8(data)
        .map_err(|e| bad(format!("the message is not UTF-8 after byte {}", e.valid_up_to())))?;
    CommandMessage::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::BoardCommand;

    #[test]
    fn a_command_is_a_text_and_anything_else_is_refused_by_name() {
        let stats = br#"{"id":7,"name":"stats"}"#;
        assert_eq!(read(true, stats), Ok(CommandMessage { id: 7, command: BoardCommand::Stats }));
        let long = [b' '; 40_000];
        for (is_text, data, id, name) in [
            (false, &stats[..], None, ErrorName::BadRequest),
            (true, b"\xc3\x28", None, ErrorName::BadRequest),
            (true, b"", None, ErrorName::BadRequest),
            (true, b"[]", None, ErrorName::BadRequest),
            (true, br#"{"name":"stats"}"#, None, ErrorName::BadRequest),
            (true, br#"{"id":8,"name":"fly"}"#, Some(8), ErrorName::UnknownCommand),
            (true, &long, None, ErrorName::TooLarge),
        ] {
            let rejected = read(is_text, data).unwrap_err();
            assert_eq!((rejected.id, rejected.refusal.name), (id, name), "{rejected:?}");
        }
    }
}
