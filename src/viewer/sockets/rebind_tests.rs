use super::*;
use crate::viewer::sockets::stun::tests::stun;

const PASSWORD: &str = "the viewer's ICE password";
/// What the transaction IDs of the stack's checks consist of.
const STACK: u8 = 0xee;

/// A step of a test's table, with its time in ms.
enum Step {
    /// The stack sends media to the viewer.
    Media(u64, u16),
    /// The stack sends a consent check to this port; then the port that gets a check of its own, and the last byte of
    /// the transaction ID of that one.
    Check(u64, u16, u8, Option<u16>),
    /// Media or RTCP arrives from this port; then the port that the stack sees.
    Hear(u64, u16, u16),
    /// A signed response to that one arrives from this port; then the port that the stack sees.
    Answer(u64, u16, u8, u16),
    /// The same, with a wrong signature.
    Forged(u64, u16, u8),
}
use Step::{Answer, Check, Forged, Hear, Media};

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn play(steps: &[Step]) -> PeerTracker {
    let start = Instant::now();
    let now = |ms: u64| start + Duration::from_millis(ms);
    let mut tracker = PeerTracker::default();
    for (n, step) in steps.iter().enumerate() {
        match *step {
            Media(ms, to) => {
                let way = tracker.outgoing(at(1), &[128, 102], now(ms));
                assert_eq!(way, Destinations { to: at(to), probe: None }, "step {n}");
            }
            Check(ms, to, transaction, probe) => {
                let way = tracker.outgoing(at(1), &stun(BINDING_REQUEST, STACK, "its own"), now(ms));
                assert_eq!(way, Destinations { to: at(to), probe: probe.map(at) }, "step {n}");
                if probe.is_some() {
                    let check = |id| stun(BINDING_REQUEST, id, "its own");
                    tracker.probed(&check(transaction), &check(STACK));
                }
            }
            Hear(ms, from, told) => {
                let arrival =
                    tracker.incoming(at(from), &[129, 201], SenderClaim::Report, now(ms), || panic!("no answer"));
                assert_eq!(arrival, Arrival { from: at(told), found: None }, "step {n}");
            }
            Answer(ms, from, transaction, told) => {
                let packet = stun(BINDING_SUCCESS, transaction, PASSWORD);
                let arrival =
                    tracker.incoming(at(from), &packet, SenderClaim::Nothing, now(ms), || Some(PASSWORD.to_owned()));
                let found = (told != from).then_some([STACK; 12]);
                assert_eq!(arrival, Arrival { from: at(told), found }, "step {n}");
            }
            Forged(ms, from, transaction) => {
                let packet = stun(BINDING_SUCCESS, transaction, "another");
                let arrival =
                    tracker.incoming(at(from), &packet, SenderClaim::Nothing, now(ms), || Some(PASSWORD.to_owned()));
                assert_eq!(arrival, Arrival { from: at(from), found: None }, "step {n}");
            }
        }
    }
    tracker
}

#[test]
fn a_viewer_that_speaks_from_another_port_is_followed_once_it_proves_itself() {
    let tracker = play(&[
        Media(0, 1),
        Hear(100, 1, 1),
        // The NAT mapping is gone: reports come from another port, and the chosen one is silent.
        Hear(600, 2, 2),
        Check(700, 1, 1, None),
        Check(1200, 1, 2, Some(2)),
        Answer(1250, 2, 2, 1),
        Media(1260, 2),
        Hear(1300, 2, 1),
        Check(1700, 2, 3, None),
        // The port changes again.
        Hear(2000, 3, 3),
        Check(2200, 2, 4, Some(3)),
        Answer(2210, 3, 4, 1),
        Media(2220, 3),
    ]);
    assert_eq!(tracker.moved, Some(at(3)));
}

#[test]
fn nobody_else_is_followed() {
    let tracker = play(&[
        Media(0, 1),
        Hear(1500, 2, 2),
        Forged(1510, 2, 1),
        Check(1600, 1, 1, Some(2)),
        Forged(1610, 2, 1),
        // The right response, from an address that got no check.
        Answer(1620, 9, 1, 9),
        // The response to the stack's own check, which only the viewer's old address got.
        Answer(1625, 2, STACK, 2),
        Media(1630, 1),
        // While the viewer is heard, no other address gets a check.
        Hear(1700, 1, 1),
        Check(2100, 1, 2, None),
        Answer(2110, 2, 2, 2),
        // An address that fell silent gets no check either.
        Check(5000, 1, 3, None),
        Media(5010, 1),
    ]);
    assert_eq!(tracker.moved, None);
}

#[test]
fn one_that_comes_back_is_found_where_it_was() {
    let tracker = play(&[
        Media(0, 1),
        Hear(1000, 2, 2),
        Check(1100, 1, 1, Some(2)),
        Answer(1110, 2, 1, 1),
        Hear(2500, 1, 1),
        Check(2600, 2, 2, Some(1)),
    ]);
    let mut tracker = tracker;
    let packet = stun(BINDING_SUCCESS, 2, PASSWORD);
    let arrival = tracker.incoming(at(1), &packet, SenderClaim::Nothing, Instant::now(), || Some(PASSWORD.to_owned()));
    assert!(arrival.found.is_some() && tracker.moved.is_none());
}

#[test]
fn another_choice_of_the_stack_begins_anew_and_its_servers_are_left_alone() {
    let now = Instant::now();
    let mut tracker = play(&[Media(0, 1), Hear(1000, 2, 2), Check(1100, 1, 1, Some(2)), Answer(1110, 2, 1, 1)]);
    assert_eq!(tracker.outgoing(at(7), &[150], now), Destinations { to: at(7), probe: None });
    assert_eq!(tracker.outgoing(at(1), &[150], now), Destinations { to: at(1), probe: None });
    // ChannelData and STUN to a TURN server are not media, whatever they carry.
    let mut tracker = PeerTracker::default();
    for packet in [&[0x40, 0, 0, 1][..], &stun(BINDING_REQUEST, 1, "")] {
        tracker.outgoing(at(3478), packet, now);
    }
    assert_eq!(tracker.chosen, None);
}

#[test]
fn who_only_sends_rubbish_keeps_nobody_from_being_followed() {
    let start = Instant::now();
    let mut tracker = PeerTracker::default();
    tracker.outgoing(at(1), &[128, 102], start);
    let ms = |ms| start + Duration::from_millis(ms);
    let say = |tracker: &mut PeerTracker, from, claim, now| {
        tracker.incoming(at(from), &[129, 201], claim, now, || panic!("no answer"));
        tracker.outgoing(at(1), &stun(BINDING_REQUEST, 1, "its own"), now).probe
    };
    assert_eq!(say(&mut tracker, 2, SenderClaim::Nothing, ms(1000)), None);
    assert_eq!(say(&mut tracker, 3, SenderClaim::Report, ms(1100)), Some(at(3)));
    // Rubbish and another report change nothing. A signed check does; after it, a report does not.
    for (from, claim, asked) in [
        (4, SenderClaim::Nothing, 3),
        (5, SenderClaim::Report, 3),
        (6, SenderClaim::Signed, 6),
        (7, SenderClaim::Signed, 6),
        (3, SenderClaim::Report, 6),
        (6, SenderClaim::Report, 6),
        (8, SenderClaim::Signed, 6),
    ] {
        assert_eq!(say(&mut tracker, from, claim, ms(1200)), Some(at(asked)), "{from}");
    }
}
