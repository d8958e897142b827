//! The table of all configuration keys, in the order of the reference.

use super::{
    Apply::{Live, Restart},
    Fallback::{Is, Required, Unset},
    Key,
    ValueKind::{self, Choice, Flag, Inner, Number, Pair, Text, Texts},
};
use crate::config::{
    AccessMode, EncoderChoice, FormatChoice, LineBias, LinePolarity, MqttVersion,
    values::{MDNS, names},
};

/// The tables in the order of the reference. The first is the top of the file.
pub const TABLES: &[&str] = &[
    "",
    "broker",
    "access",
    "video",
    "audio",
    "speaker",
    "lamp",
    "button",
    "webrtc",
    "webrtc.ice_servers",
    "limits",
    "log",
];

const fn at(
    table: &'static str,
    name: &'static str,
    kind: ValueKind,
    fallback: super::Fallback,
    apply: super::Apply,
    text: &'static str,
) -> Key {
    Key { table, name, kind, fallback, apply, text }
}

/// The words of the keys that are a choice.
static VERSIONS: [&str; 2] = names(&MqttVersion::WORDS);
static MODES: [&str; 3] = names(&AccessMode::WORDS);
static FORMATS: [&str; 7] = names(&FormatChoice::WORDS);
static ENCODERS: [&str; 3] = names(&EncoderChoice::WORDS);
static POLARITIES: [&str; 2] = names(&LinePolarity::WORDS);
static BIASES: [&str; 4] = names(&LineBias::WORDS);
static MDNS_MODES: [&str; 2] = names(&MDNS);

const CA: &str = "an absolute path, such as \"/etc/fanlight/ca.pem\"";
const CERTIFICATE: &str = "an absolute path, such as \"/etc/fanlight/client.pem\"";
const PRIVATE_KEY: &str = "an absolute path, such as \"/etc/fanlight/client.key\"";
const SECRET_FILE: &str = "an absolute path, such as \"/etc/fanlight/password\"";
const SECRET: &str = "an absolute path, such as \"/etc/fanlight/turn-secret\"";
const CREDENTIAL: &str = "the name of a systemd credential (LoadCredential=name:…)";
const ID: &str = "an id of 1 to 64 characters from A-Z a-z 0-9 _ -, such as \"garden\"";
const URL: &str =
    "\"mqtt://host\", \"mqtts://host\", \"ws://host/path\" or \"wss://host/path\", each with or without \":port\"";
const ROOT: &str = "topic levels, none empty, without + and #, at most 128 characters, such as \"fanlight/v1\"";
const CAMERA: &str = "\"auto\", \"/dev/video0\" or another node, \"test\", \
    \"clip:/path/file.mjpeg\" (.h264, .mjpeg, .y4m) or \"off\"";
const VIEWERS: &str = "a list of at most 64 of \"KEY RIGHTS NAME\", such as [\"BGsX…fU view,listen anna\"]; \
    `fanlight viewers` shows the key";
const PAGE: &str = "\"https://…\", without # and without a login, such as \"https://cam.example.org/\"";
const ISSUER: &str = "an absolute path, such as \"/etc/fanlight/issuer.jwk\"";
const VIEWER_BROKER: &str = "\"wss://host/path\" or \"ws://host/path\", such as \"wss://broker.example.org/mqtt\"";
const MICROPHONE: &str = "\"auto\", \"default\" or another ALSA name, \"tone\", \"clip:/path/file.wav\" or \"off\"";
const SPEAKER: &str = "\"auto\", \"default\" or another ALSA name, or \"off\"";
const LAMP: &str = "\"off\", \"led:NAME\", \"gpio:NAME\" or \"gpio:CHIP:NUMBER\", such as \"led:ACT\", \
    \"gpio:GPIO17\" or \"gpio:gpiochip0:17\"";
const LINE: &str = "\"off\", \"gpio:NAME\" or \"gpio:CHIP:NUMBER\", such as \"gpio:GPIO27\" or \"gpio:gpiochip0:27\"";
const SIZE: &str = "\"WIDTHxHEIGHT\" in pixels, both even and 64 to 4096, such as \"1280x720\"";
const ALPN: &str = "a list of at most 8 names, each of 1 to 255 characters, such as [\"mqtt\"]";
const CONTROLS: &str = "at most 64 names with a whole number, true or false each, such as brightness = 128";
const ADDRESSES: &str = "a list of at most 16 of this board's addresses, such as [\"192.168.1.5\"]";
const INTERFACES: &str = "a list of at most 16 names, such as [\"eth0\", \"wlan*\"] or [\"!docker*\"]";
const DELAY: &str = "[least, most], both 0 to 40950 in steps of 10, or \"viewer\"";
const TTL: &str = "twice `limits.lease_s`, with a secret";
const ICE_URLS: &str =
    "1 to 4 of \"stun:host:port\", \"turn:host:port?transport=udp\" (or tcp) and \"turns:host:port\"";
