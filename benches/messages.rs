//! Counts the instructions that one message of a viewer costs the board, in the mode `keys`, with valgrind:
//! `cargo bench --bench messages`.
//!
//! For each kind of message the program runs twice under valgrind. Both runs prepare the same messages. The first reads
//! none of them, the second reads all. The difference is what reading costs.

#![allow(clippy::print_stdout)] // it is a program for a terminal

use std::{env, error::Error, hint::black_box, process::Command, sync::Arc, time::Duration};

use bytes::Bytes;
use fanlight::{
    clock::Mono,
    config::Id,
    grant::{Grant, KeysAccess, Opened, OpeningVerdict, WallClock},
    jose::{SealingKey, SigningKey, seal},
    protocol::{
        Right, Rights,
        envelope::{self, Envelope},
        parse::parse,
    },
    trust::{
        LastSeen,
        board_keys::BoardKeys,
        pairing::{PairOptions, PairSecret, PairingHandle},
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList, viewer_id},
    },
};
use serde_json::json;
use tokio::sync::watch;

type Failure = Box<dyn Error>;

/// Messages of a kind. They come a second after one another, so that no limit of a rate is met.
const ROUNDS: u64 = 16;
/// The first message comes at this time, in nanoseconds.
const START: u64 = 1_000_000_000_000;
/// Instructions a millisecond of a processor with 1 GHz that does one instruction a cycle: about an A53.
const SLOW: f64 = 1e6;
/// What a browser offers.
const SDP: &str = include_str!("../tests/sdp/clients/chromium.sdp");

/// A kind of message.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Opening,
    OpeningInModeBroker,
    Answer,
    Stranger,
    StrangerWhilePairing,
    WrongSignature,
    WrongSeal,
    Replay,
}

impl Kind {
    const ALL: [(Self, &str, &str); 8] = [
        (Self::Opening, "opening", "an opening of a viewer on the list, accepted"),
        (Self::OpeningInModeBroker, "broker", "the same in the mode `broker`: plain JSON"),
        (Self::Answer, "answer", "the answer to it, signed and sealed"),
        (Self::Stranger, "stranger", "an offer of a stranger"),
        (Self::StrangerWhilePairing, "pairing", "an offer of a stranger, while the board is pairing"),
        (Self::WrongSignature, "signature", "a wrong signature in the name of a viewer on the list"),
        (Self::WrongSeal, "seal", "a wrong seal in the name of a viewer on the list"),
        (Self::Replay, "replay", "an opening that came before"),
    ];

    /// Whether a message of this kind becomes a request.
    fn is_accepted(self) -> bool {
        matches!(self, Self::Opening | Self::OpeningInModeBroker)
    }
}

fn offer(round: u64) -> String {
    json!({"v": 1, "type": "offer", "session": format!("{round:0>22}"), "seq": 0, "sdp": SDP}).to_string()
}

/// A board, a viewer on its list, and somebody else.
struct Stage {
    keys: Arc<BoardKeys>,
    grant: Arc<Grant>,
    anna: SigningKey,
    mallory: SigningKey,
    reply: SealingKey,
}

impl Stage {
    fn new(kind: Kind) -> Result<Self, Failure> {
        let keys = Arc::new(BoardKeys::ephemeral()?);
        let (anna, mallory) = (SigningKey::generate()?, SigningKey::generate()?);
        let entry = ViewerEntry {
            key: *anna.public(),
            name: "anna".into(),
            rights: Rights::of([Right::View, Right::Listen]),
            until: None,
            since: 0,
            origin: EntryOrigin::Listed,
        };
        let mut list = ViewerList::default();
        list.add(entry)?;
        let (_, viewers) = watch::channel(Arc::new(list));
        let (pairing, device) = (PairingHandle::default(), Id::new("porch").ok_or("id")?);
        if kind == Kind::StrangerWhilePairing {
            let options = PairOptions { name: None, rights: Rights::of([Right::View]), until: None };
            let (board, secret) = ((*keys.thumbprint(), device.clone()), PairSecret::new([7; 16]));
            pairing.with(|pairing| pairing.open(Mono(START), board, options, secret));
        }
        let access = KeysAccess::new(Arc::clone(&keys), device, viewers, pairing, LastSeen::default());
        let grant = Arc::new(match kind {
            Kind::OpeningInModeBroker => Grant::by_broker(&[7; 32]),
            _ => Grant::by_keys(access, &[7; 32]),
        });
        Ok(Self { keys, grant, anna, mallory, reply: SealingKey::generate()? })
    }

