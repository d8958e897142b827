//! The turn to talk as the sessions share it, and the talker's packets on their way to the loudspeaker.
//!
//! A session whose viewer may talk has a [`Talker`]. It asks for the turn by [`Talker::begin`], or by its first packet
//! with sound while the turn is free. Packets of everybody else are dropped unread. The thread of the loudspeaker takes
//! the packets by [`TalkTurns::drain`], and reports what it hears by [`TalkTurns::heard`]. While somebody has the turn,
//! the loudspeaker is wanted.
//!
//! Nothing here waits: the lock is held for a few moves of memory, and a full queue drops its oldest packet.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use super::turn::{TalkTurn, TalkTurnAnswer, TalkTurnLossReason, TalkTurnRequest};
use crate::clock::Mono;

/// Packets that wait for the loudspeaker: 1.3 s of the usual ones. It takes them every 10 ms.
pub const TALK_QUEUE: usize = 64;
/// The longest payload that is taken: a whole Ethernet packet.
const PAYLOAD_MAX: usize = 1_500;
/// A packet that waited for longer than this is from before the loudspeaker was opened.
const STALE: Duration = Duration::from_millis(500);
/// A packet up to this size has no sound. Encoders make such packets of silence, also without DTX.
const QUIET: usize = 8;
/// Who lost the turn by silence does not take it again by a packet for so long, so that others get it.
const PAUSE: Duration = Duration::from_secs(3);

/// The turn to talk, and the packets of the talker. A cheap handle.
#[derive(Debug, Clone)]
pub struct TalkTurns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// How many want the loudspeaker: one or none.
    wanted: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    turn: TalkTurn<Participant>,
    queue: VecDeque<TalkPacket>,
    /// The number of the last participant.
    last: u64,
    /// Who lost the turn by silence, and when.
    silenced: Option<(u64, Mono)>,
    counters: TalkCounters,
}

#[derive(Debug, Clone)]
struct Participant {
    number: u64,
    name: Arc<str>,
}

impl PartialEq for Participant {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// An RTP packet of the talker.
#[derive(Clone)]
pub struct TalkPacket {
    /// The number of the talker.
    pub talker: u64,
    /// The SSRC.
    pub ssrc: u32,
    /// The sequence number.
    pub sequence: u16,
    /// The time stamp, in samples at 48 kHz.
    pub timestamp: u32,
    /// The Opus packet.
    pub payload: Bytes,
    /// When it arrived.
    pub at: Mono,
}

impl fmt::Debug for TalkPacket {
    /// Without the sound.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { talker, ssrc, sequence, timestamp, payload, at } = self;
        write!(f, "packet {sequence} of talker {talker}, {ssrc:#x}, at {timestamp}, {} bytes, {at:?}", payload.len())
    }
}

/// What became of the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TalkCounters {
    /// Packets for the loudspeaker.
    pub taken: u64,
    /// Packets of those who do not have the turn, or that break a limit.
    pub dropped: u64,
    /// Packets that the loudspeaker did not take in time.
    pub overflowed: u64,
}

/// Another has the turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TalkBusy {
    /// The name of the talker for people.
    pub name: Arc<str>,
    /// For how long it has talked.
    pub since: Duration,
}

impl TalkTurns {
    /// A free turn. `wanted` becomes 1 while somebody has it.
    pub fn new(wanted: watch::Sender<usize>) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), wanted }))
    }

    /// A session that may talk joins. `name` is its name for people.
    pub fn join(&self, name: &str) -> Talker {
        let mut state = self.0.lock();
        state.last += 1;
        let who = Participant { number: state.last, name: name.into() };
        Talker { shared: Arc::clone(&self.0), who, by_command: AtomicBool::new(false), left: AtomicBool::new(false) }
    }

    /// Moves the packets that arrived to `out`, and returns the number of the talker. A talker that is silent for too
    /// long loses the turn.
    pub fn drain(&self, out: &mut Vec<TalkPacket>, now: Mono) -> Option<u64> {
        let mut state = self.0.lock();
        state.expire(now);
        let talker = state.talker();
        out.extend(state.queue.drain(..).filter(|packet| now.since(packet.at) < STALE));
        self.0.tell(&state);
        talker
    }

    /// The loudspeaker plays sound of this talker that is not silence.
    pub fn heard(&self, talker: u64, now: Mono) {
        let mut state = self.0.lock();
        if let Some(who) = state.turn.holder().map(|holder| holder.who.clone()).filter(|who| who.number == talker) {
            state.turn.heard(&who, now);
        }
    }

    /// What became of the packets so far.
    pub fn counters(&self) -> TalkCounters {
        self.0.lock().counters
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the owner of the loudspeaker whether it is wanted.
    fn tell(&self, state: &State) {
        let wanted = usize::from(state.turn.holder().is_some());
        self.wanted.send_if_modified(|before| std::mem::replace(before, wanted) != wanted);
    }
}

