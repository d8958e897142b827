//! Capture through the real alsa-lib, from the microphone of `tests/rig/simmic.c`.
//!
//! alsa-lib reads its configuration once per process, from a path in an environment variable. So each test runs in a
//! process of its own: this test binary, started for that one test. A busy machine can delay a reader for longer than
//! the card's buffer lasts. That is an ordinary overrun, and no test treats it as a fault.

use std::{env, fs, path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use super::*;
use crate::audio::{capture::Capture, choose::choose};

pub(super) const CHILD: &str = "FANLIGHT_ALSA_TEST";

/// A test whose process uses the ALSA configuration `$conf`.
macro_rules! with_alsa {
    ($name:ident, $conf:expr, $body:block) => {
        #[test]
        fn $name() {
            match env::var_os(CHILD) {
                Some(_) => $body,
                None => in_a_process_of_its_own(concat!(module_path!(), "::", stringify!($name)), $conf),
            }
        }
    };
}

pub(super) fn in_a_process_of_its_own(test: &str, conf: &str) {
    let dir = tempfile::tempdir().unwrap();
    let asound = dir.path().join("asound.conf");
    let [mic, spk] = plugins().each_ref().map(|plugin| plugin.display());
    let head = format!(
        "</usr/share/alsa/alsa.conf>\npcm_type.simmic {{ lib \"{mic}\" }}\npcm_type.simspk {{ lib \"{spk}\" }}\n"
    );
    fs::write(&asound, head + conf).unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test.split_once("::").unwrap().1, "--nocapture"])
        .env("ALSA_CONFIG_PATH", &asound)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}\n{err}");
    assert!(out.contains("1 passed"), "{out}");
    assert!(!err.contains("ALSA lib"), "alsa-lib wrote to standard error: {err}");
}

/// The plugins, built once next to the test binary.
fn plugins() -> &'static [PathBuf; 2] {
    static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    BUILT.get_or_init(|| ["simmic", "simspk"].map(plugin))
}

fn plugin(name: &str) -> PathBuf {
    let exe = env::current_exe().unwrap();
    let built = exe.with_extension(format!("{name}.so"));
    let half = exe.with_extension(format!("{name}.{}", std::process::id()));
    let source = format!("{}/tests/rig/{name}.c", env!("CARGO_MANIFEST_DIR"));
    let cc = Command::new("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", "-DPIC", &source, "-o"])
        .arg(&half)
        .args(["-lasound", "-lm"])
        .output();
    match cc {
        Ok(cc) => assert!(cc.status.success(), "cc {source}: {}", String::from_utf8_lossy(&cc.stderr)),
        Err(e) => panic!("cc: {e}: a C compiler and libasound2-dev are needed for this test"),
    }
    fs::rename(&half, &built).unwrap();
    built
}

with_alsa!(a_tone_is_captured_with_its_pitch_and_its_time, "pcm.mic { type simmic }", {
    let started = Mono::now();
    let mut sound = Sound::microphone("mic");
    let packets = sound.unbroken(60);
    assert_eq!(sound.out.health(), Health::Ok);
    let received = Mono::now();
    sound.stop();
    let heard = settled(&packets, 1);
    assert!((hertz(&heard) - 1000.0).abs() < 1.0, "{} Hz", hertz(&heard));
    assert!((peak(&heard) - 0.5).abs() < 0.1, "{}", peak(&heard));
    assert!(packets[0].at.0 + 6_500_000 >= started.0 && packets[59].at < received);
    assert!(apart(&packets).abs() < 2.0, "{} ms", apart(&packets));
    assert!(packets[0].ticks.abs_diff((packets[0].at + Duration::from_micros(6_500)).ticks(RATE)) <= 48);
});

