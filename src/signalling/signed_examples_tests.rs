//! The worked examples of `docs/reference/signed-examples.md`, byte by byte. Everything in them but the signatures is
//! computed here, by the code that the daemon runs, and compared with the document. Signatures have a random number in
//! them, so they are verified. `UPDATE_DOCS=1 cargo test --lib signed_examples` writes the document.
//!
//! `viewer/test/examples.test.ts` holds the same document against a JOSE library of others.

use std::{fmt::Write as _, fs, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    hmac,
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::*;
use crate::{
    config::{self, Id},
    feed::Health,
    grant::{Grant, KeysAccess, Opened, WallClock},
    jose::{PublicKey, SealingKey, SigningKey, Thumbprint, example},
    protocol::{
        Addressee, Clock, IceServers, MediaHealth, OutgoingReply, Reply, RtcIceServer, SessionId, WelcomeDetails,
        WelcomeStatus, compose::compose, contract_tests::check, info, status,
    },
    rights::{Right, Rights},
    trust::{
        LastSeen,
        pairing::{PairOptions, PairOutcome, PairSecret, PairingHandle},
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList, viewer_id},
    },
};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/signed-examples.md");
const NOW: Mono = Mono(600_000_000_000);
const WALL: WallClock = WallClock { now: Duration::from_secs(1_800_000_000), is_synced: true };
const EPOCH: &str = "d2VkbmVzZGF5";
const NAME: &str = "Anna's phone";
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 108\r\n";
const ANSWER: &str = "v=0\r\no=- 3 4 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 108\r\n";

/// The header of a viewer's message.
#[derive(Clone, Serialize)]
struct RequestHeader {
    alg: &'static str,
    typ: &'static str,
    kid: Thumbprint,
    to: String,
    nonce: String,
    reply: PublicKey,
}

/// The header of the board's messages.
#[derive(Serialize)]
struct BoardHeader<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: Thumbprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

/// 32 bytes that everybody can compute: the SHA-256 hash of a text that begins so.
fn value(what: &str) -> [u8; 32] {
    digest(&SHA256, format!("fanlight example: {what}").as_bytes()).as_ref().try_into().unwrap()
}

