//! `package/examples/turnserver.conf` in a real coturn: its relays reach the internet, and no network that only the
//! server can reach.

use std::{net::IpAddr, path::Path, time::Duration};

use fanlight::{
    config::{IceLogin, IceServer, Secret, Webrtc},
    ice::Ice,
};
use rtc::{
    crypto,
    stun::{
        attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME},
        error_code::ErrorCodeAttribute,
        integrity::MessageIntegrity,
        message::{Getter, Message, MessageType, Setter, TransactionId},
        textattrs::TextAttribute,
    },
    turn::proto::{
        self,
        peeraddr::PeerAddress,
        reqfamily::{self, RequestedAddressFamily},
        reqtrans::RequestedTransport,
    },
};
use tokio::{net::UdpSocket, time::timeout};

use crate::rig::{Turn, logins_of, within};

const SECRET: &str = "north";

/// Nobody may reach these through the relay: at least one of each range, and its edges.
const FORBIDDEN: &[&str] = &[
    "0.0.0.1",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.8",
    "192.168.0.1",
    "192.168.255.254",
    "198.18.0.1",
    "198.19.255.254",
    "224.0.0.251",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:203.0.113.7",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2001:0:1::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::fb",
];
/// Everybody else: somewhere in the internet.
const ALLOWED: &[&str] =
    &["9.9.9.9", "100.128.0.1", "172.32.0.1", "192.167.0.1", "203.0.113.7", "2001:db8::7", "2620:fe::fe"];

/// A client that asks for whatever it likes, as a thief of a login would.
struct Thief {
    socket: UdpSocket,
    user: String,
    password: String,
    realm: String,
    nonce: String,
}

impl Thief {
    async fn with(turn: &Turn, (user, password): &(String, String)) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", turn.port)).await.unwrap();
        Self { socket, user: user.clone(), password: password.clone(), realm: String::new(), nonce: String::new() }
    }

    /// Asks for a relay of this family of addresses.
    async fn allocate(&mut self, family: RequestedAddressFamily) -> Result<(), u16> {
        let udp = RequestedTransport { protocol: proto::PROTO_UDP };
        self.ask(proto::allocate_request(), vec![Box::new(udp), Box::new(family)]).await
    }

    async fn ask(&mut self, kind: MessageType, more: Vec<Box<dyn Setter>>) -> Result<(), u16> {
        // The first one brings realm and nonce, and a nonce may end.
        for _ in 0..3 {
            let provider = crypto::default_provider().unwrap();
            let mut setters: Vec<Box<dyn Setter + '_>> = vec![Box::new(TransactionId::new()), Box::new(kind)];
            let more: Vec<Box<dyn Setter + '_>> = more.iter().map(|setter| Box::new(Again(&**setter)) as _).collect();
            setters.extend(more);
            if !self.nonce.is_empty() {
                let texts = [(ATTR_USERNAME, &self.user), (ATTR_REALM, &self.realm), (ATTR_NONCE, &self.nonce)];
                for (typ, text) in texts {
                    setters.push(Box::new(TextAttribute::new(typ, text.clone())));
                }
                let (user, realm, password) = (self.user.clone(), self.realm.clone(), self.password.clone());
                let integrity =
                    MessageIntegrity::new_long_term_integrity_with_provider(user, realm, password, provider.crypto());
                setters.push(Box::new(integrity.unwrap()));
            }
            let mut request = Message::new();
            request.build(&setters).unwrap();
            let answer = self.answer(&request).await;
            let mut code = ErrorCodeAttribute::default();
            match code.get_from(&answer) {
                Err(_) => return Ok(()),
                Ok(()) if [401, 438].contains(&code.code.0) => {
                    self.realm = TextAttribute::get_from_as(&answer, ATTR_REALM).unwrap().text;
                    self.nonce = TextAttribute::get_from_as(&answer, ATTR_NONCE).unwrap().text;
                }
                Ok(()) => return Err(code.code.0),
            }
        }
        panic!("the server does not take the login");
    }

    async fn answer(&self, request: &Message) -> Message {
        within(20, "an answer of the server", async {
            loop {
                self.socket.send(&request.raw).await.unwrap();
                let mut space = [0; 2048];
                while let Ok(read) = timeout(Duration::from_millis(500), self.socket.recv(&mut space)).await {
                    let mut answer = Message::new();
                    answer.unmarshal_binary(&space[..read.unwrap()]).unwrap();
                    if answer.transaction_id == request.transaction_id {
                        return answer;
                    }
                }
            }
        })
        .await
    }
}

