use std::time::Duration;

use super::*;
use crate::viewer::sockets::{
    channel_budget,
    checks::CONSENT,
    rtcp_budget,
    stun::{
        is_mdns_answer,
        tests::{record, signed, stun, unsigned},
    },
};

const OWN: &str = "the own ICE password";
const THEIRS: &str = "the viewer's ICE password";
const USERNAME: u16 = 6;
/// Ten minutes.
const LIFETIME: (u16, &[u8]) = (0x000D, &[0, 0, 2, 88]);

/// A viewer: its password, and the SSRCs of its authentic RTCP.
struct Viewer(Option<&'static str>, Vec<u32>);

impl ViewerIdentity for Viewer {
    fn password(&self) -> Option<String> {
        self.0.map(str::to_owned)
    }

    fn is_authentic(&self, ssrc: u32) -> bool {
        self.1.contains(&ssrc)
    }
}

/// A filter with a local description. Its time stands still unless the test moves it.
struct Scene {
    gate: PacketFilter,
    now: Instant,
    viewer: Viewer,
}

const LOCAL: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

fn check(transaction: u8, name: &[u8], password: &str) -> Vec<u8> {
    signed(BINDING_REQUEST, [transaction; 12], &[(USERNAME, name), (0x0024, &[1, 2, 3, 4])], password)
}

/// RTCP of this SSRC, as long as a report.
fn report(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.resize(40, 0);
    packet
}

impl Scene {
    fn new() -> Self {
        let login = Arc::new(Mutex::new(TokenBucket::new((1e6, 0.0))));
        let mut gate = PacketFilter::new(login, false);
        let now = Instant::now();
        gate.describe("own", OWN, now);
        Self { gate, now, viewer: Viewer(Some(THEIRS), vec![7]) }
    }

    fn take(&mut self, from: SocketAddr, packet: &[u8]) -> Result<(), RefusedReason> {
        self.gate.incoming(LOCAL.into(), Transport::Udp, from, packet, self.now, &self.viewer).0
    }

    fn claim(&mut self, from: SocketAddr, packet: &[u8]) -> SenderClaim {
        self.gate.incoming(LOCAL.into(), Transport::Udp, from, packet, self.now, &self.viewer).1
    }

    fn send(&mut self, to: SocketAddr, packet: &[u8]) -> OutboundVerdict {
        self.gate.outgoing(LOCAL.into(), Transport::Udp, to, packet, self.now)
    }

    /// The viewer proves that it is at this port.
    fn prove(&mut self, port: u16) {
        assert_eq!(self.take(at(port), &check(1, b"own:viewer", OWN)), Ok(()));
    }
}

#[test]
fn a_stranger_gets_nothing_in_whatever_it_sends() {
    let mut scene = Scene::new();
    scene.prove(1);
    let mut refused = 0;
    for first in 0..=255_u8 {
        for length in [1, 2, 12, 13, 20, 40, 1200, 65_507] {
            let mut packet = vec![first; length];
            for second in [0, 201, 96] {
                if let Some(byte) = packet.get_mut(1) {
                    *byte = second;
                }
                assert_eq!(scene.take(at(2), &packet), Err(RefusedReason::Stranger), "{first} {second} {length}");
                refused += 1;
            }
        }
    }
    for packet in [record(22, 100), record(21, 2), record(23, 50), report(7), report(9), vec![0x80; 40]] {
        assert_eq!(scene.take(at(2), &packet), Err(RefusedReason::Stranger), "{packet:?}");
        refused += 1;
    }
    assert_eq!(scene.take(at(2), &[]), Err(RefusedReason::Stranger));
    assert_eq!(scene.gate.refused(), RefusedPackets { strangers: refused + 1, ..RefusedPackets::default() });
    assert_ne!(RefusedPackets { held_back: 0, ..scene.gate.refused() }, RefusedPackets::default());
}

#[test]
fn checks_come_in_if_they_are_for_this_side_and_signed_with_its_password() {
    let mut scene = Scene::new();
    for (n, packet) in [
        check(1, b"own:viewer", THEIRS),
        check(1, b"own:viewer", ""),
        check(1, b"other:viewer", OWN),
        check(1, b"own", OWN),
        check(1, b"ownviewer", OWN),
        check(1, b":own", OWN),
        check(1, b"", OWN),
        signed(BINDING_REQUEST, [1; 12], &[], OWN),
        unsigned(BINDING_REQUEST, [1; 12], &[(USERNAME, b"own:viewer")]),
        // An indication, a response without a request, an error, another method.
        signed(0x0011, [1; 12], &[(USERNAME, b"own:viewer")], OWN),
        signed(BINDING_SUCCESS, [1; 12], &[(USERNAME, b"own:viewer")], THEIRS),
        signed(0x0111, [1; 12], &[(USERNAME, b"own:viewer")], THEIRS),
        signed(0x0003, [1; 12], &[(USERNAME, b"own:viewer")], OWN),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(scene.take(at(1), packet), Err(RefusedReason::Stranger), "{n}");
    }
    let whole = check(1, b"own:viewer", OWN);
    for end in 0..whole.len() {
        assert_eq!(scene.take(at(1), &whole[..end]), Err(RefusedReason::Stranger), "{end}");
    }
    assert_eq!(scene.take(at(1), &record(22, 50)), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(at(1), &whole), Ok(()));
    assert_eq!(scene.take(at(1), &record(22, 50)), Ok(()));
    // After an ICE restart, both descriptions are valid until the next restart.
    scene.gate.describe("newer", "another password", scene.now);
    assert_eq!(scene.take(at(1), &check(2, b"newer:viewer", "another password")), Ok(()));
    assert_eq!(scene.take(at(1), &check(2, b"own:viewer", OWN)), Ok(()));
    scene.gate.describe("newest", "a third password", scene.now);
    assert_eq!(scene.take(at(1), &check(3, b"own:viewer", OWN)), Err(RefusedReason::Stranger));
}

#[test]
fn what_was_not_negotiated_does_not_come_in_even_from_the_viewer() {
    let mut scene = Scene::new();
    scene.prove(1);
    let data = [record(22, 50), record(23, 500)].concat();
    for (packet, expected) in [
        (record(22, 50), Ok(())),
        (record(21, 2), Ok(())),
        (report(7), Ok(())),
        (record(23, 500), Err(RefusedReason::Data)),
        (data, Err(RefusedReason::Data)),
        (vec![0x80; 200], Err(RefusedReason::Media)),
        (vec![0x90, 0xe0, 1, 2], Err(RefusedReason::Media)),
        (report(7)[..21].to_vec(), Err(RefusedReason::Stranger)),
        (vec![0x40, 1, 0, 0], Err(RefusedReason::Stranger)),
        (vec![5; 30], Err(RefusedReason::Stranger)),
    ] {
        assert_eq!(scene.take(at(1), &packet), expected, "{packet:?}");
    }
    assert_eq!(scene.gate.refused(), RefusedPackets { strangers: 3, media: 2, data: 2, ..RefusedPackets::default() });
}

#[test]
fn a_negotiated_data_channel_has_room_for_what_is_read() {
    let mut scene = Scene::new();
    let data = record(23, 1187);
    assert_eq!(scene.send(at(1), &data), OutboundVerdict::HeldBack);
    scene.gate.allow_channel();
    assert_eq!(scene.send(at(1), &data), OutboundVerdict::ToViewer);
    assert_eq!(scene.take(at(1), &data), Err(RefusedReason::Stranger));
    scene.prove(1);
    let flood = |scene: &mut Scene| (0..1000).filter(|_| scene.take(at(1), &data).is_ok()).count();
    assert_eq!(flood(&mut scene), (channel_budget::UNREAD.0 / 1200.0) as usize);
    assert_eq!(scene.take(at(1), &data), Err(RefusedReason::TooMuch));
    assert_eq!(scene.take(at(1), &record(21, 2)), Ok(()), "an alert");
    scene.gate.channel_read(12_000, scene.now);
    assert_eq!(flood(&mut scene), 11);
    // A second negotiation brings no new budget.
    scene.gate.allow_channel();
    assert_eq!(flood(&mut scene), 0);
}

#[test]
fn the_viewer_has_to_prove_itself_again_within_the_time_of_consent() {
    let mut scene = Scene::new();
    scene.prove(1);
    scene.now += CONSENT - Duration::from_secs(1);
    assert_eq!(scene.take(at(1), &report(7)), Ok(()));
    scene.now += Duration::from_secs(2);
    assert_eq!(scene.take(at(1), &report(7)), Err(RefusedReason::Stranger));
    assert_eq!(scene.claim(at(1), &report(7)), SenderClaim::Report);
    assert_eq!(scene.claim(at(1), &report(8)), SenderClaim::Nothing);
    assert_eq!(scene.claim(at(1), &check(2, b"own:viewer", OWN)), SenderClaim::Signed);
    assert_eq!(scene.take(at(1), &report(7)), Ok(()));
}

#[test]
fn an_answer_counts_once_from_where_the_check_went_and_signed_by_the_viewer() {
    let mut scene = Scene::new();
    let own = check(5, b"viewer:own", THEIRS);
    assert_eq!(scene.send(at(1), &own), OutboundVerdict::ToViewer);
    let answer = stun(BINDING_SUCCESS, 5, THEIRS);
    assert_eq!(scene.take(at(2), &answer), Err(RefusedReason::Stranger), "from elsewhere");
    assert_eq!(scene.take(at(1), &stun(BINDING_SUCCESS, 6, THEIRS)), Err(RefusedReason::Stranger), "to nothing");
    assert_eq!(scene.take(at(1), &stun(BINDING_SUCCESS, 5, OWN)), Err(RefusedReason::Stranger), "signed by another");
    assert_eq!(scene.take(at(1), &report(7)), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(at(1), &answer), Ok(()));
    assert_eq!(scene.take(at(1), &answer), Err(RefusedReason::Stranger), "twice");
    assert_eq!(scene.take(at(1), &report(7)), Ok(()));
    // A check of our own goes to another address. Only the response to that one counts there.
    assert_eq!(scene.send(at(1), &own), OutboundVerdict::ToViewer);
    let other = PacketPath { local: LOCAL.into(), transport: Transport::Udp, peer: at(3) };
    assert!(scene.gate.probe(other, &check(9, b"viewer:own", THEIRS), scene.now));
    assert!(!scene.gate.probe(other, &check(8, b"viewer:own", THEIRS), scene.now), "paced like the stack's");
    assert_eq!(scene.take(at(3), &answer), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(at(1), &stun(BINDING_SUCCESS, 9, THEIRS)), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(at(3), &stun(BINDING_SUCCESS, 9, THEIRS)), Ok(()));
    scene.viewer.0 = None;
    assert_eq!(scene.send(at(1), &own), OutboundVerdict::ToViewer);
    assert_eq!(scene.take(at(1), &answer), Err(RefusedReason::Stranger), "no ICE password is known");
}

#[test]
fn signed_checks_are_bounded_in_number_and_in_addresses() {
    let mut scene = Scene::new();
    let good = (1..=300).filter(|port| scene.take(at(*port), &check(1, b"own:viewer", OWN)).is_ok()).count();
    assert_eq!(good, ADDRESSES.0 as usize);
    assert_eq!(scene.gate.refused().too_much, 300 - good as u64);
    // Known senders continue, up to the limit for all.
    let good = (0..1000).filter(|_| scene.take(at(1), &check(1, b"own:viewer", OWN)).is_ok()).count();
    assert_eq!(good, (REQUESTS.0 - ADDRESSES.0) as usize);
    scene.now += Duration::from_secs(1);
    let good = (0..1000).filter(|_| scene.take(at(1), &check(1, b"own:viewer", OWN)).is_ok()).count();
    assert_eq!(good, REQUESTS.1 as usize);
    // Forged packets do not use their budget.
    scene.now += Duration::from_secs(1);
    for _ in 0..1000 {
        assert_eq!(scene.take(at(1), &check(1, b"own:viewer", "forged")), Err(RefusedReason::Stranger));
    }
    assert_eq!(scene.take(at(1), &check(1, b"own:viewer", OWN)), Ok(()));
    // If a NAT moves the viewer now and then, its addresses are accepted, even after hours.
    for port in 400..410 {
        scene.now += Duration::from_secs(21);
        assert_eq!(scene.take(at(port), &check(1, b"own:viewer", OWN)), Ok(()), "{port}");
    }
}

#[test]
fn a_handshake_has_room_and_no_more_than_that() {
    let mut scene = Scene::new();
    scene.prove(1);
    let flight = record(22, 1187);
    let taken = (0..1000).filter(|_| scene.take(at(1), &flight).is_ok()).count();
    assert_eq!(taken, (HANDSHAKE.0 / 1200.0) as usize);
    // The alert that ends a connection still comes in.
    scene.now += Duration::from_secs(5);
    assert_eq!(scene.take(at(1), &record(21, 26)), Ok(()));
}

#[test]
fn forged_reports_neither_fill_the_stack_nor_keep_the_real_ones_out() {
    let mut scene = Scene::new();
    scene.prove(1);
    let mut forged = 0;
    for second in 0..600_u32 {
        for n in 0..1000 {
            forged += u32::from(scene.take(at(1), &report(1_000_000 + second * 1000 + n)).is_ok());
        }
        assert_eq!(scene.take(at(1), &report(7)), Ok(()));
        scene.prove(1);
        scene.now += Duration::from_secs(1);
    }
    assert_eq!(forged, rtcp_budget::SENDERS_IN_ALL);
    // A flood of authentic packets is limited.
    let taken = (0..100_000).filter(|_| scene.take(at(1), &report(7)).is_ok()).count();
    assert_eq!(taken, rtcp_budget::REPORTS.0 as usize);
}

#[test]
fn a_turn_server_hands_on_only_what_would_be_let_in_from_its_peer() {
    let (mut scene, server, peer) = (Scene::new(), at(3478), "192.0.2.1:32853".parse::<SocketAddr>().unwrap());
    let masked: &[u8] = &[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
    let data = |inner: &[u8]| unsigned(DATA, [1; 12], &[(0x0012, masked), (0x0013, inner)]);
    let channel = |inner: &[u8]| {
        let mut packet = vec![0x40, 1];
        packet.extend(u16::try_from(inner.len()).unwrap().to_be_bytes());
        packet.extend(inner);
        packet
    };
    // No request went to this server, so it is a stranger.
    let good = check(1, b"own:viewer", OWN);
    assert_eq!(scene.take(server, &data(&good)), Err(RefusedReason::Stranger));
    let allocate = unsigned(0x0003, [8; 12], &[(0x0019, &[17, 0, 0, 0])]);
    assert_eq!(scene.send(server, &allocate), OutboundVerdict::ToServer);
    // Its responses come in from any of its addresses; other messages do not.
    let relay: &[(u16, &[u8])] = &[(0x0016, masked), LIFETIME];
    assert_eq!(scene.take(at(9), &unsigned(0x0103, [8; 12], relay)), Ok(()));
    assert_eq!(scene.take(server, &unsigned(0x0113, [8; 12], &[])), Ok(()));
    assert_eq!(scene.take(server, &unsigned(0x0103, [9; 12], &[])), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(server, &report(7)), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(server, &data(&report(7))), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(server, &data(&good)), Ok(()));
    assert_eq!(scene.take(server, &data(&report(7))), Ok(()));
    assert_eq!(scene.take(server, &data(&record(23, 9))), Err(RefusedReason::Data));
    // The peer is known through the server, but not directly.
    assert_eq!(scene.take(peer, &report(7)), Err(RefusedReason::Stranger));
    assert_eq!(scene.take(server, &channel(&report(7))), Err(RefusedReason::Stranger), "no such channel");
    let bind = unsigned(CHANNEL_BIND, [8; 12], &[(0x000C, &[0x40, 1, 0, 0]), (0x0012, masked)]);
    assert_eq!(scene.send(server, &bind), OutboundVerdict::ToServer);
    assert_eq!(scene.take(server, &channel(&report(7))), Ok(()));
    assert_eq!(scene.take(server, &channel(&[0x80; 50])), Err(RefusedReason::Media));
    assert_eq!(scene.take(at(9), &channel(&report(7))), Err(RefusedReason::Stranger));
    scene.now += Duration::from_secs(10);
    assert_eq!(scene.take(server, &unsigned(0x0103, [8; 12], &[])), Err(RefusedReason::Stranger), "too late");
}

#[test]
fn checks_through_a_turn_server_are_held_back_like_others() {
    let server = at(3478);
    let own = check(5, b"viewer:own", THEIRS);
    let send = |port: u8| {
        let masked = [0, 1, 0, port, 0xe1, 0x12, 0xa6, 0x43];
        unsigned(SEND, [1; 12], &[(0x0012, &masked), (0x0013, &own)])
    };
    let mut scene = Scene::new();
    let left = (0..100).filter(|n| scene.send(server, &send(*n)) == OutboundVerdict::ToViewer).count();
    assert_eq!(left, 8);
    assert_eq!(scene.gate.refused(), RefusedPackets { held_back: 92, ..RefusedPackets::default() });
    assert_eq!(
        RefusedPackets { held_back: 0, ..scene.gate.refused() },
        RefusedPackets::default(),
        "nothing was refused"
    );
    // Packets that are not checks pass.
    let media = unsigned(SEND, [1; 12], &[(0x0012, &[0, 1, 0, 1, 1, 2, 3, 4]), (0x0013, &[0x80; 30])]);
    assert_eq!(scene.send(server, &media), OutboundVerdict::ToViewer);
    assert_eq!(scene.send(at(1), &report(1)), OutboundVerdict::ToViewer);
    assert_eq!(scene.send(at(1), &record(22, 100)), OutboundVerdict::ToViewer);
    assert_eq!(scene.send(at(1), &record(23, 100)), OutboundVerdict::HeldBack, "no data channels");
    assert_eq!(scene.send(at(1), &stun(BINDING_SUCCESS, 1, OWN)), OutboundVerdict::ToViewer);
    assert_eq!(scene.send(at(1), &own), OutboundVerdict::HeldBack);
}

#[test]
fn no_check_leaves_for_an_address_that_is_nobodys() {
    let mut scene = Scene::new();
    let own = check(5, b"viewer:own", THEIRS);
    for to in ["127.0.0.1:9", "[::1]:9", "224.0.0.251:5353", "0.0.0.0:9", "255.255.255.255:9", "[64:ff9b::7f00:1]:9"] {
        assert_eq!(scene.send(to.parse().unwrap(), &own), OutboundVerdict::HeldBack, "{to}");
    }
    let loopback = [0, 1, 0x21, 0x12, 0x7f ^ 0x21, 0x12, 0xa4, 1 ^ 0x42];
    let relayed = unsigned(SEND, [1; 12], &[(0x0012, &loopback), (0x0013, &own)]);
    assert_eq!(scene.send(at(3478), &relayed), OutboundVerdict::HeldBack);
    assert_eq!(scene.send(at(9), &own), OutboundVerdict::ToViewer);
}

#[test]
fn a_relay_that_is_nowhere_or_the_board_itself_is_no_relay() {
    let mut scene = Scene::new();
    let masked = |ip: [u8; 4], port: u16| {
        let [a, b] = (port ^ 0x2112).to_be_bytes();
        [0, 1, a, b, ip[0] ^ 0x21, ip[1] ^ 0x12, ip[2] ^ 0xa4, ip[3] ^ 0x42]
    };
    assert_eq!(scene.send(at(3478), &unsigned(0x0003, [8; 12], &[])), OutboundVerdict::ToServer);
    for (ip, port, expected) in [
        ([0, 0, 0, 0], 9, Err(RefusedReason::Stranger)),
        ([127, 0, 0, 1], 9, Err(RefusedReason::Stranger)),
        ([224, 0, 0, 1], 9, Err(RefusedReason::Stranger)),
        (LOCAL.0, LOCAL.1, Err(RefusedReason::Stranger)),
        (LOCAL.0, 9, Ok(())),
        ([203, 0, 113, 5], 50_000, Ok(())),
    ] {
        let answer = unsigned(0x0103, [8; 12], &[(0x0016, &masked(ip, port)), LIFETIME]);
        assert_eq!(scene.take(at(3478), &answer), expected, "{ip:?}");
    }
}

#[test]
fn mdns_is_taken_on_its_own_socket_and_nowhere_else() {
    let (from, mut answer) = (SocketAddr::from(([192, 0, 2, 9], 5353)), vec![0; 40]);
    answer[2] = 0x84;
    assert!(is_mdns_answer(from, &answer));
    assert!(!is_mdns_answer(at(1), &answer));
    let mut query = answer.clone();
    query[2] = 0;
    assert!(!is_mdns_answer(from, &query) && !is_mdns_answer(from, &answer[..11]));
    for first in 4..=255 {
        let mut other = answer.clone();
        other[0] = first;
        assert!(!is_mdns_answer(from, &other), "{first}");
    }
    let mut scene = Scene::new();
    assert_eq!(scene.take(from, &check(1, b"own:viewer", OWN)), Err(RefusedReason::Stranger));
}

#[test]
fn all_that_is_remembered_is_bounded() {
    let mut scene = Scene::new();
    for n in 0..5_000_u16 {
        let transaction: Transaction = std::array::from_fn(|i| n.to_be_bytes()[i % 2]);
        let bind =
            unsigned(CHANNEL_BIND, transaction, &[(0x000C, &n.to_be_bytes()), (0x0012, &[0, 1, 0, 1, 1, 2, 3, 4])]);
        scene.send(at(n), &bind);
        scene.send(at(n), &check(1, b"viewer:own", THEIRS));
        scene.take(at(n), &check(1, b"own:viewer", OWN)).ok();
        scene.gate.describe(&n.to_string(), "password", scene.now);
    }
    let gate = &scene.gate;
    assert!(gate.asked.len() <= WAITING && gate.servers.sizes().iter().all(|(size, most)| size <= most));
    assert!(gate.channels.len() <= CHANNELS && gate.own.len() <= DESCRIPTIONS);
}
