//! `status`: presence, from the device and from its Will (section 3). Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Presence, VERSION};
use crate::jose::{Jws, PublicKey};

/// The largest `status` that is looked into, in bytes.
const STATUS_MAX: usize = 4096;

/// Why a device is offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Absence {
    /// The link was cut. The broker publishes this from the Will.
    Lost,
    /// The device stops. It publishes this itself.
    Shutdown,
}

#[derive(Serialize)]
struct Online<'a> {
    v: u32,
    state: &'static str,
    epoch: &'a str,
    conn: u64,
    #[serde(flatten)]
    presence: &'a Presence,
    auth: &'static str,
    version: &'static str,
}

/// `online` in the signed modes: what a viewer needs to speak, and nothing else.
#[derive(Serialize)]
struct SealedOnline<'a> {
    v: u32,
    state: &'static str,
    epoch: &'a str,
    conn: u64,
    nonce: &'a str,
    auth: &'static str,
    seal: &'a PublicKey,
}

#[derive(Serialize)]
struct Offline<'a> {
    v: u32,
    state: &'static str,
    reason: Absence,
    epoch: &'a str,
    conn: u64,
}

/// `online` in the mode `broker`: `epoch` names this start of the daemon, `conn` counts its connections.
pub fn online(epoch: &str, conn: u64, presence: &Presence) -> Bytes {
    let version = env!("CARGO_PKG_VERSION");
    json(&Online { v: VERSION, state: "online", epoch, conn, presence, auth: "broker", version })
}

/// `online` in the mode `auth`, which is a signed one, before it is signed. Viewers seal their messages to `seal`.
pub fn sealed_online(auth: &'static str, epoch: &str, conn: u64, nonce: &str, seal: &PublicKey) -> Bytes {
    json(&SealedOnline { v: VERSION, state: "online", epoch, conn, nonce, auth, seal })
}

/// `offline`, of the same epoch and connection as the `online` it ends.
pub fn offline(reason: Absence, epoch: &str, conn: u64) -> Bytes {
    json(&Offline { v: VERSION, state: "offline", reason, epoch, conn })
}

/// Whether a `status` payload says `offline`. A device that reads this about itself publishes `online` again.
pub fn says_offline(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Seen<'a> {
        #[serde(borrow)]
        state: &'a str,
    }
    let says = |json: &[u8]| serde_json::from_slice::<Seen<'_>>(json).is_ok_and(|seen| seen.state == "offline");
    let signed = std::str::from_utf8(payload).ok().and_then(|text| Jws::parse(text, STATUS_MAX).ok());
    // A device that answers to a forged `offline` only repeats what is so, and therefore checks no signature.
    signed.map_or_else(|| says(payload), |signed| says(signed.unverified_payload()))
}

fn json(status: &impl Serialize) -> Bytes {
    serde_json::to_vec(status).expect("a status holds nothing that JSON cannot say").into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        feed::Health,
        protocol::{Clock, MediaHealth},
    };

    fn parsed(status: &Bytes) -> Value {
        serde_json::from_slice(status).unwrap()
    }

    #[test]
    fn online_says_everything_a_viewer_needs() {
        let presence = Presence {
            media: MediaHealth { video: Health::Ok, audio: Health::Absent },
            viewers: 1,
            max_viewers: 8,
            clock: Clock::Synced,
            nonce: "AAAA".into(),
        };
        let expected = json!({
            "v": 1, "state": "online", "epoch": "e1", "conn": 7, "nonce": "AAAA",
            "media": {"video": "ok", "audio": "absent"}, "viewers": 1, "max_viewers": 8,
            "clock": "synced", "auth": "broker", "version": env!("CARGO_PKG_VERSION"),
        });
        let said = online("e1", 7, &presence);
        assert_eq!(parsed(&said), expected);
        assert!(!says_offline(&said));
    }

    #[test]
    fn offline_says_why() {
        for (reason, word) in [(Absence::Lost, "lost"), (Absence::Shutdown, "shutdown")] {
            let said = offline(reason, "e1", 7);
            assert_eq!(parsed(&said), json!({"v": 1, "state": "offline", "reason": word, "epoch": "e1", "conn": 7}));
            assert!(says_offline(&said));
        }
    }

    #[test]
    fn nonsense_is_not_offline() {
        for payload in [&b""[..], b"offline", b"{}", b"{\"state\":1}", b"\xff"] {
            assert!(!says_offline(payload), "{payload:?}");
        }
    }
}