/// A part of a message that is used more than once.
struct Again<'a>(&'a dyn Setter);

impl Setter for Again<'_> {
    fn add_to(&self, m: &mut Message) -> rtc::shared::error::Result<()> {
        self.0.add_to(m)
    }
}

/// A coturn with the packaged file of settings.
async fn packaged() -> Turn {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/package/examples/turnserver.conf"));
    // coturn denies loopback by itself, unless it is allowed: the template has to do it alone.
    Turn::configured(file, &["--static-auth-secret", SECRET]).await
}

/// The user and the password that a board would give to a viewer.
async fn login(turn: &Turn, viewer: &str) -> (String, String) {
    let (ttl, own_ttl) = (Duration::from_secs(600), Duration::from_secs(15_000));
    let login = IceLogin::Made { secret: Secret::new(SECRET), user: None, ttl, own_ttl };
    let server = IceServer { urls: vec![turn.url("udp", "127.0.0.1")], login, ca_file: None };
    let webrtc = Webrtc { ice_servers: vec![server], loopback: true, ..Webrtc::default() };
    let told = Ice::default().for_viewer(&webrtc, &mut logins_of(viewer, 'A')).await.ice_servers.remove(0);
    (told.username.unwrap(), told.credential.unwrap())
}

#[tokio::test]
async fn one_login_gets_few_relays_and_the_next_one_still_gets_its_own() {
    /// `user-quota` of the template.
    const QUOTA: usize = 48;
    let turn = packaged().await;
    let (greedy, other) = (login(&turn, "anna").await, login(&turn, "ben").await);
    let mut held = Vec::new();
    let refused = loop {
        let mut thief = Thief::with(&turn, &greedy).await;
        match thief.allocate(reqfamily::REQUESTED_FAMILY_IPV4).await {
            Ok(()) => held.push(thief),
            Err(code) => break code,
        }
        assert!(held.len() <= QUOTA, "the quota is not kept");
    };
    // 486 is "Allocation Quota Reached" (RFC 8656 section 7.2).
    assert_eq!((held.len(), refused), (QUOTA, 486));
    let allocated = Thief::with(&turn, &other).await.allocate(reqfamily::REQUESTED_FAMILY_IPV4).await;
    assert_eq!(allocated, Ok(()), "another login");
}

#[tokio::test]
async fn the_packaged_coturn_relays_into_no_private_network() {
    let turn = packaged().await;
    for wrong in ["Unknown", "unknown", "Bad configuration", "CONFIG ERROR"] {
        assert!(!turn.log().contains(wrong), "{}", turn.log());
    }
    let login = login(&turn, "anna").await;

    for family in [reqfamily::REQUESTED_FAMILY_IPV4, reqfamily::REQUESTED_FAMILY_IPV6] {
        let v4 = family == reqfamily::REQUESTED_FAMILY_IPV4;
        let mut thief = Thief::with(&turn, &login).await;
        assert_eq!(thief.allocate(family).await, Ok(()));
        for (peers, expected) in [(FORBIDDEN, Err(403)), (ALLOWED, Ok(()))] {
            for peer in peers {
                let ip: IpAddr = peer.parse().unwrap();
                if ip.is_ipv4() == v4 {
                    let peer_address = vec![Box::new(PeerAddress { ip, port: 80 }) as Box<dyn Setter>];
                    let done = thief.ask(proto::create_permission_request(), peer_address).await;
                    assert_eq!(done, expected, "a relay to {peer}");
                }
            }
        }
    }
}
