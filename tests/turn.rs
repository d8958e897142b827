//! Relays by UDP, TCP and TLS, against coturn: two peer connections that meet over one.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use fanlight::{
    config::{IceLogin, IceServer, Login, Secret, Webrtc},
    ice::Ice,
    protocol::{IceServers, Wanted},
    viewer::peer::{Peer, PeerEvent, PeerFactory},
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::rig::{
    FANLIGHT, FaultyAnswer, FaultyTurnServer, Mosquitto, TcpProxy, Turn, address, challenge, error, free_port, login,
    logins_of, within,
};

/// A peer connection and what it tells.
struct End {
    peer: Peer,
    tell: mpsc::Receiver<PeerEvent>,
}

impl End {
    async fn open(webrtc: Webrtc) -> Self {
        let (events, tell) = mpsc::channel(64);
        let wanted = Wanted { video: false, audio: true, talk: false, commands: false };
        let peer = Box::pin(PeerFactory::new(&webrtc, false).unwrap().open("anna", wanted, events)).await.unwrap();
        Self { peer, tell }
    }

    /// The next event; the candidates on the way to it are handed to the other side.
    async fn event(&mut self, other: &Peer) -> PeerEvent {
        loop {
            match within(30, "an event of a peer connection", self.tell.recv()).await.unwrap() {
                PeerEvent::Candidate(candidate) => other.add_candidate(&candidate).await.unwrap(),
                event => return event,
            }
        }
    }

    /// Whether this one, with a relay of its own and nothing else, reaches `viewer`.
    async fn meets(&mut self, viewer: &mut Self) {
        let offer = self.peer.offer(false).await.unwrap();
        let answer = viewer.peer.answer(&offer).await.unwrap();
        self.peer.accept(&answer).await.unwrap();
        while !matches!(self.event(&viewer.peer).await, PeerEvent::Connected) {}
    }
}

/// Loopback of one family, with a relay and nothing else.
fn only(server: IceServer, address: &str) -> Webrtc {
    Webrtc { ice_servers: vec![server], relay_only: true, ..near(address) }
}

fn near(address: &str) -> Webrtc {
    Webrtc { addresses: vec![address.parse().unwrap()], loopback: true, ..Webrtc::default() }
}

#[tokio::test]
async fn a_relay_is_reached_by_udp_by_tcp_and_by_tls_over_both_families() {
    let turn = Turn::start(&[]).await;
    for address in ["127.0.0.1", "::1"] {
        for transport in ["udp", "tcp", "tls"] {
            let host = if address == "::1" && transport != "tls" { "[::1]" } else { "localhost" };
            let server = turn.server(turn.url(transport, host), login("hose"));
            let named = server.urls[0].clone();
            let mut board = End::open(only(server, address)).await;
            // Whatever the way to the server, a relay is of IPv4 where the stack asks for nothing else.
            let mut viewer = End::open(near("127.0.0.1")).await;
            board.meets(&mut viewer).await;
            let route = board.peer.summary().await.route;
            assert!(route.starts_with("relay-") && route.ends_with(&format!("{transport} by {named}")), "{route}");
            board.peer.close().await;
            viewer.peer.close().await;
        }
    }
}

/// Logins made of a secret.
fn made(secret: &str) -> IceLogin {
    let (ttl, own_ttl) = (Duration::from_secs(600), Duration::from_secs(15_000));
    IceLogin::Made { secret: Secret::new(secret), user: Some("garden".into()), ttl, own_ttl }
}

/// The first server that a viewer is told of, as one with a login that it was given.
fn as_given(turn: &Turn, told: IceServers) -> IceServer {
    let told = told.ice_servers.into_iter().next().unwrap();
    let (user, password) = (told.username.unwrap(), Secret::new(told.credential.unwrap()));
    turn.server(told.urls[0].clone(), IceLogin::Fixed(Login { user, password }))
}

