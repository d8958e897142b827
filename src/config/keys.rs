//! Every key there is, in one table: the parser takes names, ranges and choices from it, and the reference in
//! `docs/reference/config.md` and the manual page are made of it.

use self::{
    Apply::{Live, Restart},
    Fallback::{Is, Required, Unset},
    Kind::{Choice, Flag, Inner, Number, Pair, Text, Texts},
};

/// One key of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table it stands in: `broker`, `webrtc.ice_servers`; empty for the keys above the first table.
    pub table: &'static str,
    /// Its name, with its unit where it has one: `linger_s`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds where it is not written.
    pub fallback: Fallback,
    /// When a change of it takes effect.
    pub apply: Apply,
    /// What it does.
    pub text: &'static str,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number in this range, in this unit.
    Number(i64, i64, &'static str),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A string; told in words.
    Text(&'static str),
    /// A list of strings; told in words.
    Texts(&'static str),
    /// Two numbers or a word; told in words; and their unit.
    Pair(&'static str, &'static str),
    /// A table or a list of tables; told in words.
    Inner(&'static str),
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// It has to be written.
    Required,
    /// This value, as it would be written.
    Is(&'static str),
    /// Nothing is set; told in words what that means.
    Unset(&'static str),
}

/// When a changed key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// On SIGHUP; nobody who watches is disturbed.
    Live,
    /// On the next start.
    Restart,
}

impl Key {
    /// The full name: `video.fps`.
    pub fn path(&self) -> String {
        if self.table.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.table, self.name) }
    }

    /// What is accepted, as the end of a sentence.
    pub fn accepts(&self) -> String {
        match self.kind {
            Flag => "true or false".into(),
            Number(min, max, _) => format!("a whole number, {min} to {max}"),
            Choice(words) => one_of(words),
            Text(told) | Texts(told) | Pair(told, _) | Inner(told) => told.into(),
        }
    }

    /// The name of the type, for the reference.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Flag => "flag",
            Number(..) => "number",
            Choice(_) | Text(_) => "string",
            Texts(_) => "list of strings",
            Pair(..) => "two numbers",
            Inner(_) => "table",
        }
    }

    /// The unit, for the reference; empty if there is none.
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Number(_, _, unit) | Pair(_, unit) => unit,
            Flag | Choice(_) | Text(_) | Texts(_) | Inner(_) => "",
        }
    }
}

/// The key of that name in that table.
pub fn key(table: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.table == table && key.name == name)
}

/// The tables in the order of the reference; the first is the top of the file.
pub const TABLES: &[&str] =
    &["", "broker", "access", "video", "audio", "webrtc", "webrtc.ice_servers", "limits", "log"];

