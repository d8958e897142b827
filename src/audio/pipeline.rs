//! The audio pipeline: cuts the samples of any source into blocks, time-stamps and encodes them, and sends them to the
//! feed.

use std::time::Duration;

use tracing::info;

use crate::{
    audio::{
        encoder::{AudioEncoder, BLOCK},
        sample_clock::{RATE, SampleClock},
    },
    clock::Mono,
    config::Audio,
    feed::{AccessUnit, Fault, FeedWriter, Frame, Health},
    meter, rate,
    units::Bitrate,
};

/// The viewers' networks are read once in this many packets, which is one second.
const PLANNING: u64 = 50;

/// The common part of all sources.
pub(super) struct AudioPipeline<'a> {
    out: &'a FeedWriter,
    coder: AudioEncoder,
    delay: Duration,
    bitrate: Bitrate,
    channels: usize,
    sample_clock: SampleClock,
    /// The block being filled, interleaved, and the ticks of its first sample.
    block: Vec<f32>,
    ticks: u64,
    packets: u64,
    faults: FaultCounts,
    reported: Mono,
}

/// Faults since the last report.
#[derive(Debug, Default)]
struct FaultCounts {
    overruns: u32,
    suspends: u32,
    gaps: u32,
    lost: u64,
}

impl<'a> AudioPipeline<'a> {
    /// A pipeline with the configured encoder. Its ticks continue after everything sent to `out` before.
    pub(super) fn new(config: &Audio, out: &'a FeedWriter) -> Result<Self, Fault> {
        let channels = if config.channels == 1 { 1 } else { 2 };
        let mut coder = AudioEncoder::new(channels, config.bitrate, config.fec).map_err(opus_fault)?;
        Ok(Self {
            out,
            delay: coder.delay(),
            coder,
            bitrate: config.bitrate,
            channels,
            sample_clock: SampleClock::new(out.last_ticks().map_or(0, |last| last + BLOCK as u64)),
            block: Vec::with_capacity(BLOCK * channels),
            ticks: 0,
            packets: 0,
            faults: FaultCounts::default(),
            reported: Mono::now(),
        })
    }

    /// The number of channels that `push` takes: 1 or 2.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Packets sent so far.
    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// Sets the health of the source. Each packet sent sets `Ok`.
    pub(super) fn set_health(&self, health: Health) {
        self.out.set_health(health);
    }

    /// Sets a bad health of the source, and the reason.
    pub(super) fn set_trouble(&self, health: Health, why: &str) {
        self.out.set_trouble(health, why);
    }

    /// Starts a run of samples, of which the next one was captured at `at`. Samples lost since the last run become a
    /// gap.
    pub(super) fn begin(&mut self, at: Mono) -> Result<(), Fault> {
        let lost = self.sample_clock.begin(at);
        self.lose(lost)
    }

    /// Reports that the sample `position` (at 48 kHz) after the start of this run was captured at `at`.
    pub(super) fn observe(&mut self, position: f64, at: Mono) -> Result<(), Fault> {
        let lost = self.sample_clock.observe(position, at);
        self.lose(lost)
    }

    /// Counts an overrun of the card's buffer.
    pub(super) fn overrun(&mut self) {
        self.faults.overruns += 1;
    }

    /// Counts a suspend of the card.
    pub(super) fn suspended(&mut self) {
        self.faults.suspends += 1;
    }

    /// Adds interleaved samples at 48 kHz.
    pub(super) fn push(&mut self, mut samples: &[f32]) -> Result<(), Fault> {
        while !samples.is_empty() {
            if self.block.is_empty() {
                self.ticks = self.sample_clock.next();
            }
            let (now, later) = samples.split_at(samples.len().min(self.room()));
            self.block.extend_from_slice(now);
            self.sample_clock.write((now.len() / self.channels) as u64);
            samples = later;
            if self.room() == 0 {
                self.send()?;
            }
        }
        Ok(())
    }

    /// Logs the faults of the last period, if there were any.
    pub(super) fn report(&mut self) {
        let FaultCounts { overruns, suspends, gaps, lost } = std::mem::take(&mut self.faults);
        if overruns + suspends + gaps > 0 {
            let ms = lost * 1000 / u64::from(RATE);
            info!("audio: {overruns} overruns, {suspends} suspends, {gaps} gaps, {ms} ms of sound lost");
        }
    }

    /// How many samples still fit into the block.
    fn room(&self) -> usize {
        BLOCK * self.channels - self.block.len()
    }

    /// Skips `lost` ticks. A block that is partly filled gets silence, so that its samples are not lost too.
    fn lose(&mut self, lost: u64) -> Result<(), Fault> {
        if lost == 0 {
            return Ok(());
        }
        self.faults.gaps += 1;
        self.faults.lost += lost;
        self.sample_clock.write(lost);
        if self.block.is_empty() {
            return Ok(());
        }
        let fill = usize::try_from(lost).unwrap_or(usize::MAX).min(self.room() / self.channels);
        self.block.resize(self.block.len() + fill * self.channels, 0.0);
        if self.room() == 0 { self.send() } else { Ok(()) }
    }