#[tokio::test]
async fn logins_made_from_the_secret_are_accepted() {
    let turn = Turn::with(&["--use-auth-secret", "--static-auth-secret", "north"], 2099).await;
    let mut board = End::open(only(turn.server(turn.url("tcp", "127.0.0.1"), made("north")), "127.0.0.1")).await;
    let mut viewer = End::open(near("127.0.0.1")).await;
    board.meets(&mut viewer).await;
    turn.says(":garden>: incoming packet ALLOCATE processed, success", 1).await;
    // Each session of a viewer has a login of its own, and it is as good.
    let config = only(turn.server(turn.url("udp", "127.0.0.1"), made("north")), "127.0.0.1");
    for session in ['A', 'B'] {
        let told = Ice::default().for_viewer(&config, &mut logins_of("anna", session)).await;
        let server = as_given(&turn, told);
        let (found, _) = Ice::default().examine(&only(server, "127.0.0.1"), |_| true).await;
        assert!(found[0].outcome.is_ok(), "{found:?}");
        let part = session.to_string().repeat(8);
        turn.says(&format!(":anna-{part}>: incoming packet ALLOCATE processed, success"), 1).await;
    }
}

#[tokio::test]
async fn logins_of_a_wrong_clock_are_refused_and_the_next_one_after_it_is_set_is_accepted() {
    let turn = Turn::with(&["--use-auth-secret", "--static-auth-secret", "north"], 2099).await;
    let config = only(turn.server(turn.url("udp", "127.0.0.1"), made("north")), "127.0.0.1");
    let wrong = Ice::with_clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(86_400));
    let right = Ice::default();
    let mut logins = logins_of("anna", 'A');
    let told = wrong.for_viewer(&config, &mut logins).await;
    let of_viewer = only(as_given(&turn, told), "127.0.0.1");
    for (ice, config) in [(&wrong, &config), (&right, &of_viewer)] {
        let (found, _) = ice.examine(config, |_| true).await;
        let why = found[0].outcome.as_ref().unwrap_err();
        assert!(why.contains("(401)") && why.contains("this board's clock"), "{why}");
    }
    let told = right.for_viewer(&config, &mut logins).await;
    let of_viewer = only(as_given(&turn, told), "127.0.0.1");
    for config in [&config, &of_viewer] {
        let (found, _) = right.examine(config, |_| true).await;
        assert!(found[0].outcome.is_ok(), "{found:?}");
    }
}

#[tokio::test]
async fn a_relay_is_refreshed_for_as_long_as_it_is_needed() {
    // What takes an hour elsewhere: every second refresh finds that its nonce has ended.
    let turn = Turn::start(&["--stale-nonce=12"]).await;
    let mut board = End::open(only(turn.server(turn.url("tls", "localhost"), login("hose")), "127.0.0.1")).await;
    let mut viewer = End::open(near("127.0.0.1")).await;
    board.meets(&mut viewer).await;
    let refreshed = async {
        for words in ["error 438", "REFRESH processed, success"] {
            while turn.log().matches(words).count() < 2 {
                // Nothing is lost meanwhile: not even for as long as ICE takes to notice.
                if let Ok(Some(event)) = timeout(Duration::from_millis(100), board.tell.recv()).await {
                    assert!(!matches!(event, PeerEvent::IceDisconnected | PeerEvent::IceFailed), "{event:?}");
                }
            }
        }
    };
    within(90, "two refreshes of each kind", refreshed).await;
    assert_eq!(turn.log().matches("ALLOCATE processed, success").count(), 1);
}

#[tokio::test]
async fn a_broken_tcp_connection_to_the_relay_is_made_again() {
    let turn = Turn::start(&[]).await;
    let cable = TcpProxy::to(turn.port).await;
    let server = turn.server(format!("turn:127.0.0.1:{}?transport=tcp", cable.port), login("hose"));
    let mut board = End::open(only(server, "127.0.0.1")).await;
    let mut viewer = End::open(near("127.0.0.1")).await;
    board.meets(&mut viewer).await;
    cable.cut();
    while !matches!(board.event(&viewer.peer).await, PeerEvent::IceDisconnected) {}
    cable.mend();
    let offer = board.peer.offer(true).await.unwrap();
    let answer = viewer.peer.answer(&offer).await.unwrap();
    board.peer.accept(&answer).await.unwrap();
    while !matches!(board.event(&viewer.peer).await, PeerEvent::IceConnected) {}
    assert!(cable.accepted() >= 2);
}

