//! Who may talk: the turn to talk, which is floor control as in RFC 4376 section 3, in its simplest policy. Pure: time
//! is an argument.
//!
//! One participant at a time has the turn, and the first who asks gets it. There is no queue: others are refused as
//! busy, and learn who talks and since when. Whether a participant has the right to talk is checked before; here its
//! end is only an event.
//!
//! ```text
//! free ─request─► taken ─release, 15 s of silence, disconnected─► free
//!                  └─request to take over─► taken by another
//! ```
//! Each loss is reported once. A participant is a session, not a login: the other
//! page of the same person is busy, too, since two microphones in one room would howl.

use std::time::Duration;

use crate::clock::Mono;

/// How long a talker may be silent.
pub const TALK_TURN_SILENCE: Duration = Duration::from_secs(15);

/// The turn to talk, and who has it.
#[derive(Debug)]
pub struct TalkTurn<P> {
    holder: Option<TalkTurnHolder<P>>,
}

/// A participant that has the turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalkTurnHolder<P> {
    /// Who it is.
    pub who: P,
    /// Since when it has the turn.
    pub since: Mono,
    /// When it was last heard.
    heard: Mono,
}

/// How a participant asks for the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TalkTurnRequest {
    /// It takes the turn if it is free.
    IfFree,
    /// It takes the turn from whoever has it. The caller checks who may ask so.
    TakeOver,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TalkTurnAnswer<P> {
    /// The participant has the turn now, or had it already.
    Granted {
        /// The talker that lost it.
        revoked: Option<TalkTurnLoss<P>>,
    },
    /// Another has it.
    Busy(TalkTurnHolder<P>),
}

/// A holder that lost the turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalkTurnLoss<P> {
    /// Who had it.
    pub who: P,
    /// Why it lost it.
    pub why: TalkTurnLossReason,
}

/// Why a holder lost the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TalkTurnLossReason {
    /// It was silent for [`TALK_TURN_SILENCE`].
    Silent,
    /// Another took it over.
    TakenOver,
    /// It gave the turn back.
    Released,
    /// Its session ended, lost its connection, or may no longer talk.
    Disconnected,
}

impl<P> Default for TalkTurn<P> {
    fn default() -> Self {
        Self { holder: None }
    }
}

impl<P: Clone + PartialEq> TalkTurn<P> {
    /// Who has the turn.
    pub fn holder(&self) -> Option<&TalkTurnHolder<P>> {
        self.holder.as_ref()
    }

    /// Whether the sound of `who` may be played. It is asked for each packet.
    pub fn is_holder(&self, who: &P) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.who == *who)
    }

    /// `who` asks for the turn. A talker that asks again keeps it: its `since` and its silence do not start again, so
    /// that asking again and again does not keep others out.
    pub fn request(&mut self, who: &P, request: TalkTurnRequest, now: Mono) -> TalkTurnAnswer<P> {
        let expired = self.expire(now);
        match &self.holder {
            Some(holder) if holder.who == *who => return TalkTurnAnswer::Granted { revoked: None },
            Some(holder) if request == TalkTurnRequest::IfFree => return TalkTurnAnswer::Busy(holder.clone()),
            _ => {}
        }
        let taken =
            self.holder.take().map(|holder| TalkTurnLoss { who: holder.who, why: TalkTurnLossReason::TakenOver });
        self.holder = Some(TalkTurnHolder { who: who.clone(), since: now, heard: now });
        TalkTurnAnswer::Granted { revoked: taken.or(expired) }
    }

    /// Sound of `who` that is not silence. The caller decides what silence is: DTX, or a level below the threshold.
    pub fn heard(&mut self, who: &P, now: Mono) {
        if let Some(holder) = self.holder.as_mut().filter(|holder| holder.who == *who) {
            holder.heard = holder.heard.max(now);
        }
    }

    /// `who` gives the turn back, or can no longer have it. `None` if it did not have it.
    pub fn leave(&mut self, who: &P, why: TalkTurnLossReason) -> Option<TalkTurnLoss<P>> {
        let holder = self.holder.take_if(|holder| holder.who == *who)?;
        Some(TalkTurnLoss { who: holder.who, why })
    }

    /// Takes the turn from a talker that is silent for too long.
    pub fn expire(&mut self, now: Mono) -> Option<TalkTurnLoss<P>> {
        let holder = self.holder.take_if(|holder| now.since(holder.heard) >= TALK_TURN_SILENCE)?;
        Some(TalkTurnLoss { who: holder.who, why: TalkTurnLossReason::Silent })
    }
}

