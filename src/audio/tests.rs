//! Capture through the real alsa-lib, from the microphone of `tests/rig/simmic.c`; and whole sources, heard again
//! through a decoder.
//!
//! alsa-lib reads its configuration once a process, from where an environment variable says: so each test runs in a
//! process of its own, which is this test binary told to run that one test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use opus::{Channels, Decoder};

use super::{choose::choose, coder::BLOCK, run, timeline::RATE};
use crate::{
    clock::Mono,
    config::{Audio, AudioSource},
    feed::{self, Fault, Frame, Health, Next, Reader},
};

const CHILD: &str = "FANLIGHT_ALSA_TEST";

/// A test whose process sees the ALSA configuration `$conf`.
macro_rules! with_alsa {
    ($name:ident, $conf:expr, $body:block) => {
        #[test]
        fn $name() {
            match env::var_os(CHILD) {
                Some(_) => $body,
                None => in_a_process_of_its_own(stringify!($name), $conf),
            }
        }
    };
}

fn in_a_process_of_its_own(test: &str, conf: &str) {
    let dir = tempfile::tempdir().unwrap();
    let asound = dir.path().join("asound.conf");
    let plugin = simmic().display();
    let head = format!("</usr/share/alsa/alsa.conf>\npcm_type.simmic {{ lib \"{plugin}\" }}\n");
    fs::write(&asound, head + conf).unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("audio::tests::{test}"), "--nocapture"])
        .env("ALSA_CONFIG_PATH", &asound)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}");
    assert!(!err.contains("ALSA lib"), "alsa-lib wrote to standard error: {err}");
}

/// The plugin, built once beside the test binary.
fn simmic() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let exe = env::current_exe().unwrap();
        let built = exe.with_extension("simmic.so");
        let half = exe.with_extension(format!("simmic.{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rig/simmic.c");
        let cc = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-DPIC", source, "-o"])
            .arg(&half)
            .args(["-lasound", "-lm"])
            .output();
        match cc {
            Ok(cc) => assert!(cc.status.success(), "cc {source}: {}", String::from_utf8_lossy(&cc.stderr)),
            Err(e) => panic!("cc: {e}: a C compiler and libasound2-dev are needed for this test"),
        }
        fs::rename(&half, &built).unwrap();
        built
    })
}

/// A running source, and what it sends.
struct Sound {
    reader: Reader,
    out: feed::Writer,
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<JoinHandle<Result<(), Fault>>>,
}

impl Sound {
    fn start(source: AudioSource, channels: u8) -> Self {
        let out = feed::feed(2_000);
        let (reader, stop) = (out.subscribe(), Arc::default());
        let (writer, told) = (out.clone(), Arc::clone(&stop));
        let config = Audio { source, channels, ..Audio::default() };
        let thread = Some(thread::spawn(move || run(&config, &writer, &told)));
        Self { reader, out, stop, thread }
    }

    fn microphone(name: &str) -> Self {
        Self::start(AudioSource::Microphone(name.into()), 1)
    }

    /// The next `n` packets; fails after 20 s.
    fn packets(&mut self, n: usize) -> Vec<Arc<Frame>> {
        wait(async {
            let mut frames = Vec::new();
            while frames.len() < n {
                tokio::select! {
                    next = self.reader.next() => match next {
                        Some(Next::Frame(frame)) => frames.push(frame),
                        other => panic!("{other:?}"),
                    },
                    () = tokio::time::sleep(Duration::from_secs(5)) => {
                        panic!("{} packets, {:?}, ended: {}", frames.len(), self.out.health(), self.is_over());
                    }
                }
            }
            frames
        })
    }

    /// Waits until the source is doing as told.
    fn until(&self, wanted: Health) {
        let mut health = self.out.watch_health();
        wait(async { health.wait_for(|h| *h == wanted).await.unwrap() });
    }

    fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// How it ended by itself.
    fn end(&mut self) -> Result<(), Fault> {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Tells it to stop, which it does soon.
    fn stop(mut self) {
        let asked = Mono::now();
        self.stop.store(true, Ordering::Release);
        assert_eq!(self.end(), Ok(()));
        let took = Mono::now().since(asked);
        assert!(took < Duration::from_millis(500), "{took:?} to stop");
    }
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time") })
}

/// Decodes packets that follow each other.
fn decoded(packets: &[Arc<Frame>], channels: usize) -> Vec<f32> {
    let mut decoder = Decoder::new(RATE, if channels == 1 { Channels::Mono } else { Channels::Stereo }).unwrap();
    let mut sound = Vec::new();
    for packet in packets {
        let mut block = vec![0.0; BLOCK * channels];
        assert_eq!(packet.payloads.len(), 1);
        assert_eq!(decoder.decode_float(&packet.payloads[0], &mut block, false).unwrap(), BLOCK);
        sound.extend(block);
    }
    sound
}

/// The pitch of a pure tone.
fn hertz(sound: &[f32]) -> f64 {
    // From well below to well above zero: the codec's noise crosses zero by itself.
    let (edge, mut low, mut up) = (peak(sound) / 4.0, false, Vec::new());
    for (n, s) in sound.iter().enumerate() {
        if *s < -edge {
            low = true;
        } else if *s > edge && std::mem::take(&mut low) {
            up.push(n);
        }
    }
    let (first, last) = (up[0], up[up.len() - 1]);
    (up.len() - 1) as f64 * f64::from(RATE) / (last - first) as f64
}

fn peak(sound: &[f32]) -> f32 {
    sound.iter().fold(0.0, |peak, s| s.abs().max(peak))
}

/// Ticks between packets that are not 960.
fn jumps(packets: &[Arc<Frame>]) -> Vec<u64> {
    packets.windows(2).map(|w| w[1].ticks - w[0].ticks).filter(|n| *n != BLOCK as u64).collect()
}

/// By how many ms ticks and times of the first and a later packet differ.
fn apart(packets: &[Arc<Frame>]) -> f64 {
    let (first, last) = (&packets[0], &packets[packets.len() - 1]);
    (last.ticks - first.ticks) as f64 / 48.0 - (last.at.0 - first.at.0) as f64 / 1e6
}

with_alsa!(a_tone_is_captured_with_its_pitch_and_its_time, "pcm.mic { type simmic }", {
    let started = Mono::now();
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(60);
    assert_eq!(sound.out.health(), Health::Ok);
    let received = Mono::now();
    sound.stop();
    assert_eq!(jumps(&packets), [0_u64; 0]);
    let heard = decoded(&packets[5..], 1);
    assert!((hertz(&heard) - 1000.0).abs() < 1.0, "{} Hz", hertz(&heard));
    assert!((peak(&heard) - 0.5).abs() < 0.1, "{}", peak(&heard));
    assert!(packets[0].at.0 + 6_500_000 >= started.0 && packets[59].at < received);
    assert!(apart(&packets).abs() < 2.0, "{} ms", apart(&packets));
    assert!(packets[0].ticks.abs_diff((packets[0].at + Duration::from_micros(6_500)).ticks(RATE)) <= 48);
});

with_alsa!(
    what_a_card_has_is_taken_and_converted,
    r#"
    pcm.cd { type simmic rate 44100 channels 2 format "S32_LE" }
    pcm.phone { type simmic rate 16000 format "S24_3LE" hz 440 }
    pcm.array { type simmic channels 6 format "FLOAT_LE" hz 1500 }
    pcm.converted { type plug slave.pcm "cd" }
    "#,
    {
        // name, pitch, peaks of left and right if two channels are wanted
        let table = [
            ("cd", 1000.0, 0.5, 0.0),
            ("phone", 440.0, 0.5, 0.5),
            ("array", 1500.0, 0.5, 0.0),
            ("converted", 1000.0, 0.5, 0.0),
        ];
        for (name, pitch, left, right) in table {
            let mut sound = Sound::start(AudioSource::Microphone(name.into()), 2);
            let packets = sound.packets(30);
            sound.stop();
            assert_eq!(jumps(&packets), [0_u64; 0], "{name}");
            let heard = decoded(&packets[5..], 2);
            let one = |c| heard.chunks_exact(2).map(|f| f[c]).collect::<Vec<f32>>();
            assert!((hertz(&one(0)) - pitch).abs() < 1.0, "{name}: {} Hz", hertz(&one(0)));
            for (channel, expected) in [(0, left), (1, right)] {
                let peak = peak(&one(channel));
                assert!((peak - expected).abs() < 0.12, "{name}: peak {peak} in channel {channel}");
            }
        }
        let source = AudioSource::Microphone("converted".into());
        let (_, what) = choose(&Audio { source, ..Audio::default() }).taken.unwrap();
        assert_eq!(what, "microphone converted: 44100 Hz, S16_LE, 1 channel, period 10 of 250 ms");
    }
);

with_alsa!(an_overrun_is_a_gap_in_ticks_and_time_goes_on, "pcm.mic { type simmic xrun_every_ms 400 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(100);
    sound.stop();
    assert!(jumps(&packets).len() >= 3, "{:?}", jumps(&packets));
    assert!(jumps(&packets).iter().all(|jump| (961..9_600).contains(jump)), "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(a_late_reader_has_a_true_overrun, "pcm.mic { type simmic }", {
    let mut sound = Sound::microphone("mic");
    let mut packets = sound.packets(20);
    // The whole process stands still for longer than the card's buffer holds.
    let me = std::process::id();
    let stand_still = format!("kill -STOP {me}; sleep 0.6; kill -CONT {me}");
    assert!(Command::new("sh").args(["-c", &stand_still]).status().unwrap().success());
    packets.extend(sound.packets(40));
    sound.stop();
    assert_eq!(jumps(&packets).len(), 1, "{:?}", jumps(&packets));
    assert!((24_000..43_200).contains(&jumps(&packets)[0]), "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(drift_is_in_time_and_never_in_ticks, "pcm.mic { type simmic ppm 900 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(250);
    sound.stop();
    assert_eq!(jumps(&packets), [0_u64; 0]);
    // 900 ppm of 4.98 s are 4.5 ms.
    assert!((apart(&packets) - 4.5).abs() < 1.5, "{} ms", apart(&packets));
});

with_alsa!(sound_lost_without_an_error_is_a_gap, "pcm.mic { type simmic pause_after_ms 300 pause_ms 400 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(60);
    sound.stop();
    // Of the 400 ms, what completes the block that was begun is silence in it; the rest is the jump.
    let lost: u64 = jumps(&packets).iter().map(|jump| jump - BLOCK as u64).sum();
    assert!((18_200..19_300).contains(&lost), "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(a_board_that_slept_goes_on, "pcm.mic { type simmic sleep_after_ms 300 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(40);
    sound.stop();
    assert!(jumps(&packets).len() <= 1);
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(a_stuck_card_is_opened_anew, "pcm.mic { type simmic stall_after_ms 300 }", {
    let mut sound = Sound::microphone("mic");
    let before = sound.packets(14);
    sound.until(Health::Stalled);
    let after = sound.packets(10);
    assert_eq!(sound.out.health(), Health::Ok);
    sound.stop();
    let all = [before, after].concat();
    assert_eq!(jumps(&all).len(), 1, "{:?}", jumps(&all));
    assert!((96_000..144_000).contains(&jumps(&all)[0]), "{:?}", jumps(&all));
    assert!(apart(&all).abs() < 3.0, "{} ms", apart(&all));
});

with_alsa!(a_card_that_gives_nothing_at_all_has_failed, "pcm.mic { type simmic stall_after_ms 1 }", {
    let mut sound = Sound::microphone("mic");
    sound.until(Health::Starting);
    sound.until(Health::Stalled);
    let fault = sound.end().unwrap_err();
    assert_eq!(fault, Fault::Failed("microphone mic: no sound comes, even after opening it anew".into()));
});

with_alsa!(an_unplugged_card_is_absent, "pcm.mic { type simmic gone_after_ms 300 }", {
    let mut sound = Sound::microphone("mic");
    sound.packets(10);
    assert_eq!(sound.end(), Err(Fault::Absent("microphone mic: unplugged".into())));
});

with_alsa!(
    what_cannot_be_opened_is_told,
    r#"
    pcm.busy { type simmic fails "EBUSY" }
    pcm.shut { type simmic fails "EACCES" }
    pcm.away { type simmic fails "ENODEV" }
    pcm.slow { type simmic rate 2000 }
    "#,
    {
        let open = |name: &str| super::Ear::open(name, 1).err().unwrap();
        assert!(
            matches!(open("busy"), Fault::Failed(s) if s.starts_with("microphone busy: open: busy: another program"))
        );
        assert!(matches!(open("shut"), Fault::Failed(s) if s.contains("add this user to the group `audio`")));
        assert!(
            matches!(open("slow"), Fault::Failed(s) if s == "microphone slow: device offers 1 channels at 2000 Hz")
        );
        for name in ["away", "no-such-name", "hw:CARD=Nowhere,DEV=0"] {
            let fault = open(name);
            assert!(matches!(&fault, Fault::Absent(s) if s.contains(": open: no such device")), "{fault}");
            assert!(fault.to_string().contains("; there "), "{fault}");
        }
        assert!(matches!(open("nul\0"), Fault::Failed(s) if s.ends_with("not a name")));
    }
);

with_alsa!(the_default_is_taken_where_it_works, "pcm.!default { type simmic hz 700 }", {
    let choice = choose(&Audio::default());
    let (source, what) = choice.taken.unwrap();
    assert_eq!(source, AudioSource::Microphone("default".into()));
    assert_eq!(what, "microphone default: 48000 Hz, S16_LE, 1 channel, period 10 of 250 ms");
    let mut sound = Sound::start(AudioSource::Auto, 1);
    let packets = sound.packets(20);
    sound.stop();
    assert!((hertz(&decoded(&packets[5..], 1)) - 700.0).abs() < 1.0);
});

with_alsa!(without_any_microphone_the_sound_is_absent, "pcm.!default { type simmic fails \"EBUSY\" }", {
    let choice = choose(&Audio::default());
    // Where this machine has cards of its own, one of them may do.
    if choice.taken.is_none() {
        assert_eq!(choice.refused[0].name, "default");
        let fault = Sound::start(AudioSource::Auto, 1).end().unwrap_err();
        let start = "no microphone can be used: microphone default: open: busy";
        assert!(matches!(&fault, Fault::Absent(s) if s.starts_with(start)), "{fault}");
    }
});

#[test]
fn the_tone_is_heard_at_the_whole_second_of_the_wall_clock() {
    let mut sound = Sound::start(AudioSource::Tone, 1);
    let packets = sound.packets(60);
    sound.stop();
    assert_eq!(jumps(&packets), [0_u64; 0]);
    assert!(packets.windows(2).all(|w| w[1].at.0 - w[0].at.0 == 20_000_000));
    let heard = decoded(&packets, 1);
    let quiet_before = |n: &usize| peak(&heard[n - 2_400..n - 48]) < 0.1;
    let onset = (2_400..heard.len()).filter(|n| heard[*n].abs() > 0.2).find(quiet_before).unwrap();
    let at = Mono(packets[0].at.0 + onset as u64 * 1_000_000_000 / u64::from(RATE));
    let off = i64::from(at.wall().subsec_nanos());
    let off = off.min(1_000_000_000 - off);
    assert!(off < 2_000_000, "{off} ns off the whole second");
    assert!((hertz(&heard[onset..onset + 2_400]) - 1000.0).abs() < 5.0);
}

#[test]
fn a_file_is_heard_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    for n in 0..2_205 {
        wav.write_sample(((f64::from(n) * 880.0 / 22_050.0 * std::f64::consts::TAU).sin() * 10_000.0) as i16).unwrap();
    }
    wav.finalize().unwrap();
    let mut sound = Sound::start(AudioSource::Clip(path), 1);
    let packets = sound.packets(40);
    sound.stop();
    assert_eq!(jumps(&packets), [0_u64; 0]);
    let heard = decoded(&packets[5..], 1);
    assert!((hertz(&heard) - 880.0).abs() < 1.0, "{} Hz", hertz(&heard));
}

/// What a packet costs: `cargo test --release --lib cost_of_a_packet -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout)]
fn cost_of_a_packet() {
    let cpu = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        t.tv_sec as f64 * 1e3 + t.tv_nsec as f64 / 1e6
    };
    for (channels, fec) in [(1, true), (1, false), (2, true), (2, false)] {
        let out = feed::feed(50);
        let mut desk = super::Desk::new(&Audio { channels, fec, ..Audio::default() }, &out).unwrap();
        let mut tone = super::tone::Tone::default();
        let mut block = vec![0.0; BLOCK * usize::from(channels)];
        desk.begin(Mono::now()).unwrap();
        let start = cpu();
        for n in 0..2_000 {
            tone.render(Duration::from_millis(20 * n), &mut block, usize::from(channels));
            desk.push(&block).unwrap();
        }
        println!("tone and Opus, {channels} channels, fec {fec}: {:.3} ms a packet", (cpu() - start) / 2_000.0);
        let mut resampler = super::resample::Resampler::new(44_100, usize::from(channels)).unwrap();
        let input = vec![0.1; 882 * usize::from(channels)];
        let (mut resampled, start) = (Vec::new(), cpu());
        for _ in 0..2_000 {
            resampled.clear();
            resampler.push(&input, &mut resampled).unwrap();
        }
        println!("44.1 → 48 kHz, {channels} channels: {:.3} ms a packet", (cpu() - start) / 2_000.0);
    }
}