#[tokio::test]
async fn a_server_that_does_not_answer_delays_no_other() {
    let turn = Turn::start(&[]).await;
    // It takes the connection, and then says nothing: neither TURN nor TLS.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let open = |servers: Vec<IceServer>| async {
        let began = Instant::now();
        let mut end = End::open(Webrtc { ice_servers: servers, ..near("127.0.0.1") }).await;
        end.peer.offer(false).await.unwrap();
        loop {
            match within(30, "a relay", end.tell.recv()).await.unwrap() {
                PeerEvent::Candidate(candidate) if candidate.candidate.contains("typ relay") => return began.elapsed(),
                _ => {}
            }
        }
    };
    let good = || turn.server(turn.url("tls", "localhost"), login("hose"));
    let dead = [
        format!("turns:127.0.0.1:{port}"),
        format!("turn:127.0.0.1:{port}?transport=tcp"),
        "turn:no-such-name.invalid".to_owned(),
        "turn:127.0.0.1:9".to_owned(),
    ];
    let dead = dead.map(|url| turn.server(url, login("hose")));
    let (alone, beside) = (open(vec![good()]).await, open([&dead[..], &[good()]].concat()).await);
    // The 200 ms that are promised, and air for a busy machine.
    assert!(beside < alone + Duration::from_millis(600), "{alone:?} alone, {beside:?} beside dead servers");
}

/// Allocate, and the answers to it; Binding, and its good answer.
const ALLOCATE: u16 = 0x0003;
const ALLOCATED: u16 = 0x0103;
const NOT_ALLOCATED: u16 = 0x0113;
const BOUND: u16 = 0x0101;
const RELAYED: u16 = 0x16;
const MAPPED: u16 = 0x20;
const LIFETIME: u16 = 0x0d;

/// What faulty servers answer, with a name for each.
const FAULTY_ANSWERS: [(&str, FaultyAnswer); 7] = [
    ("redirected to another server each time", |kind, _| {
        (kind | 0x0110, vec![error(300), address(0x8023, [127, 0, 0, 1], 9)])
    }),
    ("an error", |kind, _| (kind | 0x0110, vec![error(500)])),
    ("a login is required each time", |kind, _| (kind | 0x0110, challenge())),
    ("a login is asked for with a realm that is not UTF-8", |_, _| {
        (NOT_ALLOCATED, vec![error(401), (0x14, vec![0xff]), (0x15, vec![0xfe])])
    }),
    ("a relay at 0.0.0.0", |_, signed| match signed {
        true => (ALLOCATED, vec![address(RELAYED, [0; 4], 50_000), (LIFETIME, vec![0, 0, 2, 88])]),
        false => (NOT_ALLOCATED, challenge()),
    }),
    ("a relay with lifetime 0", |_, signed| match signed {
        true => (ALLOCATED, vec![address(RELAYED, [127, 0, 0, 1], 50_000), (LIFETIME, vec![0; 4])]),
        false => (NOT_ALLOCATED, challenge()),
    }),
    ("a mapped address of 0.0.0.0", |kind, _| match kind {
        ALLOCATE => (NOT_ALLOCATED, vec![error(500)]),
        _ => (BOUND, vec![address(MAPPED, [0; 4], 9)]),
    }),
];