fn front<const N: usize>(what: &str) -> [u8; N] {
    value(what)[..N].try_into().unwrap()
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The document, and who speaks in it.
struct Examples {
    text: String,
    updates: bool,
    board: Arc<BoardKeys>,
    board_identity: SigningKey,
    viewer: SigningKey,
    reply: SealingKey,
    id: Id,
    device: Id,
    session: SessionId,
    grant: Grant,
    pairing: PairingHandle,
}

impl Examples {
    fn read() -> Self {
        let identity = || example::signing_key(&value("board identity")).unwrap();
        let sealing = example::sealing_key(&value("board sealing key")).unwrap();
        let board = Arc::new(BoardKeys::of_keys(identity(), sealing));
        let viewer = example::signing_key(&value("viewer identity")).unwrap();
        let (device, pairing) = (Id::new("porch").unwrap(), PairingHandle::default());
        let mut list = ViewerList::default();
        let rights = Rights::of([Right::View, Right::Listen]);
        let (key, origin) = (*viewer.public(), EntryOrigin::Listed);
        list.add(ViewerEntry { key, name: NAME.into(), rights, until: None, since: 0, origin }).unwrap();
        // The list is never changed, so nobody needs the other end.
        let following = watch::channel(Arc::new(list)).1;
        let keys = KeysAccess::new(Arc::clone(&board), device.clone(), following, pairing.clone(), LastSeen::default());
        Self {
            text: fs::read_to_string(DOCUMENT).unwrap(),
            updates: std::env::var_os("UPDATE_DOCS").is_some(),
            board,
            board_identity: identity(),
            id: viewer_id(&viewer.public().thumbprint()),
            viewer,
            reply: example::sealing_key(&value("viewer sealing key")).unwrap(),
            device,
            session: SessionId::new(&base64url(front::<16>("session"))).unwrap(),
            grant: Grant::by_keys(keys, &value("boot secret")),
            pairing,
        }
    }

    /// The part of the document with this name. With `UPDATE_DOCS`, it is replaced.
    fn part(&mut self, name: &str, expected: &str) {
        let (begin, end) = (format!("<!-- example: {name} -->\n"), "<!-- end -->");
        let from = self.text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = from + self.text[from..].find(end).unwrap();
        if self.updates {
            self.text.replace_range(from..to, expected);
        } else {
            assert_eq!(&self.text[from..to], expected, "UPDATE_DOCS=1 cargo test --lib signed_examples writes it");
        }
    }

    /// A signed text. The signature is the one of the document, if it is right.
    fn sign(&self, name: &str, by: &SigningKey, header: &impl Serialize, json: &str) -> [String; 3] {
        let written = serde_json::to_string(header).unwrap();
        let input = example::signing_input(&written, json.as_bytes());
        let block = self.text.split(&format!("```text {name}\n")).nth(1).unwrap_or_default();
        let block = block.split("```").next().unwrap_or_default();
        let known = block.lines().find_map(|line| line.strip_prefix("signature = ")).unwrap_or_default();
        if example::is_signed_by(&format!("{input}.{known}"), by.public()) {
            return [written, input, known.to_owned()];
        }
        assert!(self.updates, "{name}: the signature of the document is not by its sender");
        let signed = by.sign(header, json.as_bytes()).unwrap();
        [written, input, signed.rsplit('.').next().unwrap().to_owned()]
    }

    /// A message for everybody: signed.
    fn announced(&mut self, name: &str, typ: &'static str, json: &str) -> String {
        let header = BoardHeader { alg: "ES256", typ, kid: *self.board.thumbprint(), to: None };
        let [header, input, signature] = self.sign(name, &self.board_identity, &header, json);
        let message = format!("{input}.{signature}");
        let block = format!(
            "```text {name}\ntopic = fanlight/v1/porch/{name}\njson = {json}\nheader = {header}\nsigning input = {input}\n\
             signature = {signature}\nmessage = {message}\n```\n"
        );
        self.part(name, &block);
        message
    }

    /// A message for one: signed, and sealed.
    fn sealed(&mut self, name: &str, by_viewer: bool, json: &str) -> String {
        let ([header, input, signature], to, leaf) = if by_viewer {
            let header = RequestHeader {
                alg: "ES256",
                typ: "fanlight-req",
                kid: self.viewer.public().thumbprint(),
                to: self.device.to_string(),
                nonce: self.grant.nonce(NOW),
                reply: *self.reply.public(),
            };
            (self.sign(name, &self.viewer, &header, json), *self.board.sealing().public(), "req")
        } else {
            let (kid, to) = (*self.board.thumbprint(), Some(self.id.as_str()));
            let header = BoardHeader { alg: "ES256", typ: "fanlight-rsp", kid, to };
            (self.sign(name, &self.board_identity, &header, json), *self.reply.public(), "rsp")
        };
        let (ephemeral, iv) = (value(&format!("{name}, ephemeral key")), front::<12>(&format!("{name}, iv")));
        let signed = format!("{input}.{signature}");
        let sealed = example::sealed(&to, signed.as_bytes(), &ephemeral, iv).unwrap();
        let additional = sealed.compact.split('.').next().unwrap();
        let block = format!(
            "```text {name}\ntopic = fanlight/v1/porch/{leaf}/{}\njson = {json}\nheader = {header}\n\
             signing input = {input}\nsignature = {signature}\nephemeral d = {}\njwe header = {}\nz = {}\n\
             kdf input = {}\ncontent key = {}\niv = {}\nadditional data = {additional}\nciphertext = {}\ntag = {}\n\
             message = {}\n```\n",
            self.id,
            example::private_text(&ephemeral),
            sealed.header,
            hex(&sealed.z),
            hex(&sealed.kdf_input),
            hex(&sealed.key),
            hex(&iv),
            sealed.ciphertext,
            hex(&sealed.tag),
            sealed.compact,
        );
        self.part(name, &block);
        sealed.compact
    }

    /// A reply of the board. `json`: how it is written here, which is what the daemon composes.
    fn reply(&mut self, name: &str, json: &str, reply: &Reply, seq: Option<u64>) {
        let composed = compose(reply, Some(&self.session), seq);
        let [read, composed] = [json.as_bytes(), &composed].map(|it| serde_json::from_slice::<Value>(it).unwrap());
        assert_eq!(read, composed, "{name}");
        check(reply_type(&read), &read);
        let message = self.sealed(name, false, json);
        let signed = self.reply.open_exact(&message, message.len()).unwrap();
        assert!(example::is_signed_by(std::str::from_utf8(&signed).unwrap(), self.board.identity()), "{name}");
    }

    /// A request of the viewer that is on the list. The board opens it.
    fn request(&mut self, name: &str, json: &str) {
        let message = self.sealed(name, true, json);
        match self.grant.open(&self.id, &message, NOW, WALL) {
            Ok(Opened::Message { from, text, .. }) => {
                assert_eq!((&from.who, text.as_str()), (&self.id, json));
                assert_eq!(from.reply_key, Some(*self.reply.public()));
            }
            other => panic!("{name}: {other:?}"),
        }
        let read: Value = serde_json::from_str(json).unwrap();
        check(reply_type(&read), &read);
    }
}

fn reply_type(message: &Value) -> &str {
    message["type"].as_str().unwrap()
}

fn keys_table(it: &Examples) -> String {
    let mut table = String::from("| key | private number `d` | point | thumbprint |\n|---|---|---|---|\n");
    for (name, public) in [
        ("board identity", it.board.identity()),
        ("board sealing key", it.board.sealing().public()),
        ("viewer identity", it.viewer.public()),
        ("viewer sealing key", it.reply.public()),
    ] {
        let d = example::private_text(&value(name));
        let _ = writeln!(table, "| {name} | `{d}` | `{public}` | `{}` |", public.thumbprint());
    }
    table
}

/// The two MACs of a pairing: the bytes that they are over, with a visible mark for each zero byte.
fn macs_block(texts: &[[String; 5]; 2], macs: &[String; 2]) -> String {
    let mut block = format!("```text macs\nsecret = {}\n", hex(&front::<16>("secret")));
    for ((side, texts), mac) in ["viewer", "board"].iter().zip(texts).zip(macs) {
        let input: String = texts.iter().map(|text| format!("{text}\0")).collect();
        let _ = writeln!(block, "{side} texts = {}", serde_json::to_string(texts).unwrap());
        let _ = writeln!(block, "{side} input = {}", hex(input.as_bytes()));
        let _ = writeln!(block, "{side} mac = {mac}");
    }
    block + "```\n"
}

#[test]
fn signed_examples_are_what_the_daemon_sends_and_understands() {
    let mut it = Examples::read();
    let table = keys_table(&it);
    it.part("keys", &table);
    announcements(&mut it);
    hello_and_offer(&mut it);
    pairing(&mut it);
    if it.updates {
        fs::write(DOCUMENT, &it.text).unwrap();
    }
}

fn announcements(it: &mut Examples) {
    let config = config::parse(
        "device = \"porch\"\n[broker]\nurl = \"mqtts://b\"\n[access]\nmode = \"keys\"\n",
        std::path::Path::new("example"),
        &config::Surroundings::default(),
    );
    let json =
        format!(r#"{{"v":1,"device":"porch","protocol":[1],"auth":"keys","key":{}}}"#, it.board.identity().to_jwk());
    let sent: Value = serde_json::from_slice(&info::sealed_info(&config.unwrap().config, it.board.identity())).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), sent);
    it.announced("info", "fanlight-info", &json);
    let nonce = it.grant.nonce(NOW);
    let status = status::sealed_online("keys", EPOCH, 7, &nonce, it.board.sealing().public());
    it.announced("status", "fanlight-status", std::str::from_utf8(&status).unwrap());
}