/// `"a"`, `"b"` or `"c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// What was probably meant: the nearest of `names`, if one is near.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Found by trial: `brokr`, `linger`, `frames` are near, `name` and `fps` are not.
    const NEAR: f64 = 0.8;
    let word = word.to_lowercase();
    names
        .map(|name| (strsim::jaro_winkler(&word, name), name))
        .filter(|(score, _)| *score >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

const fn at(
    table: &'static str,
    name: &'static str,
    kind: Kind,
    fallback: Fallback,
    apply: Apply,
    text: &'static str,
) -> Key {
    Key { table, name, kind, fallback, apply, text }
}

const CA: &str = "an absolute path, such as \"/etc/fanlight/ca.pem\"";
const CERTIFICATE: &str = "an absolute path, such as \"/etc/fanlight/client.pem\"";
const PRIVATE_KEY: &str = "an absolute path, such as \"/etc/fanlight/client.key\"";
const SECRET_FILE: &str = "an absolute path, such as \"/etc/fanlight/password\"";
const SECRET: &str = "an absolute path, such as \"/etc/fanlight/turn-secret\"";
const CREDENTIAL: &str = "the name of a systemd credential (LoadCredential=name:…)";

/// Every key, in the order of the reference.
#[rustfmt::skip] // one key, two lines: a table is read as a table
pub static KEYS: &[Key] = &[
    at("", "device", Text("an id of 1 to 64 characters out of A-Z a-z 0-9 _ -, such as \"garden\""), Required, Restart,
        "This board's id: a level of its MQTT topics, and its MQTT client id. No two boards of one broker may share it."),
    at("", "name", Text("1 to 128 characters in one line"), Unset("the id"), Restart,
        "What a person calls this board; viewers show it."),

    at("broker", "url", Text("\"mqtt://host\", \"mqtts://host\", \"ws://host/path\" or \"wss://host/path\", each with or without \":port\""), Required, Live,
        "Where the MQTT broker is, and how it is reached: TCP, TLS, WebSocket, or WebSocket over TLS. Ports, where none is written: 1883, 8883, 80, 443. Secrets do not belong into it."),
    at("broker", "version", Choice(&["5", "3.1.1"]), Is("\"5\""), Live,
        "The MQTT version. With 3.1.1 messages do not expire, so a viewer may find an old `status`."),
    at("broker", "user", Text("1 to 256 characters in one line"), Unset("no login"), Live,
        "The login name."),
    at("broker", "password_file", Text(SECRET_FILE), Unset("no password"), Live,
        "A file that holds the password and nothing else, at most 4 KiB; one line end after it is ignored. It should be readable by the daemon only."),
    at("broker", "password_credential", Text(CREDENTIAL), Unset("no password"), Live,
        "The systemd credential that holds the password; instead of `password_file`."),
    at("broker", "ca_file", Text(CA), Unset("the system's roots"), Live,
        "PEM file with the certificate authorities that may vouch for the broker; the system's are not asked then."),
    at("broker", "certificate_file", Text(CERTIFICATE), Unset("no client certificate"), Live,
        "PEM file with the client certificate and the certificates between it and its root; goes with `key_file`."),
    at("broker", "key_file", Text(PRIVATE_KEY), Unset("no client certificate"), Live,
        "PEM file with the private key of `certificate_file`."),
    at("broker", "alpn", Texts("a list of at most 8 names, each of 1 to 255 characters, such as [\"mqtt\"]"), Is("[]"), Live,
        "ALPN protocol names offered in TLS, for brokers that share port 443 with others (AWS IoT: `[\"x-amzn-mqtt-ca\"]`)."),
    at("broker", "root", Text("topic levels without +, # and empty ones, at most 128 characters, such as \"fanlight/v1\""), Is("\"fanlight/v1\""), Restart,
        "The first levels of every topic."),
    at("broker", "keep_alive_s", Number(5, 1200, "s"), Is("30"), Live,
        "MQTT keep-alive: the broker tells the world that this board is lost about one and a half times this after the link broke."),

    at("access", "mode", Choice(&["broker"]), Required, Restart,
        "Who decides who may watch. `broker`: the broker's access list does; whoever controls the broker could watch."),
    at("access", "the_broker_can_watch", Flag, Required, Restart,
        "Has to be `true` with the mode `broker`, so that nobody chooses it unknowingly. The link has to be TLS, or the broker on this board."),

    at("video", "source", Text("\"auto\", \"/dev/video0\" or another node, \"test\", \"clip:/path/file.mjpeg\" (.h264, .mjpeg, .y4m) or \"off\""), Is("\"auto\""), Restart,
        "Where the picture comes from. `auto`: the first camera that can be used. A path: this V4L2 node; `/dev/v4l/by-id/…` stays the same after replugging. `test`: a moving test picture with a clock. `clip:`: a file, round and round. `off`: none."),
    at("video", "format", Choice(&["auto", "yuyv", "uyvy", "nv12", "yu12", "mjpeg", "h264"]), Is("\"auto\""), Restart,
        "What the camera is asked for. `auto`: the cheapest it offers at this size and rate. `h264`: passed through as the camera coded it."),
    at("video", "size", Text("\"WIDTHxHEIGHT\" in pixels, both even and 64 to 4096, such as \"1280x720\""), Is("\"1280x720\""), Restart,
        "The size of the picture; a camera that does not offer it gives its nearest."),
    at("video", "fps", Number(1, 120, "1/s"), Is("30"), Restart,
        "Frames per second; a camera that does not offer it gives its nearest."),
    at("video", "encoder", Choice(&["auto", "software", "hardware"]), Is("\"auto\""), Restart,
        "What codes the picture. `auto`: the board's H.264 encoder, where `fanlight probe` finds one and it works, or else the processor. `software`: the processor. `hardware`: the board's encoder and nothing else. Without effect where the picture comes coded."),
    at("video", "openh264_library", Text("an absolute path"), Unset("the OpenH264 that is compiled in"), Restart,
        "Where the processor codes: Cisco's own binary of OpenH264 (2.6.0 for Linux and this processor), fetched from Cisco and unpacked; `docs/reference/licences.md` tells what that is good for. Any other file is refused."),
    at("video", "bitrate_kbps", Number(50, 50_000, "kbit/s"), Is("2000"), Live,
        "What the encoder aims at, at most: it makes less of the picture where the viewers' networks carry less. Without effect where the camera codes and its driver has no such control."),
    at("video", "floor_percent", Number(0, 100, "%"), Is("33"), Live,
        "One viewer's network lowers the picture of the others to this share of `bitrate_kbps` at most. A viewer whose network carries less gets key frames only, as long as at least as many other viewers carry more. 0: the picture is made for the weaker one of two viewers, whatever its network carries."),
    at("video", "key_interval_s", Number(1, 600, "s"), Is("10"), Restart,
        "Longest time between two key frames. They also come when a viewer joins or needs one, so there is little reason to shorten it."),
    at("video", "clock", Flag, Is("false"), Restart,
        "Draws a clock that machines can read into every encoded frame, to measure the delay from camera to screen. The test picture always has it."),
    at("video", "linger_s", Number(0, 3600, "s"), Is("10"), Live,
        "How long the camera stays on after the last viewer left."),
    at("video", "controls", Inner("at most 64 names with a whole number, true or false each, such as brightness = 128"), Is("{}"), Restart,
        "V4L2 controls set when the camera is opened, by the names that `fanlight probe` prints."),

    at("audio", "source", Text("\"auto\", \"default\" or another ALSA name, \"tone\", \"clip:/path/file.wav\" or \"off\""), Is("\"auto\""), Restart,
        "Where the sound comes from. `auto`: the first capture device that can be used. A name: this ALSA device, as `fanlight probe` prints it; `plughw:CARD=…` stays the same after replugging. `tone`: a test tone. `clip:`: a file, round and round. `off`: none."),
    at("audio", "channels", Number(1, 2, ""), Is("1"), Restart,
        "1: mono, 2: stereo."),
    at("audio", "bitrate_kbps", Number(6, 510, "kbit/s"), Is("48"), Restart,
        "What Opus aims at; less where a viewer's network is weak."),
    at("audio", "fec", Flag, Is("true"), Restart,
        "Sends each packet's essence again in the next one, so that a lost packet is hardly heard."),
    at("audio", "linger_s", Number(0, 3600, "s"), Is("10"), Live,
        "How long the microphone stays on after the last viewer left."),

    at("webrtc", "relay_only", Flag, Is("false"), Live,
        "Uses nothing but TURN relays, so that viewers never learn this board's addresses. Needs a `turn:` server. Holds for sessions from then on."),
    at("webrtc", "ports", Pair("[first, last], both 1024 to 65535, or \"any\"", "UDP port"), Is("\"any\""), Live,
        "The UDP ports media may use, for firewalls; each session needs one for each of the board's addresses. Holds for sessions from then on."),
    at("webrtc", "ipv4", Flag, Is("true"), Live,
        "Whether IPv4 is used. Holds for sessions from then on."),
    at("webrtc", "ipv6", Flag, Is("true"), Live,
        "Whether IPv6 is used. Holds for sessions from then on."),
    at("webrtc", "addresses", Texts("a list of at most 16 of this board's addresses, such as [\"192.168.1.5\"]"), Is("[]"), Live,
        "Uses only these addresses of this board; empty: those of every interface. Holds for sessions from then on."),
    at("webrtc", "interfaces", Texts("a list of at most 16 names, such as [\"eth0\", \"wlan*\"] or [\"!docker*\"]"), Is("[]"), Live,
        "Uses only these network interfaces, or all but those with `!` in front; `*` stands for any end of a name; empty: all. Holds for sessions from then on."),
    at("webrtc", "public_addresses", Texts("a list of at most 4 addresses, such as [\"203.0.113.9\"]"), Is("[]"), Live,
        "Addresses under which a router forwards to this board, port for port (1:1 NAT): viewers are told them beside the board's own. Goes with `ports`, for which the router has to forward UDP. Holds for sessions from then on."),
    at("webrtc", "ice_tcp", Flag, Is("false"), Live,
        "Whether viewers may connect by TCP, too, for networks that let no UDP through; on the same ports as UDP. A picture over TCP stands still where UDP would have lost a packet. Holds for sessions from then on."),
    at("webrtc", "mdns", Choice(&["resolve", "ignore"]), Is("\"ignore\""), Live,
        "What becomes of the `.local` names behind which browsers hide their addresses. `ignore`: such a viewer is found by what it sends, which is enough where it can reach this board. `resolve`: they are looked up by multicast DNS, for networks in which only the board can reach the viewer. Holds for sessions from then on."),
    at("webrtc", "loopback", Flag, Is("false"), Live,
        "Whether loopback addresses are used and accepted: for tests on one machine only. Holds for sessions from then on."),
    at("webrtc", "playout_delay_ms", Pair("[least, most], both 0 to 40950 in steps of 10, or \"viewer\"", "ms"), Is("[0, 40]"), Live,
        "The delay browsers are asked to keep between arrival and display. Up to the second number the picture is held back for its sound; `[0, 0]`: the least delay, sound some 70 ms late; where packets get lost, up to 400 ms; `\"viewer\"`: the browser decides. Holds for sessions from then on."),
    at("webrtc", "ice_servers", Inner("one [[webrtc.ice_servers]] for each server, at most 8"), Is("[]"), Live,
        "STUN and TURN servers; each is a table of its own, see below. Holds for sessions from then on."),
    at("webrtc", "ice_command", Texts("a program by its absolute path, and its arguments"), Is("[]"), Live,
        "A program that prints further servers as JSON, for services that sell relays by the hour; see below. No shell is between. Holds for sessions from then on."),

    at("webrtc.ice_servers", "urls", Texts("1 to 4 of \"stun:host:port\", \"turn:host:port?transport=udp\" (or tcp) and \"turns:host:port\""), Required, Live,
        "The URLs of one server, which is reached by UDP, by TCP (`turn:` with `?transport=tcp`) and by TLS (`turns:`). Ports, where none is written: 3478, with TLS 5349."),
    at("webrtc.ice_servers", "user", Text("1 to 256 characters in one line"), Unset("no login"), Live,
        "The TURN user. **Every viewer is told this login, with the password**, and can use the server with it for other things until you change the password: give it no other right, or use a secret. With a secret: what stands behind the expiry in the user name of this board; viewers have their own names there."),
    at("webrtc.ice_servers", "password_file", Text(SECRET_FILE), Unset("no password"), Live,
        "A file that holds the TURN password and nothing else."),
    at("webrtc.ice_servers", "password_credential", Text(CREDENTIAL), Unset("no password"), Live,
        "The systemd credential that holds the TURN password; instead of `password_file`."),
    at("webrtc.ice_servers", "secret_file", Text(SECRET), Unset("no secret"), Live,
        "A file that holds the secret shared with the TURN server (coturn: `static-auth-secret`) and nothing else. Instead of a password: for itself, and for each viewer anew, the board makes logins of it that end by themselves. The secret never leaves the board."),
    at("webrtc.ice_servers", "secret_credential", Text(CREDENTIAL), Unset("no secret"), Live,
        "The systemd credential that holds the secret; instead of `secret_file`."),
    at("webrtc.ice_servers", "ttl_s", Number(600, 2_592_000, "s"), Unset("`limits.session_s` and 10 minutes, where there is a secret"), Live,
        "How long a login made of the secret is good. None ends before its session has to (`limits.session_s`), so that no relay is lost for it. Each session of each viewer gets a login of its own; a viewer can use it for other things until it ends."),
    at("webrtc.ice_servers", "ca_file", Text(CA), Unset("the system's roots"), Live,
        "PEM file with the certificate authorities that may vouch for the server of a `turns:` URL; the system's are not asked then. Viewers ask their own."),

    at("limits", "viewers", Number(1, 64, ""), Is("8"), Live,
        "Sessions at the same time, of all viewers together. The next one is answered `busy`."),
    at("limits", "sessions_per_viewer", Number(1, 64, ""), Is("2"), Live,
        "Sessions at the same time of one viewer: its browser tabs."),
    at("limits", "setups", Number(1, 64, ""), Is("8"), Live,
        "Sessions at the same time that are not connected yet."),
    at("limits", "starts_per_minute", Number(1, 6000, "1/min"), Is("5"), Live,
        "Sessions one viewer may start in a minute."),
    at("limits", "messages_per_second", Number(1, 1000, "1/s"), Is("20"), Live,
        "Signalling messages one viewer may send; three times as many in a burst."),
    at("limits", "candidates", Number(1, 100, ""), Is("24"), Live,
        "Addresses one viewer may offer for one connection; the rest is ignored."),
    at("limits", "restarts_per_minute", Number(1, 60, "1/min"), Is("6"), Live,
        "ICE restarts one session may ask for in a minute."),
    at("limits", "session_s", Number(10, 604_800, "s"), Is("14400"), Live,
        "The longest life of a session; the viewer is told to come again."),
    at("limits", "lease_s", Number(5, 86_400, "s"), Is("600"), Live,
        "How long a viewer may watch without renewing its lease, which viewers do at half-time by themselves."),

    at("log", "filter", Text("off, error, warn, info, debug, trace, or a list such as \"info,fanlight::broker=debug\""), Is("\"info\""), Live,
        "What is written to the log: a level, or a `tracing` filter with levels for parts of the program."),
    at("log", "meter_period_s", Number(1, 3600, "s"), Is("10"), Live,
        "How often figures are logged, while there is something to say."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_there_twice_and_every_table_is_listed() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(TABLES.contains(&key.table), "{}", key.path());
            assert!(KEYS[..i].iter().all(|other| other.path() != key.path()), "{}", key.path());
            assert!(
                key.text.ends_with('.') && !key.text.contains('|') && !key.accepts().contains('|'),
                "{}",
                key.path()
            );
        }
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = || KEYS.iter().filter(|key| key.table == "video").map(|key| key.name);
        for (word, expected) in [
            ("linger", Some("linger_s")),
            ("bitrate", Some("bitrate_kbps")),
            ("framt", Some("format")),
            ("scource", Some("source")),
            ("Fps", Some("fps")),
            ("device", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names()), expected, "{word}");
        }
    }
}
