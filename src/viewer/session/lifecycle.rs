//! The life of one session on the device's side (protocol section 4). Pure: events in, actions out, time is an
//! argument.
//!
//! ```text
//! Preparing ─answer sent──────────────► Answered ─ICE pair─► Connecting ─DTLS─► Live ◄──────────┐
//!     └own offer sent─► Offered ─answer──┘ └15 s              └10 s              │   lost 0.3 s │ pair
//!                          └15 s                                                 └─► Restarting ┘
//!                                                                                     └20 s
//! ```
//! From every state, the session also ends with the lease, at the hard limit, with the permission of its viewer, by
//! `bye`, or because the owner ends it.
//! It ends once.

use std::time::Duration;

use crate::{
    clock::Mono,
    protocol::{ErrorName, Refusal},
};

/// The longest time from the opening to the description that is sent.
const PREPARE: Duration = Duration::from_secs(10);
/// The longest time from the device's offer to the viewer's answer.
const ANSWER: Duration = Duration::from_secs(15);
/// The longest time from the answer to a candidate pair.
const ICE: Duration = Duration::from_secs(15);
/// The longest time from the pair to the end of the DTLS handshake.
const DTLS: Duration = Duration::from_secs(10);
/// How long a lost pair may come back by itself. The stack reports the loss after 1.2 s without a packet.
const LOST: Duration = Duration::from_millis(300);
/// The time from an ICE restart without an answer to the next one.
const UNANSWERED: Duration = Duration::from_secs(2);
/// The time from an answer without a pair to the next restart. It is longer than all connectivity checks take.
const UNPAIRED: Duration = Duration::from_secs(7);
/// The most ICE restarts while the pair is lost.
const RETRIES: u32 = 5;
/// The longest time for all of them.
const RESTART: Duration = Duration::from_secs(20);
/// How long before the hard limit the viewer gets `goaway`.
const NOTICE: Duration = Duration::from_secs(30);

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// The peer connection is being made.
    Preparing,
    /// The device's offer is sent.
    Offered,
    /// Both descriptions are known; ICE looks for a pair.
    Answered,
    /// ICE has a pair, and the DTLS handshake runs.
    Connecting,
    /// Media flows.
    Live,
    /// The pair is lost, and ICE restarts.
    Restarting,
    /// The session has ended.
    Ended,
}

/// The part of the state that other parts need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPhase {
    /// ICE has no pair yet.
    Setup,
    /// ICE has a pair, and the DTLS handshake runs.
    Connecting,
    /// Media flows.
    Live,
    /// The session was live, and the other side does not answer.
    Lost,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The viewer sent `bye`.
    Bye,
    /// The lease or the longest life of a session is over.
    Expired,
    /// The daemon stops.
    Shutdown,
    /// A newer session of the same viewer took the place of one that was lost.
    Replaced,
    /// Another viewer needed the place, and this session was not live yet.
    GaveWay,
    /// The owner took a right away that the session needs, or the permission of the viewer has ended.
    Forbidden,
    /// The viewer sent more than the session could read.
    Flood,
    /// It was refused before it began. The refusal has been sent.
    Refused,
    /// The viewer's first answer cannot be used. The refusal has been sent.
    BadAnswer,
    /// The viewer's first answer has no codec of this device. The refusal has been sent.
    NoCommonCodec,
    /// The peer connection was not made, or the viewer did not answer, in time.
    Timeout,
    /// There was no candidate pair in time.
    IceTimeout,
    /// The pair was lost and did not come back.
    IceFailed,
    /// The DTLS handshake failed or took too long.
    DtlsFailed,
    /// The viewer closed the connection without `bye`.
    ConsentLost,
    /// A fault of this device.
    Internal,
}