    /// An offer by `author` in the name of `named`, signed and sealed.
    fn message(&self, author: &SigningKey, named: &SigningKey, round: u64) -> Result<Vec<u8>, Failure> {
        let header = json!({
            "alg": "ES256", "typ": "fanlight-req", "kid": named.public().thumbprint().to_string(), "to": "porch",
            "nonce": self.grant.nonce(Mono(START)), "reply": self.reply.public().to_string(),
        });
        let signed = author.sign(&header, offer(round).as_bytes())?;
        Ok(seal(self.keys.sealing().public(), signed.as_bytes())?.into_bytes())
    }

    /// A message of a kind, and the viewer on whose topic it comes.
    fn prepare(&self, kind: Kind, round: u64) -> Result<(Id, Bytes), Failure> {
        let (anna, mallory) = (&self.anna, &self.mallory);
        let (named, payload) = match kind {
            Kind::Opening | Kind::Answer => (anna, self.message(anna, anna, round)?),
            Kind::Replay => (anna, self.message(anna, anna, 0)?),
            Kind::OpeningInModeBroker => (anna, offer(round).into_bytes()),
            Kind::Stranger | Kind::StrangerWhilePairing => (mallory, self.message(mallory, mallory, round)?),
            Kind::WrongSignature => (anna, self.message(mallory, anna, round)?),
            Kind::WrongSeal => {
                let mut payload = self.message(anna, anna, round)?;
                let last = payload.len() - 1;
                payload[last] = if payload[last] == b'A' { b'Q' } else { b'A' };
                (anna, payload)
            }
        };
        Ok((viewer_id(&named.public().thumbprint()), Bytes::from(payload)))
    }

    /// What signalling does with a message. It is not called itself, because it looks at the wall clock: valgrind hides
    /// the kernel's page for that (vdso(7)), which the library of system calls expects.
    fn is_accepted(&self, (viewer, payload): &(Id, Bytes), round: u64) -> bool {
        let now = Mono(START + round * 1_000_000_000);
        let wall = WallClock { now: Duration::from_secs(1_800_000_000), is_synced: true };
        if !self.grant.is_sealed() {
            let authorised =
                envelope::open(payload).ok().and_then(|envelope| self.grant.authorise(viewer, envelope).ok());
            return authorised.is_some_and(|(_, text)| parse(text).is_ok());
        }
        if self.grant.reads(viewer, now).is_none() {
            return false;
        }
        let Ok(Envelope::Sealed(sealed)) = envelope::open(payload) else { return false };
        let Ok(Opened::Message { from, text, tag }) = self.grant.open(viewer, sealed, now, wall) else { return false };
        parse(&text).is_ok() && self.grant.remember_opening(&from.who, tag, now) == OpeningVerdict::New
    }
}

/// Prepares messages, and reads so many of them.
fn play(kind: Kind, count: u64) -> Result<(), Failure> {
    let stage = Stage::new(kind)?;
    let mut messages = (0..ROUNDS).map(|round| stage.prepare(kind, round)).collect::<Result<Vec<_>, _>>()?;
    if kind == Kind::Replay {
        // The same bytes each time; the first time does not count.
        messages = vec![messages[0].clone(); messages.len()];
        black_box(stage.is_accepted(&messages[0], 0));
    }
    for (message, round) in messages.into_iter().zip(0..count) {
        if kind == Kind::Answer {
            black_box(stage.keys.seal_for(&message.0, stage.reply.public(), offer(round).as_bytes())?);
            continue;
        }
        if black_box(stage.is_accepted(&message, round)) != kind.is_accepted() {
            return Err(format!("message {round}: not what was expected").into());
        }
    }
    Ok(())
}

/// The instructions of this program when it plays, by callgrind.
fn instructions(word: &str, count: u64) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["play", word, &count.to_string()])
        .output()
        .map_err(|e| format!("valgrind: {e}; apt install valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    match collected.filter(|_| output.status.success()) {
        Some((_, number)) => Ok(number.trim().parse()?),
        None => Err(format!("{word}: {said}").into()),
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [play_word, word, count] = &*arguments
        && play_word == "play"
    {
        let kind = Kind::ALL.iter().find(|(_, known, _)| known == word).ok_or("no such kind")?.0;
        return play(kind, count.parse()?);
    }
    println!("| message | instructions | at a thousand million a second |\n|---|---|---|");
    for (_, word, what) in Kind::ALL {
        let [none, all] = [instructions(word, 0)?, instructions(word, ROUNDS)?];
        let each = all.saturating_sub(none) / ROUNDS;
        println!("| {what} | {each} | {:.2} ms |", each as f64 / SLOW);
    }
    Ok(())
}