#[cfg(test)]
mod tests {
    use super::{TalkTurnLossReason::*, *};

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Ask,
        TakeOver,
        Sound,
        Leave(TalkTurnLossReason),
        Timer,
    }
    use Event::*;

    fn s(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    /// What an event does, as text.
    fn play(turn: &mut TalkTurn<&'static str>, who: &'static str, event: Event, at: u64) -> String {
        let lost = |loss: TalkTurnLoss<&str>| format!("{} lost it: {:?}", loss.who, loss.why);
        let answer = match event {
            Ask => turn.request(&who, TalkTurnRequest::IfFree, s(at)),
            TakeOver => turn.request(&who, TalkTurnRequest::TakeOver, s(at)),
            Sound => {
                turn.heard(&who, s(at));
                return String::new();
            }
            Leave(why) => return turn.leave(&who, why).map(lost).unwrap_or_default(),
            Timer => return turn.expire(s(at)).map(lost).unwrap_or_default(),
        };
        match answer {
            TalkTurnAnswer::Granted { revoked: None } => "granted".into(),
            TalkTurnAnswer::Granted { revoked: Some(loss) } => format!("granted, {}", lost(loss)),
            TalkTurnAnswer::Busy(holder) => format!("{} since {}", holder.who, holder.since.0 / 1_000_000_000),
        }
    }

    #[test]
    fn each_story() {
        type Story = &'static [(u64, &'static str, Event, &'static str)];
        let stories: [(&str, Story); 9] = [
            (
                "first come, first served",
                &[
                    (1, "anna", Ask, "granted"),
                    (2, "bert", Ask, "anna since 1"),
                    (3, "anna", Leave(Released), "anna lost it: Released"),
                    (4, "bert", Ask, "granted"),
                    (5, "anna", Ask, "bert since 4"),
                ],
            ),
            (
                "asking again changes nothing",
                &[
                    (1, "anna", Ask, "granted"),
                    (9, "anna", Ask, "granted"),
                    (10, "bert", Ask, "anna since 1"),
                    (16, "", Timer, "anna lost it: Silent"),
                ],
            ),
            (
                "one who takes over is not interrupted",
                &[
                    (1, "anna", Ask, "granted"),
                    (2, "chief", Ask, "anna since 1"),
                    (3, "chief", TakeOver, "granted, anna lost it: TakenOver"),
                    (4, "anna", Ask, "chief since 3"),
                    (5, "anna", Leave(Released), ""),
                    (6, "chief", TakeOver, "granted"),
                ],
            ),
            ("who takes over finds nobody to interrupt", &[(1, "chief", TakeOver, "granted")]),
            (
                "a silent holder loses it after 15 s",
                &[
                    (1, "anna", Ask, "granted"),
                    (15, "", Timer, ""),
                    (16, "", Timer, "anna lost it: Silent"),
                    (16, "", Timer, ""),
                ],
            ),
            (
                "a holder that is heard keeps it",
                &[
                    (1, "anna", Ask, "granted"),
                    (10, "anna", Sound, ""),
                    (24, "", Timer, ""),
                    (24, "bert", Sound, ""),
                    (25, "", Timer, "anna lost it: Silent"),
                ],
            ),
            (
                "a late timer costs nobody the turn",
                &[(1, "anna", Ask, "granted"), (40, "bert", Ask, "granted, anna lost it: Silent")],
            ),
            (
                "a silent holder that asks again is new",
                &[
                    (1, "anna", Ask, "granted"),
                    (40, "anna", Ask, "granted, anna lost it: Silent"),
                    (41, "bert", Ask, "anna since 40"),
                ],
            ),
            (
                "who leaves does not take it from others",
                &[
                    (1, "anna", Ask, "granted"),
                    (2, "bert", Leave(Disconnected), ""),
                    (3, "bert", Leave(Released), ""),
                    (4, "anna", Leave(Disconnected), "anna lost it: Disconnected"),
                    (5, "bert", Ask, "granted"),
                    (6, "bert", Leave(Disconnected), "bert lost it: Disconnected"),
                    (7, "bert", Sound, ""),
                    (60, "", Timer, ""),
                ],
            ),
        ];
        for (what, story) in stories {
            let mut turn = TalkTurn::default();
            for (at, who, event, expected) in story {
                assert_eq!(play(&mut turn, who, *event, *at), *expected, "{what}: {who} {event:?} at {at} s");
            }
        }
    }

    #[test]
    fn silence_counts_from_the_last_sound() {
        let mut turn = TalkTurn::default();
        assert_eq!(turn.holder(), None);
        turn.request(&"anna", TalkTurnRequest::IfFree, s(1));
        turn.heard(&"anna", s(5));
        turn.heard(&"anna", s(3));
        assert!(turn.expire(s(19)).is_none(), "time does not go back");
        assert!(turn.is_holder(&"anna") && !turn.is_holder(&"bert"));
        assert!(turn.expire(s(20)).is_some() && !turn.is_holder(&"anna"));
    }
}