    /// Sets bitrate and FEC by the viewers' bandwidth and loss.
    fn plan(&mut self) -> opus::Result<()> {
        let full = self.out.requests().bitrate().unwrap_or(self.bitrate);
        let now = Mono::now();
        let networks: Vec<_> = self.out.requests().networks().iter().filter_map(|n| n.estimate(now)).collect();
        let (bitrate, loss) = rate::sound(&networks, full);
        self.coder.set_bitrate(bitrate)?;
        self.coder.set_loss(loss)
    }

    fn send(&mut self) -> Result<(), Fault> {
        if self.packets.is_multiple_of(PLANNING) {
            self.plan().map_err(opus_fault)?;
        }
        let packet = self.coder.encode(&self.block).map_err(opus_fault)?;
        self.block.clear();
        let heard = self.sample_clock.at(self.ticks);
        let at = Mono(heard.0.saturating_sub(u64::try_from(self.delay.as_nanos()).unwrap_or(0)));
        self.out.send(Frame { unit: AccessUnit::whole(packet), key: true, level: None, ticks: self.ticks, at });
        self.out.set_health(Health::Ok);
        self.packets += 1;
        if heard.since(self.reported) >= meter::period() {
            self.reported = heard;
            self.report();
        }
        Ok(())
    }
}

fn opus_fault(e: opus::Error) -> Fault {
    Fault::Failed(format!("opus: {e}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::feed::{self, FeedItem, FeedReader};

    const MS: u64 = 1_000_000;

    /// Ticks and time of all packets in the feed.
    fn frames(reader: &mut FeedReader) -> Vec<(u64, u64)> {
        let next = || match reader.next().now_or_never() {
            Some(Some(FeedItem::Frame(f))) => Some((f.ticks, f.at.0)),
            Some(other) => panic!("{other:?}"),
            None => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn pipeline(out: &FeedWriter, channels: u8) -> AudioPipeline<'_> {
        AudioPipeline::new(&Audio { channels, ..Audio::default() }, out).unwrap()
    }

    #[test]
    fn blocks_follow_each_other_whatever_the_pieces() {
        for channels in [1, 2] {
            let out = feed::feed(50);
            let mut reader = out.subscribe();
            let mut pipeline = pipeline(&out, channels);
            pipeline.begin(Mono(1000 * MS)).unwrap();
            for piece in [1, 959, 960, 100, 1_820] {
                pipeline.push(&vec![0.1; piece * usize::from(channels)]).unwrap();
            }
            let expected: Vec<_> = (0..4).map(|n| (48_000 + n * 960, (1000 + n * 20) * MS - 6_500_000)).collect();
            assert_eq!(frames(&mut reader), expected);
            assert_eq!(out.health(), Health::Ok);
        }
    }

    #[test]
    fn a_gap_is_silence_up_to_the_end_of_the_block_and_a_jump_from_there() {
        // Samples pushed, samples lost, and then the ticks of all packets, relative.
        let table: [(usize, u64, &[u64]); 5] = [
            (960, 500, &[0, 1_460, 2_420]),
            (480, 100, &[0, 960]),
            (480, 480, &[0, 960, 1_920]),
            (480, 48_000, &[0, 48_480, 49_440]),
            (0, 48_000, &[0, 960]),
        ];
        for (pushed, lost, expected) in table {
            let out = feed::feed(50);
            let mut reader = out.subscribe();
            let mut pipeline = pipeline(&out, 1);
            pipeline.begin(Mono(1000 * MS)).unwrap();
            pipeline.push(&vec![0.1; pushed]).unwrap();
            let resumed = 1000 * MS + (pushed as u64 + lost) * MS * 125 / 6000 + 1;
            if pushed > 0 {
                pipeline.begin(Mono(resumed)).unwrap();
            }
            pipeline.push(&[0.1; 2_000]).unwrap();
            let ticks: Vec<u64> = frames(&mut reader).iter().map(|f| f.0 - 48_000).collect();
            assert_eq!(ticks, expected, "{pushed} pushed, {lost} lost");
        }
    }

    #[test]
    fn a_new_desk_goes_on_after_the_old_one() {
        let out = feed::feed(50);
        let mut reader = out.subscribe();
        for _ in 0..2 {
            let mut pipeline = pipeline(&out, 1);
            pipeline.begin(Mono(1000 * MS)).unwrap();
            pipeline.push(&[0.1; 1_920]).unwrap();
        }
        let ticks: Vec<u64> = frames(&mut reader).iter().map(|f| f.0 - 48_000).collect();
        assert_eq!(ticks, [0, 960, 1_920, 2_880], "the same time again, and yet never the same ticks");
    }
}
