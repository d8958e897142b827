//! Playback through the real alsa-lib, to the loudspeaker of `tests/rig/simspk.c`. Each test runs in a process of its
//! own, as those of `cards.rs` do.

use std::{env, fs, sync::atomic::AtomicBool, time::Duration};

use bytes::Bytes;
use opus::{Application, Encoder};
use tokio::sync::watch;

use super::{
    cards::{CHILD, in_a_process_of_its_own},
    *,
};
use crate::{
    audio::speaker::{self, choose},
    config::{Speaker, SpeakerOutput},
    talk::turns::{TalkPacket, TalkTurns, Talker},
};

/// A running speaker, and one who talks.
struct Room {
    turns: TalkTurns,
    talker: Talker,
    out: feed::FeedWriter,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Fault>>,
    encoder: Encoder,
    sent: u64,
}

impl Room {
    fn start(name: &str) -> Self {
        let turns = TalkTurns::new(watch::Sender::new(0));
        let (talker, out, stop) = (turns.join("anna"), feed::feed(1), Arc::<AtomicBool>::default());
        let (config, of_thread) = (speaker(name), turns.clone());
        let (writer, told) = (out.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || speaker::run(&config, &of_thread, &writer, &told));
        let encoder = Encoder::new(RATE, Channels::Mono, Application::Voip).unwrap();
        Self { turns, talker, out, stop, thread, encoder, sent: 0 }
    }

    /// Talks in real time: 20 ms of a tone of 500 Hz in each packet.
    fn talk(&mut self, packets: u64) {
        let mut out = [0; 1_200];
        let begun = Mono::now();
        for n in 0..packets {
            let first = self.sent * BLOCK as u64;
            let tone = (first..first + BLOCK as u64)
                .map(|n| (std::f32::consts::TAU * (500 * n % 48_000) as f32 / 48_000.0).sin() * 0.5);
            let length = self.encoder.encode_float(&tone.collect::<Vec<_>>(), &mut out).unwrap();
            self.talker.push(TalkPacket {
                talker: self.talker.number(),
                ssrc: 1,
                sequence: self.sent as u16,
                timestamp: first as u32,
                payload: Bytes::copy_from_slice(&out[..length]),
                at: Mono::now(),
            });
            self.sent += 1;
            thread::sleep((begun + Duration::from_millis(20 * (n + 1))).since(Mono::now()));
        }
    }

    fn end(self) -> Result<(), Fault> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

fn speaker(name: &str) -> Speaker {
    Speaker { output: SpeakerOutput::Named(name.into()), ..Speaker::default() }
}

/// The bytes that were played.
fn played() -> Vec<u8> {
    fs::read(env::var("ALSA_CONFIG_PATH").unwrap() + ".raw").unwrap()
}

with_alsa!(an_unplugged_speaker_is_absent, "pcm.spk { type simspk gone_after_ms 300 }", {
    let mut room = Room::start("spk");
    room.talk(50);
    assert_eq!(room.end(), Err(Fault::Absent("speaker spk: unplugged".into())));
});

with_alsa!(a_stuck_speaker_has_failed, "pcm.spk { type simspk stall_after_ms 300 }", {
    let mut room = Room::start("spk");
    room.talk(150);
    let fault = room.end().unwrap_err();
    assert_eq!(fault, Fault::Failed("speaker spk: it takes no samples any more".into()));
});

with_alsa!(a_device_without_a_clock_is_paced_if_it_is_named, "pcm.!default { type null }", {
    let mut room = Room::start("default");
    let begun = Mono::now();
    room.talk(50);
    assert_eq!(room.out.health(), Health::Ok);
    assert_eq!(room.turns.counters().overflowed, 0);
    assert!(Mono::now().since(begun) < Duration::from_secs(5));
    room.end().unwrap();
    let auto = Speaker { output: SpeakerOutput::Auto, ..Speaker::default() };
    let (turns, out) = (TalkTurns::new(watch::Sender::new(0)), feed::feed(1));
    // If this machine has sound cards, one of them may work.
    let stop = AtomicBool::new(true);
    if let Err(fault) = speaker::run(&auto, &turns, &out, &stop) {
        assert!(fault.to_string().contains("speaker default: it has no clock"), "{fault}");
    }
});

with_alsa!(
    what_cannot_be_opened_is_told,
    "pcm.busy { type simspk fails \"EBUSY\" }\npcm.shut { type simspk fails \"EACCES\" }\npcm.spk { type simspk }",
    {
        for (name, part) in [
            ("busy", "speaker busy: open: busy: another program has it"),
            ("shut", "add this user to the group `audio`"),
            ("no-such-name", "speaker no-such-name: open: no such device"),
            ("nul\0", "not a name"),
        ] {
            let choice = choose(&speaker(name));
            assert!(choice.taken.is_none() && choice.reasons().contains(part), "{name}: {}", choice.reasons());
        }
        let (name, what) = choose(&speaker("spk")).taken.unwrap();
        assert_eq!(name, "spk");
        assert_eq!(what, "speaker spk: 48000 Hz, S16_LE, 1 channel, period 10 of 100 ms");
        assert!(played().is_empty(), "nothing was played");
    }
);