impl EndReason {
    /// The word in `bye` and in the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bye => "bye",
            Self::Expired => "expired",
            Self::Shutdown => "shutdown",
            Self::Replaced => "replaced",
            Self::Forbidden => "forbidden",
            Self::Flood => "flood",
            Self::Refused => "refused",
            Self::BadAnswer => "bad_sdp",
            Self::NoCommonCodec => "no_common_codec",
            Self::Timeout => "timeout",
            Self::IceTimeout | Self::GaveWay => "ice_timeout",
            Self::IceFailed => "ice_failed",
            Self::DtlsFailed => "dtls_failed",
            Self::ConsentLost => "consent_lost",
            Self::Internal => "internal",
        }
    }

    /// How a session ends whose first answer was refused with this name. `None`: the viewer may answer again.
    pub fn of_answer(refused: ErrorName) -> Option<Self> {
        match refused {
            ErrorName::BadSdp => Some(Self::BadAnswer),
            ErrorName::NoCommonCodec => Some(Self::NoCommonCodec),
            _ => None,
        }
    }

    /// Whether a session that ends so before it was live counts against its viewer, which holds a place without using
    /// it.
    pub fn is_unconnected(self) -> bool {
        let failed =
            matches!(self, Self::Timeout | Self::IceTimeout | Self::GaveWay | Self::IceFailed | Self::DtlsFailed);
        failed || matches!(self, Self::ConsentLost | Self::BadAnswer | Self::NoCommonCodec)
    }

    /// The error that is sent before `bye`. `None`: the end is no failure.
    pub fn error(self) -> Option<Refusal> {
        let (name, message) = match self {
            Self::Bye | Self::Expired | Self::Shutdown | Self::Replaced | Self::Refused => return None,
            Self::BadAnswer | Self::NoCommonCodec => return None,
            Self::Forbidden => {
                (ErrorName::Forbidden, "the owner of this device changed what this viewer may do, or its time is over")
            }
            Self::Flood => (ErrorName::RateLimited, "more messages came than could be read"),
            Self::Timeout => (ErrorName::Timeout, "the session was not set up in time"),
            Self::IceTimeout => (
                ErrorName::IceTimeout,
                "no network path was found within 15 s: without a TURN server some networks have none",
            ),
            Self::GaveWay => (
                ErrorName::IceTimeout,
                "no connection was made within 5 s, and another viewer needed the place: try again",
            ),
            Self::IceFailed => (ErrorName::IceFailed, "the network path was lost and none was found again"),
            Self::DtlsFailed => (ErrorName::DtlsFailed, "the encryption handshake failed or took longer than 10 s"),
            Self::ConsentLost => (ErrorName::ConsentLost, "the connection was closed from the other side"),
            Self::Internal => (ErrorName::Internal, "a fault of this device ended the session: its log says more"),
        };
        Some(Refusal::new(name, message))
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleEvent {
    /// The device's offer was sent.
    Offered,
    /// The device's answer was sent, or the viewer's was accepted: both descriptions are known.
    Answered,
    /// ICE has a pair.
    IceConnected,
    /// DTLS is up.
    Connected,
    /// ICE lost its pair, which may come back.
    IceDisconnected,
    /// ICE gave up.
    IceFailed,
    /// DTLS failed.
    DtlsFailed,
    /// The connection was closed from the other side.
    Closed,
    /// The board's addresses changed. Earlier restarts were sent from the old ones.
    Moved {
        /// An address is gone. The pair may have been bound to it.
        left: bool,
    },
    /// The viewer restarts ICE itself, so the device does not.
    ViewerRestarts,
    /// Time passed.
    Tick,
}

/// What the session does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleAction {
    /// Offer an ICE restart.
    Restart,
    /// Tell the viewer that the session will end.
    Goaway {
        /// The time until then.
        within: Duration,
    },
    /// End the session.
    End(EndReason),
}

/// One session's state and deadlines.
#[derive(Debug)]
pub struct Lifecycle {
    state: SessionState,
    since: Mono,
    lost: Option<Mono>,
    /// The time of the device's next ICE restart, and how many there were. `None`: the viewer restarts itself.
    retry: Option<Mono>,
    tries: u32,
    lease: Duration,
    lease_end: Mono,
    /// The longest life of a session, from its beginning.
    longest_end: Mono,
    /// The end of the permission, or of the longest life if that comes first.
    hard_end: Mono,
    warned: bool,
}

impl Lifecycle {
    /// A session that begins now, with its lease and its longest life.
    pub fn new(lease: Duration, longest: Duration, now: Mono) -> Self {
        let hard_end = now + longest;
        Self {
            state: SessionState::Preparing,
            since: now,
            lost: None,
            retry: None,
            tries: 0,
            lease,
            lease_end: now + lease,
            longest_end: hard_end,
            hard_end,
            warned: false,
        }
    }

    /// The state.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// The phase.
    pub fn phase(&self) -> SessionPhase {
        match self.state {
            SessionState::Preparing | SessionState::Offered | SessionState::Answered => SessionPhase::Setup,
            SessionState::Connecting => SessionPhase::Connecting,
            SessionState::Live if self.lost.is_none() => SessionPhase::Live,
            SessionState::Live | SessionState::Restarting | SessionState::Ended => SessionPhase::Lost,
        }
    }

    /// Sets the end of the viewer's permission. `None`: it has none.
    pub fn set_permission_end(&mut self, until: Option<Mono>, now: Mono) {
        self.hard_end = until.map_or(self.longest_end, |until| until.min(self.longest_end));
        // A viewer that was told about the earlier end is told about this one in its time.
        self.warned &= self.notice_at() <= now;
    }

    /// Renews the lease if half of it is over. Returns what is left of it.
    pub fn renew(&mut self, now: Mono) -> Duration {
        if self.lease_end.since(now) <= self.lease / 2 {
            self.lease_end = now + self.lease;
        }
        self.left(now)
    }

    /// The rest of the lease. It ends with the session at the latest.
    pub fn left(&self, now: Mono) -> Duration {
        self.lease_end.min(self.hard_end).since(now)
    }