/// Opens a connection and lets it gather until there is a relay, or for two seconds where there will be none. Returned
/// open, because it still receives what other servers answer.
async fn gathers(peers: &Arc<PeerFactory>, has_relay: bool) -> Peer {
    let (events, mut tell) = mpsc::channel(64);
    let wanted = Wanted { video: false, audio: true, talk: false, commands: false };
    let peer = Box::pin(peers.open("anna", wanted, events)).await.unwrap();
    peer.offer(false).await.unwrap();
    let relay = async {
        while let Some(event) = tell.recv().await {
            if matches!(event, PeerEvent::Candidate(candidate) if candidate.candidate.contains("typ relay")) {
                return;
            }
        }
    };
    let found = timeout(Duration::from_secs(if has_relay { 20 } else { 2 }), relay).await;
    assert_eq!(found.is_ok(), has_relay);
    peer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_badly_is_asked_a_few_times_and_then_left_alone_for_a_while() {
    let turn = Turn::start(&[]).await;
    for (what, answer) in FAULTY_ANSWERS {
        let faulty = FaultyTurnServer::start(answer).await;
        let url = match what {
            "a mapped address of 0.0.0.0" => format!("stun:127.0.0.1:{}", faulty.port),
            _ => format!("turn:127.0.0.1:{}", faulty.port),
        };
        let bad = IceServer { urls: vec![url], login: login("hose"), ca_file: None };
        let good = turn.server(turn.url("udp", "127.0.0.1"), login("hose"));
        let own = turn.server(format!("stun:127.0.0.1:{}", turn.port), IceLogin::None);
        let servers = vec![bad.clone(), own, good];
        let peers = PeerFactory::new(&Webrtc { ice_servers: servers, ..near("127.0.0.1") }, false).unwrap();
        let mut open = Vec::new();
        let left_alone = async {
            loop {
                let before = faulty.asked();
                open.push(gathers(&peers, true).await);
                if before > 0 && faulty.asked() == before {
                    break;
                }
            }
        };
        within(40, &format!("{what}: it is left alone"), left_alone).await;
        // On a busy machine several connections open before the first answer is read.
        let (asked, sessions) = (faulty.asked(), open.len());
        assert!(asked <= 10 * sessions, "{what}: it was asked {asked} times by {sessions} connections");
        for peer in open {
            peer.close().await;
        }
        // A new configuration is tried at once, and where there is no other it is used all the same.
        peers.configure(Webrtc { ice_servers: vec![bad], ..near("127.0.0.1") });
        for _ in 0..2 {
            let before = faulty.asked();
            gathers(&peers, false).await.close().await;
            let asked = faulty.asked() - before;
            assert!((1..=20).contains(&asked), "{what}: it was asked {asked} times where there is no other");
        }
    }
}

#[tokio::test]
async fn each_failure_names_its_step() {
    let turn = Turn::start(&[]).await;
    let old = Turn::with(&["-u", "garden:hose"], 2021).await;
    let broker = Mosquitto::plain().await;
    let (closed, web) = (free_port(), broker.port());
    let with = |url: String| turn.server(url, login("hose"));
    let rows = [
        (with(turn.url("udp", "127.0.0.1")), None),
        (with(turn.url("tcp", "127.0.0.1")), None),
        (with(turn.url("tls", "localhost")), None),
        (turn.server(format!("stun:127.0.0.1:{}", turn.port), IceLogin::None), None),
        (turn.server(turn.url("udp", "127.0.0.1"), login("wrong")), Some("refuses the user or the password (401)")),
        (turn.server(turn.url("tls", "localhost"), login("wrong")), Some("refuses the user or the password (401)")),
        (turn.server(turn.url("tcp", "127.0.0.1"), made("south")), Some("refuses the user or the password (401)")),
        (with(format!("turn:127.0.0.1:{closed}")), Some("no program listens at")),
        (with(format!("turn:127.0.0.1:{closed}?transport=tcp")), Some("connection refused")),
        (with("turn:no-such-name.invalid".into()), Some("look up no-such-name.invalid: no address")),
        (with(format!("turn:127.0.0.1:{web}?transport=tcp")), Some("it closed the connection without an answer")),
        (with(format!("turns:127.0.0.1:{web}")), Some("TLS handshake: ")),
        (
            with(turn.url("tls", "127.0.0.1")),
            Some("certificate is not for 127.0.0.1, it is for DnsName(\"localhost\")"),
        ),
        (old.server(old.url("tls", "localhost"), login("hose")), Some("certificate has expired")),
        (
            IceServer { ca_file: None, ..with(turn.url("tls", "localhost")) },
            Some("an authority this board does not know"),
        ),
    ];
    let servers = rows.iter().map(|(server, _)| server.clone()).collect();
    let config = Webrtc { ice_servers: servers, ..near("127.0.0.1") };
    let (found, faults) = Ice::default().examine(&config, |_| true).await;
    assert!(faults.is_empty(), "{faults:?}");
    for (finding, (_, words)) in found.iter().zip(&rows) {
        match (&finding.outcome, words) {
            (Ok(proof), None) => assert_eq!(proof.but, None, "{finding:?}"),
            (Err(said), Some(words)) => assert!(said.contains(words), "{finding:?}"),
            _ => panic!("{finding:?}, expected {words:?}"),
        }
    }
}

#[tokio::test]
async fn tcp_and_forwarded_addresses_are_offered_if_the_configuration_says_so() {
    let public = vec!["203.0.113.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
    let webrtc = Webrtc { ice_tcp: true, public_addresses: public, ..near("127.0.0.1") };
    let mut end = End::open(webrtc).await;
    let mut told = end.peer.offer(false).await.unwrap();
    loop {
        match within(30, "all candidates", end.tell.recv()).await.unwrap() {
            PeerEvent::Candidate(candidate) => told += &format!("a={}\n", candidate.candidate),
            PeerEvent::GatheringDone => break,
            _ => {}
        }
    }
    let candidates: Vec<_> = told.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    for (transport, address) in
        [("udp", "127.0.0.1"), ("udp", "203.0.113.9"), ("tcp", "127.0.0.1"), ("tcp", "203.0.113.9")]
    {
        let found = candidates.iter().find(|line| line.contains(&format!(" {transport} ")) && line.contains(address));
        let found = found.unwrap_or_else(|| panic!("no {address} by {transport}:\n{told}"));
        assert!(found.contains("typ host") && (transport == "udp" || found.contains("tcptype passive")), "{found}");
    }
    assert!(!told.contains("2001:db8::9"), "there is nothing of that family to forward to");
}

fn check_network(config: &str) -> (String, Option<i32>) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fanlight.toml");
    std::fs::write(&file, config).unwrap();
    let done =
        std::process::Command::new(FANLIGHT).args(["check", "--network", "--config"]).arg(&file).output().unwrap();
    (String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr), done.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_network_prints_one_line_for_each_result() {
    let (turn, broker) = (Turn::start(&[]).await, Mosquitto::plain().await);
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "hose").unwrap();
    let base = |port: u16, urls: &[String], user: &str| {
        format!(
            "device = \"cam\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[access]\nmode = \"broker\"\n\
             the_broker_can_watch = true\n[[webrtc.ice_servers]]\nurls = {urls:?}\nuser = \"{user}\"\n\
             password_file = {password:?}\nca_file = {:?}\n",
            turn.ca
        )
    };
    let urls = [turn.url("udp", "127.0.0.1"), turn.url("tcp", "127.0.0.1"), turn.url("tls", "localhost")];
    let good = base(broker.port(), &urls, "garden");
    let (told, code) = tokio::task::spawn_blocking(move || check_network(&good)).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains(&format!(
            "ok    broker mqtt://127.0.0.1:{}: name, TCP, login, subscribe, publish\n",
            broker.port()
        )),
        "{told}"
    );
    assert_eq!(told.matches("and a message through it came back").count(), 3, "{told}");

    let bad = base(free_port(), &urls, "thief");
    let (told, code) = tokio::task::spawn_blocking(move || check_network(&bad)).await.unwrap();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("does the broker listen on this port?; what works: name\n"), "{told}");
    assert_eq!(told.matches("it refuses the user or the password (401)").count(), 3, "{told}");
}