const FILTER: &str = "off, error, warn, info, debug, trace, or a list such as \"info,fanlight::broker=debug\"";

/// Every key, in the order of the reference.
#[rustfmt::skip] // a compact table: the first line of an entry has the key, its type, its default and when it applies
pub static KEYS: &[Key] = &[
    at("", "device", Text(ID), Required, Restart,
        "The id of this board: one level of its MQTT topics, and its MQTT client id. \
         Each board at a broker needs its own."),
    at("", "name", Text("1 to 128 characters in one line"), Unset("the id"), Restart,
        "A name for people; viewers show it."),

    at("broker", "url", Text(URL), Required, Live,
        "The address of the MQTT broker. The scheme selects TCP, TLS, WebSocket, or WebSocket over TLS. \
         Default ports: 1883, 8883, 80, 443. The URL must not contain secrets."),
    at("broker", "version", Choice(&VERSIONS), Is("\"5\""), Live,
        "The MQTT version. Messages do not expire with 3.1.1, so a viewer may find an old `status`."),
    at("broker", "user", Text("1 to 256 characters in one line"), Unset("no login"), Live,
        "The login name."),
    at("broker", "password_file", Text(SECRET_FILE), Unset("no password"), Live,
        "A file that holds only the password, at most 4 KiB. One line end after it is ignored. \
         Only the daemon should be able to read it."),
    at("broker", "password_credential", Text(CREDENTIAL), Unset("no password"), Live,
        "The systemd credential that holds the password; replaces `password_file`."),
    at("broker", "ca_file", Text(CA), Unset("the system's roots"), Live,
        "A PEM file with the certificate authorities that are trusted for the broker, instead of the system's."),
    at("broker", "certificate_file", Text(CERTIFICATE), Unset("no client certificate"), Live,
        "A PEM file with the client certificate and its intermediate certificates. Requires `key_file`."),
    at("broker", "key_file", Text(PRIVATE_KEY), Unset("no client certificate"), Live,
        "A PEM file with the private key of `certificate_file`."),
    at("broker", "alpn", Texts(ALPN), Is("[]"), Live,
        "ALPN protocol names offered in TLS, for brokers that share port 443 with other services \
         (AWS IoT: `[\"x-amzn-mqtt-ca\"]`)."),
    at("broker", "root", Text(ROOT), Is("\"fanlight/v1\""), Restart,
        "The first levels of every topic."),
    at("broker", "keep_alive_s", Number(5, 1200, "s"), Is("30"), Live,
        "MQTT keep-alive. The broker reports a lost board after about one and a half times this."),

    at("access", "mode", Choice(&MODES), Required, Restart,
        "Who decides who may watch. `keys`: a list of public keys on this board; the broker is not trusted. `token`: the \
         same list, and an issuer that signs tokens for viewers. `broker`: the broker's access list decides, so whoever \
         controls the broker could watch."),
    at("access", "the_broker_can_watch", Flag, Unset("required with `broker`"), Restart,
        "Must be `true` in the mode `broker`, as a deliberate choice. The link must use TLS, or the broker must run on \
         this board."),
    at("access", "viewers", Texts(VIEWERS), Is("[]"), Live,
        "Viewers that may watch, in the modes `keys` and `token`, beside those that were paired. For boards that a \
         script sets up."),
    at("access", "page", Text(PAGE), Unset("`fanlight pair` asks for it"), Live,
        "The address of the viewer page, for the links of `fanlight pair`."),
    at("access", "viewer_broker", Text(VIEWER_BROKER), Unset("`fanlight pair` asks for it"), Live,
        "The address of the broker for browsers, for the links of `fanlight pair`."),
    at("access", "issuer_file", Text(ISSUER), Unset("required with `token`"), Live,
        "A file with the public key of the issuer of tokens as a JWK, or with a JWK set of up to four. `fanlight token \
         key` makes one. A reload reads it again, and ends the sessions whose token is by a key that is gone."),
    at("access", "token_max_s", Number(60, 2_678_400, "s"), Is("86400"), Live,
        "The longest life of a token. A token that lives longer is refused."),

    at("video", "source", Text(CAMERA), Is("\"auto\""), Restart,
        "The source of the picture. `auto`: the first usable camera. A path: this V4L2 node; `/dev/v4l/by-id/…` stays \
         the same after replugging. `test`: a moving test picture with a clock. `clip:`: a file, repeated. \
         `off`: no picture."),
    at("video", "format", Choice(&FORMATS), Is("\"auto\""), Restart,
        "The pixel format requested from the camera. `auto`: the one that costs the least CPU at this size and frame \
         rate. `h264`: sent as the camera encoded it."),
    at("video", "size", Text(SIZE), Is("\"1280x720\""), Restart,
        "The size of the picture. If the camera does not offer it, its nearest size is used."),
    at("video", "fps", Number(1, 120, "1/s"), Is("30"), Restart,
        "Frames per second. If the camera does not offer this rate, its nearest rate is used."),
    at("video", "encoder", Choice(&ENCODERS), Is("\"auto\""), Restart,
        "The H.264 encoder. `auto`: the board's encoder if `fanlight probe` finds one that works, otherwise software. \
         `software`: the CPU. `hardware`: only the board's encoder. No effect if the source delivers H.264."),
    at("video", "openh264_library", Text("an absolute path"), Unset("the OpenH264 that is compiled in"), Restart,
        "Cisco's own binary of OpenH264 for software encoding: 2.6.0 for Linux and this CPU, downloaded from Cisco and \
         unpacked. Any other file is refused. `docs/reference/licences.md` gives the reason to use it."),
    at("video", "bitrate_kbps", Number(50, 50_000, "kbit/s"), Is("2000"), Live,
        "The highest video bitrate. The encoder uses less if the viewers' networks carry less. No effect if the camera \
         encodes and its driver has no bitrate control."),
    at("video", "floor_percent", Number(0, 100, "%"), Is("33"), Live,
        "How far one viewer's slow network can lower the bitrate for the others: to this share of `bitrate_kbps`. \
         A slower viewer gets only keyframes, if at least as many viewers have faster networks. \
         0: no limit, so the slower of two viewers always sets the bitrate."),
    at("video", "key_interval_s", Number(1, 600, "s"), Is("10"), Restart,
        "The longest time between two keyframes. A viewer who joins or needs a keyframe gets one at once, so a \
         shorter interval rarely helps."),
    at("video", "clock", Flag, Is("false"), Restart,
        "Draws a machine-readable clock into every encoded frame, to measure the delay from camera to screen. \
         The test picture always has it."),
    at("video", "linger_s", Number(0, 3600, "s"), Is("10"), Live,
        "How long the camera stays on after the last viewer has left."),
    at("video", "controls", Inner(CONTROLS), Is("{}"), Restart,
        "V4L2 controls to set when the camera is opened. `fanlight probe` prints their names."),

    at("audio", "source", Text(MICROPHONE), Is("\"auto\""), Restart,
        "The source of the sound. `auto`: the first usable capture device. A name: this ALSA device, as `fanlight \
         probe` prints it; `plughw:CARD=…` stays the same after replugging. `tone`: a test tone. \
         `clip:`: a file, repeated. `off`: no sound."),
    at("audio", "channels", Number(1, 2, ""), Is("1"), Restart,
        "1: mono, 2: stereo."),
    at("audio", "bitrate_kbps", Number(6, 510, "kbit/s"), Is("48"), Restart,
        "The Opus bitrate. A viewer with a slow network gets less."),
    at("audio", "fec", Flag, Is("true"), Restart,
        "Opus in-band forward error correction: each packet repeats the previous one at low quality, so a lost packet \
         is hardly audible."),
    at("audio", "linger_s", Number(0, 3600, "s"), Is("10"), Live,
        "How long the microphone stays on after the last viewer has left."),

    at("speaker", "output", Text(SPEAKER), Is("\"off\""), Restart,
        "The loudspeaker for the sound of viewers with the right `talk`. `auto`: the first usable playback device. A \
         name: this ALSA device, as `fanlight probe` prints it. `off`: no viewer can talk."),
    at("speaker", "linger_s", Number(0, 3600, "s"), Is("5"), Live,
        "How long the loudspeaker stays open after the last talker."),

    at("lamp", "picture", Text(LAMP), Is("\"off\""), Restart,
        "The lamp that shows that the camera may be open. `fanlight probe` lists LEDs and GPIO lines. If it is the only \
         lamp, it shows sound, too."),
    at("lamp", "sound", Text(LAMP), Is("\"off\""), Restart,
        "The lamp that shows that the microphone or the loudspeaker may be open. If it is the only lamp, it shows the \
         picture, too."),
    at("lamp", "polarity", Choice(&POLARITIES), Is("\"active_high\""), Restart,
        "Which level of a GPIO line lights a lamp. No effect on LEDs."),

    at("button", "doorbell", Text(LINE), Is("\"off\""), Restart,
        "The line of the doorbell button."),
    at("button", "privacy", Text(LINE), Is("\"off\""), Restart,
        "The line of a button that stops camera and microphone for everybody (the privacy switch)."),
    at("button", "polarity", Choice(&POLARITIES), Is("\"active_low\""), Restart,
        "Which level of the line means that a button is pressed. `active_low`: a button to ground."),
    at("button", "bias", Choice(&BIASES), Is("\"pull_up\""), Restart,
        "The resistor of the chip on the line. `as_is`: as it is. `disabled`: none, because the button has its own. \
         Not every chip has them."),
    at("button", "debounce_ms", Number(0, 1000, "ms"), Is("30"), Restart,
        "How long a level must last before it counts."),
    at("button", "pause_s", Number(0, 600, "s"), Is("3"), Restart,
        "The shortest time between two rings. In a minute there are 10 at most."),
    at("button", "privacy_lifts", Flag, Is("false"), Restart,
        "Whether the privacy button also lifts the privacy switch. Otherwise it only sets it."),

    at("webrtc", "relay_only", Flag, Is("false"), Live,
        "Uses only TURN relays, so viewers never learn the addresses of this board. Needs a `turn:` server. \
         Applies to new sessions."),
    at("webrtc", "ports", Pair("[first, last], both 1024 to 65535, or \"any\"", "UDP port"), Is("\"any\""), Live,
        "The UDP ports for media, for firewall rules. Each session needs one port for each address of the board. \
         Applies to new sessions."),
    at("webrtc", "ipv4", Flag, Is("true"), Live,
        "Whether IPv4 is used. Applies to new sessions."),
    at("webrtc", "ipv6", Flag, Is("true"), Live,
        "Whether IPv6 is used. Applies to new sessions."),
    at("webrtc", "addresses", Texts(ADDRESSES), Is("[]"), Live,
        "Uses only these addresses of this board. Empty: the addresses of all interfaces. Applies to new sessions."),
    at("webrtc", "interfaces", Texts(INTERFACES), Is("[]"), Live,
        "Uses only these network interfaces. `!` excludes one, and `*` at the end matches any rest of a name. \
         Empty: all. Applies to new sessions."),
    at("webrtc", "public_addresses", Texts("a list of at most 4 addresses, such as [\"203.0.113.9\"]"), Is("[]"), Live,
        "Public addresses that a router forwards to this board without changing ports (1:1 NAT). Viewers get them as \
         additional candidates. Needs `ports`; the router must forward those UDP ports. Applies to new sessions."),
    at("webrtc", "ice_tcp", Flag, Is("false"), Live,
        "Whether viewers may also connect by TCP (ICE-TCP), for networks that block UDP. It uses the same port numbers \
         as UDP. A lost packet stops the picture until TCP has repeated it. Applies to new sessions."),
    at("webrtc", "mdns", Choice(&MDNS_MODES), Is("\"ignore\""), Live,
        "How to treat the `.local` names by which browsers hide their addresses. `ignore`: the board learns the \
         address from the viewer's first packet; the viewer must be able to reach the board. `resolve`: multicast DNS \
         looks them up, for networks where only the board can reach the viewer. Applies to new sessions."),
    at("webrtc", "loopback", Flag, Is("false"), Live,
        "Whether loopback addresses are used and accepted. Only for tests on one machine. Applies to new sessions."),
    at("webrtc", "playout_delay_ms", Pair(DELAY, "ms"), Is("[0, 40]"), Live,
        "The playout delay requested from browsers: minimum and maximum. The picture waits up to the maximum for its \
         sound. `[0, 0]`: the lowest delay, but the sound is about 70 ms late. `\"viewer\"`: the browser decides. \
         If packets get lost, the board allows up to 400 ms. Applies to new sessions."),
    at("webrtc", "ice_servers", Inner("one [[webrtc.ice_servers]] for each server, at most 8"), Is("[]"), Live,
        "STUN and TURN servers. Each has a table of its own, see below. Applies to new sessions."),
    at("webrtc", "ice_command", Texts("a program by its absolute path, and its arguments"), Is("[]"), Live,
        "A program that prints further servers as JSON, for services that sell relays by the hour; see below. \
         It runs without a shell. Applies to new sessions."),

    at("webrtc.ice_servers", "urls", Texts(ICE_URLS), Required, Live,
        "The URLs of one server: by UDP, by TCP (`turn:` with `?transport=tcp`) and by TLS (`turns:`). \
         Default ports: 3478, and 5349 with TLS."),
    at("webrtc.ice_servers", "user", Text("1 to 256 characters in one line"), Unset("no login"), Live,
        "The TURN user. **Every viewer gets this login, with the password**, and can use the server for other \
         purposes until you change the password. Give it no other rights, or use a secret. With a secret: the part \
         after the expiry time in this board's user names. A viewer's user names contain the viewer's id instead, and 8 characters of the session's id."),
    at("webrtc.ice_servers", "password_file", Text(SECRET_FILE), Unset("no password"), Live,
        "A file that holds only the TURN password."),
    at("webrtc.ice_servers", "password_credential", Text(CREDENTIAL), Unset("no password"), Live,
        "The systemd credential that holds the TURN password; replaces `password_file`."),
    at("webrtc.ice_servers", "secret_file", Text(SECRET), Unset("no secret"), Live,
        "A file that holds only the secret shared with the TURN server (coturn: `static-auth-secret`). It replaces a \
         password: the board makes logins that expire, one for itself and one for each viewer. The secret never leaves \
         the board."),
    at("webrtc.ice_servers", "secret_credential", Text(CREDENTIAL), Unset("no secret"), Live,
        "The systemd credential that holds the secret; replaces `secret_file`."),
    at("webrtc.ice_servers", "ttl_s", Number(10, 2_592_000, "s"), Unset(TTL), Live,
        "How long the login of a viewer is valid, if it is made from the secret: at least twice `limits.lease_s`. Each \
         session gets a login of its own, and a new one whenever it renews its lease. Set it to more than \
         `limits.session_s` only for viewers that do not take new logins: a viewer can use its login for other \
         purposes until it expires. The board's own login is valid for `limits.session_s` and 10 minutes, and only \
         the server gets it."),
    at("webrtc.ice_servers", "ca_file", Text(CA), Unset("the system's roots"), Live,
        "A PEM file with the certificate authorities that are trusted for the server of a `turns:` URL, instead of the \
         system's. Viewers use their own authorities."),

    at("limits", "viewers", Number(1, 64, ""), Is("8"), Live,
        "Sessions at the same time, for all viewers together. Further requests get the answer `busy`."),
    at("limits", "sessions_per_viewer", Number(1, 64, ""), Is("2"), Live,
        "Sessions at the same time for one viewer, such as its browser tabs."),
    at("limits", "setups", Number(1, 64, ""), Is("8"), Live,
        "Sessions at the same time that are not connected yet."),
    at("limits", "starts_per_minute", Number(1, 6000, "1/min"), Is("5"), Live,
        "Sessions that one viewer may start in a minute."),
    at("limits", "messages_per_second", Number(1, 1000, "1/s"), Is("20"), Live,
        "Signalling messages that one viewer may send; three times as many in a burst."),
    at("limits", "candidates", Number(1, 100, ""), Is("24"), Live,
        "ICE candidates that one viewer may send for one connection; further ones are ignored."),
    at("limits", "restarts_per_minute", Number(1, 60, "1/min"), Is("6"), Live,
        "ICE restarts that one session may request in a minute."),
    at("limits", "session_s", Number(10, 604_800, "s"), Is("14400"), Live,
        "The longest duration of a session. Then the board asks the viewer to connect again."),
    at("limits", "lease_s", Number(5, 86_400, "s"), Is("600"), Live,
        "How long a viewer may watch without renewing its lease. Viewers renew it after half of this time."),

    at("log", "filter", Text(FILTER), Is("\"info\""), Live,
        "What is logged: a level, or a `tracing` filter with levels for parts of the program."),
    at("log", "meter_period_s", Number(1, 3600, "s"), Is("10"), Live,
        "How often figures are logged, if there is something to report."),
];