    /// When `Tick` is due.
    pub fn deadline(&self) -> Mono {
        let notice = (!self.warned).then(|| self.notice_at());
        [Some(self.lease_end), notice, self.state_end().map(|(at, _)| at), self.lost_end(), self.retry]
            .into_iter()
            .flatten()
            .fold(self.hard_end, Mono::min)
    }

    /// Handles an event, and returns what to do.
    pub fn handle(&mut self, event: LifecycleEvent, now: Mono) -> Option<LifecycleAction> {
        match (self.state, event) {
            (SessionState::Ended, _) => None,
            (_, LifecycleEvent::Tick) => self.tick(now),
            (_, LifecycleEvent::DtlsFailed) => self.end(EndReason::DtlsFailed),
            (_, LifecycleEvent::Closed) => self.end(EndReason::ConsentLost),
            (SessionState::Preparing, LifecycleEvent::Offered) => self.enter(SessionState::Offered, now),
            (SessionState::Preparing | SessionState::Offered, LifecycleEvent::Answered) => {
                self.enter(SessionState::Answered, now)
            }
            (SessionState::Answered, LifecycleEvent::IceConnected) => self.enter(SessionState::Connecting, now),
            (SessionState::Answered | SessionState::Connecting, LifecycleEvent::Connected) => {
                self.enter(SessionState::Live, now)
            }
            (SessionState::Answered | SessionState::Connecting, LifecycleEvent::IceFailed) => {
                self.end(EndReason::IceFailed)
            }
            (SessionState::Live, LifecycleEvent::IceDisconnected) => {
                self.lost.get_or_insert(now);
                None
            }
            (SessionState::Live, LifecycleEvent::IceFailed)
            | (SessionState::Restarting, LifecycleEvent::Moved { .. }) => self.restart(now),
            // A new address is no reason to give up a pair that works.
            (SessionState::Live, LifecycleEvent::Moved { left }) if left || self.lost.is_some() => self.restart(now),
            (
                SessionState::Live | SessionState::Restarting,
                LifecycleEvent::IceConnected | LifecycleEvent::Connected,
            ) => self.enter(SessionState::Live, now),
            (SessionState::Restarting, LifecycleEvent::Answered) => {
                self.retry = self.retry.and((self.tries < RETRIES).then_some(now + UNPAIRED));
                None
            }
            (SessionState::Restarting, LifecycleEvent::ViewerRestarts) => {
                self.retry = None;
                None
            }
            _ => None,
        }
    }

    /// Ends the session for a reason from outside. `None`: it has ended already.
    pub fn end(&mut self, reason: EndReason) -> Option<LifecycleAction> {
        let over = std::mem::replace(&mut self.state, SessionState::Ended) == SessionState::Ended;
        (!over).then_some(LifecycleAction::End(reason))
    }

    fn enter(&mut self, state: SessionState, now: Mono) -> Option<LifecycleAction> {
        (self.state, self.since, self.lost, self.retry) = (state, now, None, None);
        None
    }

    /// The time for all restarts begins with the first one: addresses that come and go do not renew it.
    fn restart(&mut self, now: Mono) -> Option<LifecycleAction> {
        let since = if self.state == SessionState::Restarting { self.since } else { now };
        self.enter(SessionState::Restarting, since);
        self.tries = 0;
        Some(self.try_again(now))
    }

    fn try_again(&mut self, now: Mono) -> LifecycleAction {
        self.tries += 1;
        self.retry = (self.tries < RETRIES).then_some(now + UNANSWERED);
        LifecycleAction::Restart
    }

    fn tick(&mut self, now: Mono) -> Option<LifecycleAction> {
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        if self.lease_end <= now || self.hard_end <= now {
            return self.end(EndReason::Expired);
        }
        if let Some((at, reason)) = self.state_end()
            && at <= now
        {
            return self.end(reason);
        }
        if !self.warned && self.notice_at() <= now {
            self.warned = true;
            return Some(LifecycleAction::Goaway { within: self.hard_end.since(now) });
        }
        if due(self.lost_end()) {
            return self.restart(now);
        }
        due(self.retry).then(|| self.try_again(now))
    }

    fn state_end(&self) -> Option<(Mono, EndReason)> {
        Some(match self.state {
            SessionState::Preparing => (self.since + PREPARE, EndReason::Timeout),
            SessionState::Offered => (self.since + ANSWER, EndReason::Timeout),
            SessionState::Answered => (self.since + ICE, EndReason::IceTimeout),
            SessionState::Connecting => (self.since + DTLS, EndReason::DtlsFailed),
            SessionState::Restarting => (self.since + RESTART, EndReason::IceFailed),
            SessionState::Live | SessionState::Ended => return None,
        })
    }

    fn lost_end(&self) -> Option<Mono> {
        self.lost.map(|lost| lost + LOST)
    }

    fn notice_at(&self) -> Mono {
        Mono(self.hard_end.0.saturating_sub(u64::try_from(NOTICE.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
