use std::f32::consts::TAU;

use bytes::Bytes;
use opus::{Application, Encoder};

use super::*;

const DEVICE: Duration = Duration::from_millis(40);
const START: u64 = 1_000;

/// Packets of 20 ms of a tone with an amplitude of a half.
fn tone(hz: f32, packets: usize) -> Vec<Bytes> {
    let mut encoder = Encoder::new(RATE, Channels::Mono, Application::Voip).unwrap();
    encoder.set_inband_fec(true).unwrap();
    encoder.set_packet_loss_perc(10).unwrap();
    let mut out = vec![0; 1_200];
    let mut packet = |n: usize| {
        let block: Vec<f32> =
            (n * 960..(n + 1) * 960).map(|n| (TAU * (hz * n as f32 / 48_000.0).fract()).sin() * 0.5).collect();
        let length = encoder.encode_float(&block, &mut out).unwrap();
        Bytes::copy_from_slice(&out[..length])
    };
    (0..packets).map(&mut packet).collect()
}

fn packet(talker: u64, n: usize, payload: &Bytes, late: u64) -> TalkPacket {
    TalkPacket {
        talker,
        ssrc: 7,
        sequence: n as u16,
        timestamp: n as u32 * 960,
        payload: payload.clone(),
        at: Mono((START + n as u64 * 20 + late) * 1_000_000),
    }
}

/// A device that asks for 10 ms every 10 ms. `packets` are in the order of their arrival.
fn play(renderer: &mut Renderer, rate: u32, packets: &[TalkPacket], until_ms: u64) -> Vec<f32> {
    let (unit, mut heard, mut at) = (rate as usize / 100, Vec::new(), 0);
    for ms in (START..until_ms).step_by(10) {
        let now = Mono(ms * 1_000_000);
        while let Some(packet) = packets.get(at).filter(|packet| packet.at <= now) {
            renderer.take(packet);
            at += 1;
        }
        renderer.render(unit, now, Duration::from_millis(20)).unwrap();
        heard.extend_from_slice(&renderer.ready()[..unit]);
        renderer.taken(unit);
    }
    heard
}

/// The frequency, from the rising zero crossings.
fn hertz(samples: &[f32], rate: u32) -> f32 {
    let up: Vec<usize> = (1..samples.len()).filter(|n| samples[n - 1] < 0.0 && samples[*n] >= 0.0).collect();
    (up.len() - 1) as f32 * rate as f32 / (up[up.len() - 1] - up[0]) as f32
}

#[test]
fn a_tone_keeps_its_pitch_at_every_rate() {
    for rate in [8_000, 16_000, 44_100, 48_000, 96_000] {
        let mut renderer = Renderer::new(rate, DEVICE).unwrap();
        let packets: Vec<_> = tone(400.0, 150).iter().enumerate().map(|(n, p)| packet(1, n, p, 0)).collect();
        let heard = play(&mut renderer, rate, &packets, 5_000);
        let first = heard.iter().position(|sample| sample.abs() > 0.1).unwrap();
        // The target of the jitter buffer is 20 ms, and a packet has 20 ms.
        assert!(first < rate as usize / 10, "{rate} Hz: heard after {first} samples");
        let settled = &heard[rate as usize / 2..rate as usize * 2];
        assert!((hertz(settled, rate) - 400.0).abs() < 4.0, "{rate} Hz: {} Hz", hertz(settled, rate));
        let peak = settled.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
        assert!((0.4..0.6).contains(&peak), "{rate} Hz: {peak}");
        assert!(heard[heard.len() - rate as usize / 2..].iter().all(|sample| sample.abs() < 1e-3), "{rate} Hz");
        assert_eq!((renderer.take_heard(), renderer.take_heard()), (Some(1), None));
        let c = renderer.counters();
        assert_eq!((c.received, c.late, c.lost, c.discarded), (150, 0, 0, 0), "{rate} Hz");
    }
}

#[test]
fn losses_are_bridged_without_a_click() {
    let mut renderer = Renderer::new(48_000, DEVICE).unwrap();
    let payloads = tone(400.0, 150);
    let arrived = |n: &usize| n % 10 != 5;
    let packets: Vec<_> = (0..150).filter(arrived).map(|n| packet(1, n, &payloads[n], 0)).collect();
    let heard = play(&mut renderer, 48_000, &packets, 4_000);
    let c = renderer.counters();
    assert!(c.lost >= 14 && c.concealed + 960 * c.restored > 0, "{c:?}");
    // A tone of 400 Hz has steps of 0.026. A hole in it would have one of up to 0.5.
    let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 0.12, "a step of {step}");
    assert!((hertz(&heard[24_000..96_000], 48_000) - 400.0).abs() < 12.0);
}

#[test]
fn another_talker_begins_anew_and_nothing_clicks() {
    let mut renderer = Renderer::new(48_000, DEVICE).unwrap();
    let (low, high) = (tone(300.0, 50), tone(900.0, 100));
    let mut packets: Vec<_> = low.iter().enumerate().map(|(n, p)| packet(1, n, p, 0)).collect();
    packets.extend(high.iter().enumerate().skip(50).map(|(n, p)| packet(2, n, p, 5)));
    let heard = play(&mut renderer, 48_000, &packets, 3_500);
    assert!((hertz(&heard[14_400..43_200], 48_000) - 300.0).abs() < 5.0);
    assert!((hertz(&heard[60_000..90_000], 48_000) - 900.0).abs() < 9.0);
    let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 0.15, "a step of {step}");
    assert_eq!(renderer.counters().received, 100);
    assert_eq!(renderer.take_heard(), Some(2));
}

#[test]
fn silence_and_nonsense_are_not_heard() {
    let mut renderer = Renderer::new(48_000, DEVICE).unwrap();
    assert!(play(&mut renderer, 48_000, &[], 1_500).iter().all(|sample| *sample == 0.0));
    let mut encoder = Encoder::new(RATE, Channels::Stereo, Application::Audio).unwrap();
    let mut out = [0; 1_200];
    let silence: Vec<_> = (0..50)
        .map(|n| {
            let length = encoder.encode_float(&[0.0; 1_920], &mut out).unwrap();
            packet(1, n, &Bytes::copy_from_slice(&out[..length]), 0)
        })
        .collect();
    play(&mut renderer, 48_000, &silence, 2_500);
    assert_eq!(renderer.take_heard(), None);
    let nonsense: Vec<_> = (0..200).map(|n| packet(2, n, &Bytes::from(vec![n as u8; n % 60]), 0)).collect();
    let heard = play(&mut renderer, 48_000, &nonsense, 6_000);
    assert!(heard.iter().all(|sample| sample.is_finite() && sample.abs() <= 2.0));
}