fn hello_and_offer(it: &mut Examples) {
    let (session, nonce) = (it.session.to_string(), it.grant.nonce(NOW));
    it.request("hello", &format!(r#"{{"v":1,"type":"hello","session":"{session}","seq":0}}"#));
    let info = r#"{"v":1,"device":"porch","name":"Front porch","software":"fanlight/0.1.0","protocol":[1],"auth":"keys","features":["offer","request","trickle","restart","renew"],"cameras":[{"id":"main","codecs":["h264"],"sizes":[[1280,720]],"rates":[30]}],"audio":null,"talk":false,"controls":[],"limits":{"viewers":8,"sessions_per_viewer":2,"setups":8,"starts_per_minute":5,"messages_per_second":20,"candidates":24,"restarts_per_minute":6,"session_s":14400,"lease_s":600}}"#;
    let media = MediaHealth { video: Health::Ok, audio: Health::Absent };
    let details = WelcomeDetails {
        status: WelcomeStatus { media, viewers: 0, max_viewers: 8, version: "0.1.0" },
        info: serde_json::from_str(info).unwrap(),
        rights: Rights::of([Right::View, Right::Listen]),
    };
    let json = format!(
        r#"{{"v":1,"type":"welcome","nonce":"{nonce}","clock":"synced","status":{{"media":{{"video":"ok","audio":"absent"}},"viewers":0,"max_viewers":8,"version":"0.1.0"}},"info":{info},"rights":["view","listen"],"session":"{session}"}}"#
    );
    let reply = Reply::Welcome { nonce, clock: Clock::Synced, details: Some(Box::new(details)) };
    it.reply("welcome", &json, &reply, None);

    let sdp = serde_json::to_string(OFFER).unwrap();
    let open = format!(r#"{{"v":1,"type":"offer","session":"{session}","seq":0,"sdp":{sdp}}}"#);
    it.request("offer", &open);
    let reply = Reply::Answer {
        sdp: ANSWER.into(),
        offer_hash: base64url(digest(&SHA256, OFFER.as_bytes())),
        lease_s: 600,
        ice: IceServers {
            ice_servers: vec![RtcIceServer {
                urls: vec!["turn:turn.example.org:3478?transport=udp".into()],
                username: Some("1800001200:porch".into()),
                credential: Some("for-this-viewer".into()),
            }],
            logins_s: None,
        },
    };
    let json = String::from_utf8(compose(&reply, Some(&it.session), Some(0)).to_vec()).unwrap();
    it.reply("answer", &json, &reply, Some(0));
    // What the daemon really sends differs in its random numbers only.
    let to = Addressee { viewer: it.id.clone(), reply_key: Some(*it.reply.public()), correlation: None };
    let sent = OutgoingReply { to, session: Some(it.session.clone()), seq: Some(0), reply };
    let sent = outbound::message(&sent, Some(&it.board)).unwrap().payload;
    let signed = it.reply.open_exact(std::str::from_utf8(&sent).unwrap(), sent.len()).unwrap();
    let input = String::from_utf8(signed).unwrap();
    let input = input.rsplit_once('.').unwrap().0;
    assert!(it.text.contains(&format!("signing input = {input}\n")), "the signed part of the answer");
}

fn pairing(it: &mut Examples) {
    let (board, viewer) = (*it.board.thumbprint(), it.viewer.public().thumbprint());
    let rights = Rights::of([Right::View, Right::Listen]);
    let options = PairOptions { name: None, rights, until: None };
    let secret = PairSecret::new(front("secret"));
    let identity = (board, it.device.clone());
    it.pairing.with(|pairing| pairing.open(NOW, identity, options, secret));

    let texts = ["viewer", "board"].map(|side| {
        [format!("fanlight pair {side}"), board.to_string(), it.device.to_string(), viewer.to_string(), NAME.to_owned()]
    });
    let key = hmac::Key::new(hmac::HMAC_SHA256, &front::<16>("secret"));
    let [of_viewer, of_board] = &texts;
    let mac = |texts: &[String; 5]| {
        let input: String = texts.iter().map(|text| format!("{text}\0")).collect();
        base64url(hmac::sign(&key, input.as_bytes()))
    };
    let macs = [mac(of_viewer), mac(of_board)];
    it.part("macs", &macs_block(&texts, &macs));

    let session = it.session.to_string();
    let json = format!(
        r#"{{"v":1,"type":"pair","session":"{session}","seq":0,"key":"{}","name":"{NAME}","mac":"{}"}}"#,
        it.viewer.public(),
        macs[0]
    );
    let message = it.sealed("pair", true, &json);
    let request = match it.grant.open(&it.id, &message, NOW, WALL) {
        Ok(Opened::Pair(request)) => request,
        other => panic!("pair: {other:?}"),
    };
    assert_eq!((&request.key, request.name.as_str()), (it.viewer.public(), NAME));
    let outcome = PairOutcome { id: it.id.clone(), name: NAME.into(), rights, until: None };
    let paired = it.pairing.with(|pairing| {
        pairing.settle(&viewer, outcome);
        pairing.answer(&viewer, NAME).unwrap()
    });
    assert_eq!(paired.mac, macs[1]);
    let reply = Reply::Paired { name: paired.name, rights, until: None, mac: paired.mac };
    let json = String::from_utf8(compose(&reply, Some(&it.session), None).to_vec()).unwrap();
    it.reply("paired", &json, &reply, None);
}
