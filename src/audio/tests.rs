//! Whole audio sources, checked through a decoder.

#[macro_use]
mod cards;
mod speakers;

use std::{
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use opus::{Channels, Decoder};

use super::{encoder::BLOCK, run, sample_clock::RATE};
use crate::{
    clock::Mono,
    config::{Audio, AudioSource},
    feed::{self, Fault, FeedItem, FeedReader, Frame, Health},
};

/// A running source, and what it sends.
struct Sound {
    reader: FeedReader,
    out: feed::FeedWriter,
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
        self.received(n).into_iter().map(|(frame, _)| frame).collect()
    }

    /// The same, with the time at which each came.
    fn received(&mut self, n: usize) -> Vec<(Arc<Frame>, Mono)> {
        wait(async {
            let mut frames = Vec::new();
            while frames.len() < n {
                tokio::select! {
                    next = self.reader.next() => match next {
                        Some(FeedItem::Frame(frame)) => frames.push((frame, Mono::now())),
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

    /// `n` packets without a gap, but not the very first. If a busy machine delays the reader for longer than the
    /// card's buffer lasts, that makes a gap. Before the first two periods, a gap cannot be measured.
    fn unbroken(&mut self, n: usize) -> Vec<Arc<Frame>> {
        self.packets(5);
        for _ in 0..10 {
            let packets = self.packets(n);
            if jumps(&packets).is_empty() {
                return packets;
            }
        }
        panic!("never {n} packets without a gap");
    }

    /// Waits until the source has this health.
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

    /// Stops it, which must not take long.
    fn stop(mut self) {
        let asked = Mono::now();
        self.stop.store(true, Ordering::Release);
        assert_eq!(self.end(), Ok(()));
        let took = Mono::now().since(asked);
        // The daemon ends within 2 s, of which this is a part.
        assert!(took < Duration::from_millis(1500), "{took:?} to stop");
    }
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time") })
}

/// Decodes consecutive packets.
fn decoded(packets: &[Arc<Frame>], channels: usize) -> Vec<f32> {
    let mut decoder = Decoder::new(RATE, if channels == 1 { Channels::Mono } else { Channels::Stereo }).unwrap();
    let mut sound = Vec::new();
    for packet in packets {
        let mut block = vec![0.0; BLOCK * channels];
        assert_eq!(packet.unit.payloads().len(), 1);
        let payload = packet.unit.payloads().next().unwrap();
        assert_eq!(decoder.decode_float(&payload, &mut block, false).unwrap(), BLOCK);
        sound.extend(block);
    }
    sound
}

/// The same without the first 100 ms, since a decoder that starts within a sound needs some time.
fn settled(packets: &[Arc<Frame>], channels: usize) -> Vec<f32> {
    decoded(packets, channels).split_off(5 * BLOCK * channels)
}

/// The pitch of a pure tone, in Hz.
fn hertz(sound: &[f32]) -> f64 {
    // From well below to well above zero, since the codec's noise crosses zero by itself.
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

/// Steps between packets that are not 960 ticks.
fn jumps(packets: &[Arc<Frame>]) -> Vec<u64> {
    packets.windows(2).map(|w| w[1].ticks - w[0].ticks).filter(|n| *n != BLOCK as u64).collect()
}

/// By how many ms ticks and times of the first packet and a later one differ.
fn apart(packets: &[Arc<Frame>]) -> f64 {
    let (first, last) = (&packets[0], &packets[packets.len() - 1]);
    (last.ticks - first.ticks) as f64 / 48.0 - (last.at.0 - first.at.0) as f64 / 1e6
}

#[test]
fn the_tone_is_heard_at_the_whole_second_of_the_wall_clock() {
    let mut sound = Sound::start(AudioSource::Tone, 1);
    let packets = sound.unbroken(60);
    sound.stop();
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
    let packets = sound.unbroken(40);
    sound.stop();
    let heard = settled(&packets, 1);
    assert!((hertz(&heard) - 880.0).abs() < 1.0, "{} Hz", hertz(&heard));
}

/// The cost of a packet: `cargo test --release --lib cost_of_a_packet -- --ignored --nocapture`.
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
        let mut pipeline = super::AudioPipeline::new(&Audio { channels, fec, ..Audio::default() }, &out).unwrap();
        let mut tone = super::tone::Tone::default();
        let mut block = vec![0.0; BLOCK * usize::from(channels)];
        pipeline.begin(Mono::now()).unwrap();
        let start = cpu();
        for n in 0..2_000 {
            tone.render(Duration::from_millis(20 * n), &mut block, usize::from(channels));
            pipeline.push(&block).unwrap();
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
