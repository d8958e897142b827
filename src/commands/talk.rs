//! Commands about the turn to talk.

use std::time::Duration;

use crate::{
    clock::Mono,
    protocol::{ErrorName, Refusal, TalkerInfo, command_result::CommandOk},
    talk::{
        turn::TALK_TURN_SILENCE,
        turns::{TalkBusy, Talker},
    },
};

/// When to ask again for a turn that another viewer has.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks for the turn. `has_speaker`: whether the board has a loudspeaker.
pub(super) fn begin(talker: Option<&Talker>, has_speaker: bool, take: bool, now: Mono) -> Result<CommandOk, Refusal> {
    let Some(talker) = talker else {
        return Err(match has_speaker {
            true => Refusal::new(ErrorName::Conflict, "talk.begin: this session was not opened to talk"),
            false => Refusal::new(ErrorName::Unsupported, "talk.begin: this board has no loudspeaker"),
        });
    };
    match talker.begin(take, now) {
        Ok(()) => Ok(CommandOk::Talk { silence_s: TALK_TURN_SILENCE.as_secs() }),
        Err(TalkBusy { name, since }) => {
            let info = TalkerInfo { name: name.to_string(), seconds: since.as_secs() };
            let refusal = Refusal::new(ErrorName::Busy, "talk.begin: somebody else talks").retry_after(PAUSE);
            Err(Refusal { talker: Some(Box::new(info)), ..refusal })
        }
    }
}

/// Gives the turn back, if the viewer has it.
pub(super) fn end(talker: Option<&Talker>) -> CommandOk {
    talker.inspect(|talker| talker.end());
    CommandOk::Done {}
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::talk::turns::TalkTurns;

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    #[test]
    fn one_viewer_talks_and_the_others_learn_who() {
        let turns = TalkTurns::new(watch::Sender::new(0));
        let (anna, bert) = (turns.join("Anna's phone"), turns.join("bert"));
        let granted = Ok(CommandOk::Talk { silence_s: 15 });
        assert_eq!(begin(Some(&anna), true, false, seconds(1)), granted);
        assert_eq!(begin(Some(&anna), true, false, seconds(2)), granted, "asking again changes nothing");
        let busy = begin(Some(&bert), true, false, seconds(5)).unwrap_err();
        assert_eq!((busy.name, busy.retry_after_ms), (ErrorName::Busy, Some(1000)));
        assert_eq!(busy.talker.as_deref(), Some(&TalkerInfo { name: "Anna's phone".into(), seconds: 4 }));
        assert_eq!(end(Some(&bert)), CommandOk::Done {});
        assert!(anna.has_turn(), "who has no turn ends none");
        assert_eq!(begin(Some(&bert), true, true, seconds(6)), granted);
        assert!(bert.has_turn() && !anna.has_turn());
        end(Some(&bert));
        assert!(!bert.has_turn());
    }

    #[test]
    fn without_a_loudspeaker_or_a_line_nobody_talks() {
        for (has_speaker, expected) in [(true, ErrorName::Conflict), (false, ErrorName::Unsupported)] {
            assert_eq!(begin(None, has_speaker, true, seconds(1)).unwrap_err().name, expected);
            assert_eq!(end(None), CommandOk::Done {});
        }
    }
}