impl State {
    fn talker(&self) -> Option<u64> {
        self.turn.holder().map(|holder| holder.who.number)
    }

    fn expire(&mut self, now: Mono) {
        if let Some(lost) = self.turn.expire(now) {
            self.silenced = Some((lost.who.number, now));
            self.queue.clear();
        }
    }

    fn request(&mut self, who: &Participant, request: TalkTurnRequest, now: Mono) -> Result<(), TalkBusy> {
        self.expire(now);
        let before = self.talker();
        match self.turn.request(who, request, now) {
            TalkTurnAnswer::Granted { .. } => {
                if before != Some(who.number) {
                    self.queue.clear();
                }
                Ok(())
            }
            TalkTurnAnswer::Busy(holder) => Err(TalkBusy { name: holder.who.name, since: now.since(holder.since) }),
        }
    }

    /// Whether a packet of this participant may take the turn.
    fn may_take(&self, who: &Participant, packet: &TalkPacket) -> bool {
        let paused = |(number, at): (u64, Mono)| number == who.number && packet.at.since(at) < PAUSE;
        packet.payload.len() > QUIET && !self.silenced.is_some_and(paused)
    }
}

/// A session that may talk. Dropping it gives the turn back.
#[derive(Debug)]
pub struct Talker {
    shared: Arc<Shared>,
    who: Participant,
    /// Whether the viewer asks for the turn by commands. Its packets then take no turn.
    by_command: AtomicBool,
    /// Whether the session is over.
    left: AtomicBool,
}

impl Talker {
    /// Its number, which is in its packets.
    pub fn number(&self) -> u64 {
        self.who.number
    }

    /// Asks for the turn. `take`: takes it from another. From now on, no packet of this viewer takes the turn.
    pub fn begin(&self, take: bool, now: Mono) -> Result<(), TalkBusy> {
        self.by_command.store(true, Ordering::Release);
        let request = if take { TalkTurnRequest::TakeOver } else { TalkTurnRequest::IfFree };
        let mut state = self.shared.lock();
        let answer = state.request(&self.who, request, now);
        self.shared.tell(&state);
        answer
    }

    /// Gives the turn back. From now on, no packet of this viewer takes the turn.
    pub fn end(&self) {
        self.by_command.store(true, Ordering::Release);
        self.lose(TalkTurnLossReason::Released);
    }

    /// The session is over, or its viewer may no longer talk: it gives the turn back, and takes it no more.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.lose(TalkTurnLossReason::Disconnected);
    }

    /// Whether it has the turn.
    pub fn has_turn(&self) -> bool {
        self.shared.lock().turn.is_holder(&self.who)
    }

    /// A packet of this viewer arrived. Returns whether it is on its way to the loudspeaker.
    pub fn push(&self, packet: TalkPacket) -> bool {
        let mut state = self.shared.lock();
        let now = packet.at;
        state.expire(now);
        if !self.left.load(Ordering::Acquire)
            && !self.by_command.load(Ordering::Acquire)
            && state.turn.holder().is_none()
            && state.may_take(&self.who, &packet)
        {
            // It is free, so it is granted.
            let _ = state.request(&self.who, TalkTurnRequest::IfFree, now);
        }
        let taken = state.turn.is_holder(&self.who) && packet.payload.len() <= PAYLOAD_MAX;
        if taken {
            if state.queue.len() >= TALK_QUEUE {
                state.queue.pop_front();
                state.counters.overflowed += 1;
            }
            state.queue.push_back(packet);
            state.counters.taken += 1;
        } else {
            state.counters.dropped += 1;
        }
        self.shared.tell(&state);
        taken
    }

    fn lose(&self, why: TalkTurnLossReason) {
        let mut state = self.shared.lock();
        if state.turn.leave(&self.who, why).is_some() {
            state.queue.clear();
        }
        self.shared.tell(&state);
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.leave();
    }
}
