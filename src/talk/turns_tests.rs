use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    jitter_buffer::JitterBuffer,
    playout::{IncomingOpus, Playout},
    turns::{TALK_QUEUE, TalkPacket, TalkTurns, Talker},
};
use crate::clock::Mono;

fn ms(n: u64) -> Mono {
    Mono(n * 1_000_000)
}

fn packet(talker: &Talker, bytes: usize, at: u64) -> TalkPacket {
    let payload = Bytes::from(vec![0x78; bytes]);
    TalkPacket { talker: talker.number(), ssrc: 1, sequence: 1, timestamp: 1, payload, at: ms(at) }
}

fn turns() -> (TalkTurns, watch::Receiver<usize>) {
    let wanted = watch::Sender::new(0);
    let seen = wanted.subscribe();
    (TalkTurns::new(wanted), seen)
}

/// 0x78 is 120: neither number is in the text of a packet of such bytes.
#[test]
fn the_text_of_a_packet_has_no_sound() {
    let (turns, _wanted) = turns();
    let packet = packet(&turns.join("anna"), 99, 5);
    let incoming = IncomingOpus { ssrc: 1, sequence: 1, timestamp: 1, payload: &packet.payload };
    let playout = Playout::Decode { payload: packet.payload.to_vec(), samples: 960 };
    let mut buffer = JitterBuffer::default();
    buffer.push(incoming, ms(5));
    for text in [format!("{packet:?}"), format!("{incoming:?}"), format!("{playout:?}"), format!("{buffer:?}")] {
        assert!(!text.contains("120, 120") && !text.contains("xx"), "{text}");
    }
}

#[test]
fn the_first_packet_with_sound_takes_a_free_turn_and_those_of_others_are_dropped() {
    let (turns, wanted) = turns();
    let (anna, bert) = (turns.join("anna"), turns.join("bert"));
    assert!(!anna.push(packet(&anna, 3, 1_000)), "silence takes no turn");
    assert_eq!(*wanted.borrow(), 0);
    assert!(anna.push(packet(&anna, 80, 1_020)) && !bert.push(packet(&bert, 80, 1_030)));
    assert!(anna.push(packet(&anna, 3, 1_040)), "who has the turn may pause");
    assert_eq!(*wanted.borrow(), 1, "the loudspeaker is wanted");
    let mut out = Vec::new();
    assert_eq!(turns.drain(&mut out, ms(1_050)), Some(anna.number()));
    assert_eq!(out.iter().map(|packet| packet.talker).collect::<Vec<_>>(), [anna.number(); 2]);
    drop(anna);
    assert_eq!(turns.drain(&mut out, ms(1_060)), None);
    assert_eq!(*wanted.borrow(), 0);
    assert!(bert.push(packet(&bert, 80, 1_070)) && bert.has_turn());
    let counters = turns.counters();
    assert_eq!((counters.taken, counters.dropped, counters.overflowed), (3, 2, 0));
}

#[test]
fn commands_ask_for_the_turn_and_then_no_packet_does() {
    let (turns, wanted) = turns();
    let (anna, bert) = (turns.join("anna"), turns.join("bert"));
    anna.begin(false, ms(1_000)).unwrap();
    let busy = bert.begin(false, ms(5_000)).unwrap_err();
    assert_eq!((&*busy.name, busy.since), ("anna", Duration::from_secs(4)));
    bert.begin(true, ms(6_000)).unwrap();
    assert!(!anna.has_turn() && bert.has_turn() && !anna.push(packet(&anna, 80, 6_010)));
    bert.end();
    assert!(!anna.push(packet(&anna, 80, 6_020)) && !bert.push(packet(&bert, 80, 6_020)));
    assert_eq!(*wanted.borrow(), 0);
    anna.begin(false, ms(7_000)).unwrap();
    assert!(anna.push(packet(&anna, 80, 7_010)));
    anna.leave();
    assert!(!anna.has_turn() && !anna.push(packet(&anna, 80, 7_020)));
}

#[test]
fn a_silent_talker_loses_the_turn_and_others_get_it_first() {
    let (turns, wanted) = turns();
    let (anna, bert) = (turns.join("anna"), turns.join("bert"));
    // It sends, and the loudspeaker hears nothing in it after 5 s.
    let mut at = 0;
    let mut out = Vec::new();
    while at < 25_000 {
        anna.push(packet(&anna, 80, at));
        let talker = turns.drain(&mut out, ms(at + 1));
        if at < 5_000 {
            turns.heard(talker.unwrap(), ms(at));
        }
        assert_eq!(anna.has_turn(), !(19_980..22_980).contains(&at), "{at}");
        at += 20;
    }
    anna.end();
    assert!(bert.push(packet(&bert, 80, 26_000)));
    // Without packets, the next look takes it.
    assert_eq!(turns.drain(&mut out, ms(40_999)), Some(bert.number()));
    assert_eq!(turns.drain(&mut out, ms(41_000)), None);
    assert_eq!(*wanted.borrow(), 0);
    assert!(!bert.push(packet(&bert, 80, 42_000)), "others come first");
    assert!(bert.push(packet(&bert, 80, 44_000)));
}

#[test]
fn a_flood_is_bounded_and_old_packets_are_left_out() {
    let (turns, _wanted) = turns();
    let anna = turns.join("anna");
    for _ in 0..1_000 {
        anna.push(packet(&anna, 1_500, 1_000));
    }
    assert!(!anna.push(packet(&anna, 1_501, 1_000)));
    let mut out = Vec::new();
    turns.drain(&mut out, ms(1_100));
    assert_eq!((out.len(), turns.counters().overflowed), (TALK_QUEUE, 1_000 - TALK_QUEUE as u64));
    out.clear();
    anna.push(packet(&anna, 80, 1_200));
    anna.push(packet(&anna, 80, 1_700));
    turns.drain(&mut out, ms(1_800));
    assert_eq!(out.len(), 1);
}