with_alsa!(a_packet_comes_as_soon_as_it_is_full, "pcm.mic { type simmic }", {
    let mut sound = Sound::microphone("mic");
    // The median of 40 packets, in the best of a few tries, since a busy machine adds delay.
    let mut median = || {
        let mut ms: Vec<f64> = sound.received(40).iter().map(|(p, came)| (came.0 - p.at.0) as f64 / 1e6).collect();
        ms.sort_by(f64::total_cmp);
        ms[ms.len() / 2]
    };
    let best = (0..8).map(|_| median()).fold(f64::MAX, f64::min);
    sound.stop();
    // 20 ms of sound and 6.5 ms look-ahead. The card wakes us every 10 ms, and a packet has two periods.
    assert!((26.5..31.0).contains(&best), "{best} ms");
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
        // Name, pitch, and the peaks of left and right if two channels are wanted.
        let table = [
            ("cd", 1000.0, 0.5, 0.0),
            ("phone", 440.0, 0.5, 0.5),
            ("array", 1500.0, 0.5, 0.0),
            ("converted", 1000.0, 0.5, 0.0),
        ];
        for (name, pitch, left, right) in table {
            let mut sound = Sound::start(AudioSource::Microphone(name.into()), 2);
            let packets = sound.unbroken(30);
            sound.stop();
            let heard = settled(&packets, 2);
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
    let short = jumps(&packets).into_iter().filter(|jump| (961..9_600).contains(jump)).count();
    assert!(short >= 3, "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(a_late_reader_has_a_true_overrun, "pcm.mic { type simmic }", {
    let mut sound = Sound::microphone("mic");
    let mut packets = sound.packets(20);
    // The whole process is stopped for longer than the card's buffer holds.
    let me = std::process::id();
    let stand_still = format!("kill -STOP {me}; sleep 0.6; kill -CONT {me}");
    assert!(Command::new("sh").args(["-c", &stand_still]).status().unwrap().success());
    packets.extend(sound.packets(40));
    sound.stop();
    let found = jumps(&packets).iter().filter(|jump| (24_000..43_200).contains(*jump)).count();
    assert_eq!(found, 1, "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(drift_is_in_time_and_never_in_ticks, "pcm.mic { type simmic ppm 900 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.unbroken(250);
    sound.stop();
    // 900 ppm of 4.98 s are 4.5 ms.
    assert!((apart(&packets) - 4.5).abs() < 1.5, "{} ms", apart(&packets));
});

with_alsa!(sound_lost_without_an_error_is_a_gap, "pcm.mic { type simmic pause_after_ms 300 pause_ms 400 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(60);
    sound.stop();
    // Of the 400 ms, a part completes the current block as silence. The rest is the jump.
    let found = jumps(&packets).iter().any(|jump| (18_200..19_300).contains(&(jump - BLOCK as u64)));
    assert!(found, "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(a_board_that_slept_goes_on, "pcm.mic { type simmic sleep_after_ms 300 }", {
    let mut sound = Sound::microphone("mic");
    let packets = sound.packets(40);
    sound.stop();
    // One gap is the suspend. A busy machine may have caused others.
    assert!(jumps(&packets).len() <= 3, "{:?}", jumps(&packets));
    assert!(apart(&packets).abs() < 3.0, "{} ms", apart(&packets));
});

with_alsa!(a_stuck_card_is_opened_anew, "pcm.mic { type simmic stall_after_ms 600 }", {
    let mut sound = Sound::microphone("mic");
    let before = sound.packets(5);
    sound.until(Health::Stalled);
    assert_eq!(sound.out.trouble().as_deref(), Some("no samples for 2 s; opening it again"));
    // At most 25 packets from before.
    let after = sound.packets(40);
    sound.until(Health::Ok);
    sound.stop();
    let all = [before, after].concat();
    let long: Vec<u64> = jumps(&all).into_iter().filter(|jump| *jump > 48_000).collect();
    assert!((96_000..144_000).contains(&long[0]), "{:?}", jumps(&all));
    assert!(apart(&all).abs() < 3.0, "{} ms", apart(&all));
});

with_alsa!(a_card_that_gives_nothing_at_all_has_failed, "pcm.mic { type simmic stall_after_ms 1 }", {
    let mut sound = Sound::microphone("mic");
    sound.until(Health::Starting);
    sound.until(Health::Stalled);
    let fault = sound.end().unwrap_err();
    assert_eq!(fault, Fault::Failed("microphone mic: no samples come, even after opening it again".into()));
});

with_alsa!(
    a_source_without_a_clock_is_none,
    r#"
    pcm.!default { type null }
    pcm.nothing { type null }
    pcm.file { type file slave.pcm "nothing" file "/dev/null" infile "/dev/zero" format "raw" }
    pcm.rush { type simmic rush 1 }
    "#,
    {
        let open = |name: &str| Capture::open(name, 1).err().unwrap().to_string();
        for name in ["default", "file"] {
            assert!(open(name).contains("faster than real time"), "{}", open(name));
        }
        // It is not chosen if there is another one,
        let choice = choose(&Audio::default());
        assert!(
            choice.refused[0].why.contains("microphone default: it delivers sound faster than real time"),
            "{choice:?}"
        );
        // and if it is found out only later, it fails before it does harm.
        let mut sound = Sound::microphone("rush");
        let fault = sound.end().unwrap_err().to_string();
        assert!(fault.contains("microphone rush: it delivers sound faster than real time"), "{fault}");
        assert!(sound.out.last_ticks().is_none_or(|last| last <= Mono::now().ticks(RATE) + 24_000));
    }
);

with_alsa!(
    a_driver_that_hangs_is_seen_from_outside,
    "pcm.mic { type simmic hang_after_ms 300 }\npcm.shut { type simmic hangs_at_close 1 }",
    {
        use crate::liveness::{Activity, Helpers};
        for (name, operations) in
            [("mic", &["snd_pcm_readi on mic", "poll on mic"][..]), ("shut", &["snd_pcm_close on shut"])]
        {
            let (out, stop) = (feed::feed(50), Arc::new(std::sync::atomic::AtomicBool::new(false)));
            let activity = Activity::new("audio", Helpers::default(), Mono::now());
            let (writer, told, own) = (out.clone(), Arc::clone(&stop), activity.clone());
            let config = Audio { source: AudioSource::Microphone(name.into()), channels: 1, ..Audio::default() };
            // This call never ends; the process ends with the test.
            thread::spawn(move || {
                let _entered = own.enter();
                run(&config, &writer, &told)
            });
            let mut health = out.watch_health();
            wait(async { health.wait_for(|h| *h == Health::Ok).await.unwrap() });
            stop.store(name == "shut", Ordering::Release);
            let end = std::time::Instant::now() + Duration::from_secs(20);
            loop {
                let seen = activity.seen();
                let hangs = seen.stuck(Mono::now()) > Duration::from_millis(900);
                if hangs && seen.operation.as_deref().is_some_and(|now| operations.contains(&now)) {
                    assert!(seen.has_ticked);
                    break;
                }
                assert!(std::time::Instant::now() < end, "{seen:?}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
);

with_alsa!(
    a_card_that_always_says_that_there_is_something_takes_no_core,
    "pcm.in { type simmic storm \"IN\" }\npcm.err { type simmic storm \"ERR\" }",
    {
        for name in ["in", "err"] {
            let mut sound = Sound::microphone(name);
            sound.packets(10);
            let (cpu, began) = (cpu(), Mono::now());
            let packets = sound.packets(100);
            let (cpu, took) = (self::cpu() - cpu, Mono::now().since(began));
            sound.stop();
            assert!(cpu < took / 2, "{name}: {cpu:?} of the processor in {took:?}");
            assert!(apart(&packets).abs() < 5.0, "{name}: {} ms", apart(&packets));
        }
    }
);

with_alsa!(
    a_card_that_only_says_that_something_is_wrong_is_given_up,
    "pcm.mic { type simmic stall_after_ms 1 storm \"ERR\" }",
    {
        let began = Mono::now();
        let fault = Sound::microphone("mic").end().unwrap_err();
        assert_eq!(fault, Fault::Failed("microphone mic: no samples come, even after opening it again".into()));
        assert!(Mono::now().since(began) < Duration::from_secs(15));
        assert!(cpu() < Mono::now().since(began) / 2, "{:?}", cpu());
    }
);

/// The processor time used by this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

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
    pcm.fast { type simmic rate 1000000 }
    "#,
    {
        let open = |name: &str| Capture::open(name, 1).err().unwrap();
        assert!(
            matches!(open("busy"), Fault::Failed(s) if s.starts_with("microphone busy: open: busy: another program"))
        );
        assert!(matches!(open("shut"), Fault::Failed(s) if s.contains("add this user to the group `audio`")));
        for (name, rate) in [("fast", 1_000_000), ("slow", 2_000)] {
            let expected = format!("microphone {name}: device offers 1 channels at {rate} Hz; 1 to 32 channels at ");
            assert!(matches!(open(name), Fault::Failed(s) if s.starts_with(&expected)));
        }
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
    let packets = sound.unbroken(20);
    sound.stop();
    assert!((hertz(&settled(&packets, 1)) - 700.0).abs() < 1.0);
});

with_alsa!(without_any_microphone_the_sound_is_absent, "pcm.!default { type simmic fails \"EBUSY\" }", {
    let choice = choose(&Audio::default());
    // If this machine has sound cards, one of them may work.
    if choice.taken.is_none() {
        assert_eq!(choice.refused[0].name, "default");
        let fault = Sound::start(AudioSource::Auto, 1).end().unwrap_err();
        let start = "no microphone can be used: microphone default: open: busy";
        assert!(matches!(&fault, Fault::Absent(s) if s.starts_with(start)), "{fault}");
    }
});
