//! The text of every configuration error.

use std::path::Path;

use super::{
    Surroundings, load, parse,
    tests::{BASE, NAME},
};

/// The problems of a text, each with its line. Other tests check the columns.
pub(super) fn problems(text: &str) -> Vec<String> {
    let line = |sentence: String| {
        let mut parts = sentence.splitn(4, ':');
        match [(); 4].map(|()| parts.next().unwrap_or_default()) {
            [NAME, line, column, rest] if column.parse::<usize>().is_ok_and(|column| column > 0) => {
                format!("{line}:{rest}")
            }
            _ => sentence.clone(),
        }
    };
    match parse(text, Path::new(NAME), &Surroundings::default()) {
        Ok(_) => Vec::new(),
        Err(e) => e.problems.iter().map(|p| line(p.to_string())).collect(),
    }
}

/// Snippets to append to the base, and all their problems.
const WORDING: &[(&str, &[&str])] = &[
    ("", &[]),
    ("[video]\nfps = 300", &["5: video.fps: 300 is not possible: 1 to 120"]),
    (
        "[video]\nfps = \"30\"",
        &["5: video.fps: \"30\" is not possible: a whole number, 1 to 120; write it without quotes"],
    ),
    ("[video]\nfps = 29.97", &["5: video.fps: 29.97 is not possible: a whole number, 1 to 120"]),
    (
        "[video]\nfps = 99999999999999999999",
        &["5: video.fps: 99999999999999999999 is not possible: a whole number, 1 to 120"],
    ),
    ("[video]\nFps = 30", &["5: video.Fps: unknown key: did you mean `fps`?"]),
    (
        "[video]\nformat = \"MJPG\"",
        &["5: video.format: \"MJPG\" is not possible: \"auto\", \"yuyv\", \"uyvy\", \"nv12\", \"yu12\", \"mjpeg\" \
             or \"h264\"; did you mean \"mjpeg\"?"],
    ),
    (
        "[video]\nclock = yes",
        &["5: video.clock: not TOML: string values must be quoted, expected literal string; possible: true or \
             false; write clock = true"],
    ),
    (
        "[video]\nsize = 1280x720",
        &["5: video.size: not TOML: string values must be quoted, expected literal string; possible: \
             \"WIDTHxHEIGHT\" in pixels, both even and 64 to 4096, such as \"1280x720\"; write it in quotes: size = \
             \"1280x720\""],
    ),
    (
        "[video]\nfps = 30\n[log]\n[video]\nfps = 25",
        &[
            "7: appears twice in this file, first in line 4: remove one of them",
            "8: video.fps: appears twice in this file, first in line 5: remove one of them",
        ],
    ),
    (
        "[video]\nfps = 30\nclock = true\nfps = 25",
        &["7: video.fps: appears twice in this file, first in line 5: remove one of them"],
    ),
    (
        "[[webrtc.ice_servers]]\nurls = \"stun:a\"",
        &["5: webrtc.ice_servers.urls: \"stun:a\" is not possible: 1 to 4 of \"stun:host:port\", \
             \"turn:host:port?transport=udp\" (or tcp) and \"turns:host:port\"; write it in brackets: [\"…\"]"],
    ),
    (
        "[webrtc]\nports = 50000",
        &["5: webrtc.ports: 50000 is not possible: [first, last], both 1024 to 65535, or \"any\"; write it in \
             brackets, without quotes"],
    ),
    ("[video]\nlinger = 10", &["5: video.linger: unknown key: did you mean `linger_s`?"]),
    ("[video]\nviewers = 3", &["5: video.viewers: unknown key: `viewers` belongs in `[access]` or `[limits]`"]),
    ("[video]\ndevice = \"/dev/video0\"", &["5: video.device: unknown key: `device` belongs above the first table"]),
    ("[log]\nqqq = 1", &["5: log.qqq: unknown key: possible are filter, meter_period_s"]),
    ("[vidoe]\nfps = 3", &["4: vidoe: unknown table: did you mean `[video]`?"]),
    (
        "[qqq]",
        &["4: qqq: unknown table: possible are broker, access, video, audio, speaker, lamp, button, webrtc, \
           webrtc.ice_servers, limits, log"],
    ),
    (
        "[lamp]\npicture = \"led:../ACT\"",
        &["5: lamp.picture: \"led:../ACT\" is not possible: \"off\", \"led:NAME\", \"gpio:NAME\" or \
             \"gpio:CHIP:NUMBER\", such as \"led:ACT\", \"gpio:GPIO17\" or \"gpio:gpiochip0:17\""],
    ),
    (
        "[button]\ndoorbell = \"gpio:A\"\nprivacy = \"gpio:A\"",
        &["6: button.privacy: the same as button.doorbell: each button needs a line of its own"],
    ),
    ("video = 3", &["4: video: must be a table, not a value: write [video] on a line of its own"]),
    (
        "[video]\nsize = \"1281x720\"",
        &["5: video.size: \"1281x720\" is not possible: \"WIDTHxHEIGHT\" in pixels, both even and 64 to 4096, such \
             as \"1280x720\""],
    ),
    (
        "[video]\nformat = \"jpeg\"",
        &["5: video.format: \"jpeg\" is not possible: \"auto\", \"yuyv\", \"uyvy\", \"nv12\", \"yu12\", \"mjpeg\" \
             or \"h264\"; did you mean \"mjpeg\"?"],
    ),
    (
        "[video]\nsource = \"video0\"",
        &["5: video.source: \"video0\" is not possible: \"auto\", \"/dev/video0\" or another node, \"test\", \
             \"clip:/path/file.mjpeg\" (.h264, .mjpeg, .y4m) or \"off\""],
    ),
    (
        "[video]\nsource = \"/proc/version\"",
        &["5: video.source: /proc/version is not a camera: a V4L2 device is possible, such as /dev/video0; \
             `fanlight probe` lists them"],
    ),
    (
        "[video]\nsource = \"/tmp/../etc\"",
        &["5: video.source: /tmp/../etc is not a camera: a V4L2 device is possible, such as /dev/video0; `fanlight \
             probe` lists them"],
    ),
    (
        "[video]\nsource = \"../video0\"",
        &["5: video.source: \"../video0\" is not possible: \"auto\", \"/dev/video0\" or another node, \"test\", \
             \"clip:/path/file.mjpeg\" (.h264, .mjpeg, .y4m) or \"off\""],
    ),
    (
        "[video]\nsource = \"/dev/video0\\u0000\"",
        &["5: video.source: \"/dev/video0\\u0000\" is not possible: \"auto\", \"/dev/video0\" or another node, \
             \"test\", \"clip:/path/file.mjpeg\" (.h264, .mjpeg, .y4m) or \"off\""],
    ),
    (
        "[video]\nclock = true\nformat = \"h264\"",
        &["5: video.clock: true is not possible with a source that delivers H.264, which is sent unchanged; choose \
             another format or source"],
    ),
    (
        "[video]\nclock = \"true\"",
        &["5: video.clock: \"true\" is not possible: true or false; write it without quotes"],
    ),
    (
        "[video.controls]\nbrightness = \"high\"",
        &["5: video.controls.brightness: \"high\" is not possible: a whole number, true or false"],
    ),
    (
        "[video.controls]\nBrightness = 3",
        &["5: video.controls: Brightness is not the name of a control: a-z 0-9 _ are possible; `fanlight probe` \
             lists them"],
    ),
    (
        "[audio]\nsource = \"off\"\n[video]\nsource = \"off\"",
        &["7: video.source: \"off\" is not possible together with audio.source = \"off\": viewers would get neither \
             picture nor sound"],
    ),
    (
        "[audio]\nsource = \"/dev/snd/pcmC0D0c\"",
        &["5: audio.source: \"/dev/snd/pcmC0D0c\" is not possible: \"auto\", \"default\" or another ALSA name, \
             \"tone\", \"clip:/path/file.wav\" or \"off\""],
    ),
    ("[audio]\nchannels = 3", &["5: audio.channels: 3 is not possible: 1 to 2"]),
    (
        "[webrtc]\nrelay_only = true",
        &["5: webrtc.relay_only: true is not possible without a relay: no [[webrtc.ice_servers]] has a turn: URL, \
             and ice_command is not set"],
    ),
    (
        "[webrtc]\nports = [60000, 50000]",
        &["5: webrtc.ports: [60000, 50000] is not possible: [first, last], both 1024 to 65535, or \"any\""],
    ),
    (
        "[webrtc]\nplayout_delay_ms = [0, 15]",
        &["5: webrtc.playout_delay_ms: [0, 15] is not possible: [least, most], both 0 to 40950 in steps of 10, or \
             \"viewer\""],
    ),
    (
        "[webrtc]\nipv4 = false\nipv6 = false",
        &["6: webrtc.ipv6: false is not possible together with ipv4 = false: one of them must be true"],
    ),
    (
        "[webrtc]\nipv6 = false\naddresses = [\"2001:db8::1\"]",
        &["6: webrtc.addresses: 2001:db8::1 is not possible with ipv6 = false"],
    ),
    (
        "[webrtc]\naddresses = [\"127.0.0.1\"]",
        &["5: webrtc.addresses: 127.0.0.1 is not possible without loopback = true"],
    ),
    (
        "[webrtc.ice_servers]\nurls = [\"stun:a\"]",
        &["4: webrtc.ice_servers: a single table is not possible: write [[webrtc.ice_servers]] in double brackets, \
             once for each server"],
    ),
    (
        "[[webrtc.ice_servers]]\nurls = [\"turn:a\"]",
        &["5: webrtc.ice_servers.urls: a turn: server needs user with password_file or password_credential, or \
             secret_file or secret_credential"],
    ),
    (
        "[[webrtc.ice_servers]]\nurls = [\"stun:a\", \"stuns:b\"]",
        &["5: webrtc.ice_servers.urls: \"stuns:b\" is not possible: 1 to 4 of \"stun:host:port\", \
             \"turn:host:port?transport=udp\" (or tcp) and \"turns:host:port\""],
    ),
    (
        "[[webrtc.ice_servers]]\nusername = \"a\"",
        &[
            "4: webrtc.ice_servers.urls: missing: 1 to 4 of \"stun:host:port\", \"turn:host:port?transport=udp\" (or \
             tcp) and \"turns:host:port\"",
            "5: webrtc.ice_servers.username: unknown key: did you mean `user`?",
        ],
    ),
    (
        "[[webrtc.ice_servers]]\nurls = [\"turn:a\"]\nsecret_file = \"/nowhere/secret\"\npassword_file = \
         \"/nowhere/password\"",
        &[
            "6: webrtc.ice_servers.secret_file: read /nowhere/secret: no such file or directory",
            "7: webrtc.ice_servers.password_file: cannot be combined with a secret: the board makes passwords from \
             the secret",
        ],
    ),
    (
        "[[webrtc.ice_servers]]\nurls = [\"turn:a\"]\nsecret_file = \"north\"\nca_file = \"/ca.pem\"",
        &[
            "6: webrtc.ice_servers.secret_file: not an absolute path; the secret itself does not belong in this file",
            "7: webrtc.ice_servers.ca_file: needs a turns: URL: only TLS uses certificates",
        ],
    ),
    (
        "[[webrtc.ice_servers]]\nurls = [\"stun:a\"]\nttl_s = 700",
        &["6: webrtc.ice_servers.ttl_s: needs secret_file or secret_credential: a fixed password does not expire"],
    ),
    (
        "[webrtc]\nice_command = [\"turn-login\"]",
        &["5: webrtc.ice_command: the first word must be an absolute path: no shell searches PATH for it"],
    ),
    (
        "[webrtc]\ninterfaces = [\"eth 0\"]",
        &["5: webrtc.interfaces: \"eth 0\" is not possible: a list of at most 16 names, such as [\"eth0\", \
             \"wlan*\"] or [\"!docker*\"]"],
    ),
    ("[limits]\nsession_s = 60", &["4: limits.lease_s: must not be longer than session_s: at most 60"]),
    (
        "[log]\nfilter = \"infoo\"",
        &["5: log.filter: \"infoo\" is not possible: off, error, warn, info, debug, trace, or a list such as \
             \"info,fanlight::broker=debug\""],
    ),
    (
        "[log]\nfilter = 3",
        &["5: log.filter: 3 is not possible: off, error, warn, info, debug, trace, or a list such as \
             \"info,fanlight::broker=debug\"; write it in quotes"],
    ),
    (
        "[log]\nfilter =\nqqq = 3",
        &[
            "5: log.filter: not TOML: string values must be quoted, expected literal string; possible: off, error, \
             warn, info, debug, trace, or a list such as \"info,fanlight::broker=debug\"; write strings in quotes",
            "6: log.qqq: unknown key: possible are filter, meter_period_s",
        ],
    ),
];

#[test]
fn each_fault_has_its_message() {
    for (snippet, expected) in WORDING {
        assert_eq!(problems(&format!("{BASE}{snippet}")), *expected, "{snippet}");
    }
}

#[test]
fn faults_of_broker_and_access_have_their_messages() {
    let secret = "hunter2";
    for (broker, expected) in [
        ("url = \"http://host\"", "3: broker.url: unknown scheme: mqtt://, mqtts://, ws:// or wss:// is possible"),
        (
            "url = \"mqtts://me:hunter2@host\"",
            "3: broker.url: secrets do not belong in a URL: use the keys user and password_file or password_credential",
        ),
        (
            "url = 3",
            "3: broker.url: not a string: \"mqtt://host\", \"mqtts://host\", \"ws://host/path\" or \
             \"wss://host/path\", each with or without \":port\"",
        ),
        (
            "root = \"x\"",
            "3: broker.url: missing: \"mqtt://host\", \"mqtts://host\", \"ws://host/path\" or \"wss://host/path\", \
             each with or without \":port\"",
        ),
        (
            "url = \"mqtts://h\"\npassword = \"hunter2\"",
            "4: broker.password: secrets do not belong in this file: write password_file = \"/path\" or \
             password_credential = \"name\"",
        ),
        (
            "url = \"mqtts://h\"\nuser = \"me\"\npassword_file = \"hunter2\"",
            "5: broker.password_file: not an absolute path; the password itself does not belong in this file",
        ),
        (
            "url = \"mqtts://h\"\nuser = \"me\"\npassword_file = \"/nowhere/x\"",
            "5: broker.password_file: read /nowhere/x: no such file or directory",
        ),
        (
            "url = \"mqtts://h\"\nuser = \"me\"\npassword_credential = \"x\"",
            "5: broker.password_credential: credential x was not found or cannot be read: put it into \
             /etc/credstore/fanlight.x and restart the service, or use a file",
        ),
        (
            "url = \"mqtts://h\"\nkey_file = \"/k.pem\"",
            "4: broker.key_file: needs certificate_file: a client certificate and its key work only together",
        ),
        (
            "url = \"mqtt://127.0.0.1\"\nalpn = [\"mqtt\"]",
            "4: broker.alpn: needs TLS: use mqtts:// or wss:// in broker.url",
        ),
        (
            "url = \"mqtts://h\"\nroot = \"a/#\"",
            "4: broker.root: \"a/#\" is not possible: topic levels, none empty, without + and #, at most 128 \
             characters, such as \"fanlight/v1\"",
        ),
        (
            "url = \"mqtt://192.168.1.2\"",
            "2: access.mode: \"broker\" needs a link that nobody can eavesdrop on: mqtts:// or wss:// in broker.url, \
             or a broker on this board (mqtt://127.0.0.1)",
        ),
    ] {
        let head = "device = \"garden\"\naccess = { mode = \"broker\", the_broker_can_watch = true }\n";
        let text = format!("{head}{}", broker.lines().map(|line| format!("broker.{line}\n")).collect::<String>());
        let found = problems(&text);
        assert_eq!(found, [expected], "{broker}");
        assert!(!found.concat().contains(secret));
    }
    let url = "device = \"garden\"\nbroker.url = \"wss://h\"\n";
    assert_eq!(
        problems(&format!("{url}[access]\nmode = \"password\"\nthe_broker_can_watch = false")),
        ["4: access.mode: \"password\" is not possible: \"keys\", \"token\" or \"broker\"",]
    );
    assert_eq!(
        problems(&format!("{url}[access]\nmode = \"broker\"\nthe_broker_can_watch = false")),
        ["5: access.the_broker_can_watch: false is not possible with mode = \"broker\": whoever controls the \
             broker can watch; true accepts this",]
    );
    assert_eq!(
        problems(&format!("{url}[access]\nmode = \"broker\"")),
        ["3: access.the_broker_can_watch: missing: true or false"]
    );
}

#[test]
fn the_list_of_viewers_and_its_addresses_are_checked() {
    const KEY: &str = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";
    let viewers = "a list of at most 64 of \"KEY RIGHTS NAME\", such as [\"BGsX…fU view,listen anna\"]; `fanlight \
                   viewers` shows the key";
    // An error shows only the beginning of a long value.
    let shown = format!("\"{}…", &KEY[..47]);
    let url = "device = \"garden\"\nbroker.url = \"mqtt://h\"\n[access]\nmode = \"keys\"\n";
    assert!(problems(&format!("{url}viewers = [\"{KEY} view,listen Anna and Bert\"]")).is_empty());
    for (line, expected) in [
        (format!("viewers = [\"{KEY} view,fly anna\"]"), format!("{shown} is not possible: {viewers}")),
        (format!("viewers = [\"{KEY} view\"]"), format!("{shown} is not possible: {viewers}")),
        ("viewers = [\"BAAA view anna\"]".into(), format!("\"BAAA view anna\" is not possible: {viewers}")),
        (format!("viewers = [\"{KEY} view a\", \"{KEY} view b\"]"), "the key of \"b\" is there twice".into()),
    ] {
        assert_eq!(problems(&format!("{url}{line}")), [format!("5: access.viewers: {expected}")], "{line}");
    }
    let page = "\"https://…\", without # and without a login, such as \"https://cam.example.org/\"";
    for wrong in ["http://cam.example.org/", "https://", "https://a#b", "https://me:x@a/", "cam.example.org"] {
        let found = problems(&format!("{url}page = \"{wrong}\""));
        assert_eq!(found, [format!("5: access.page: \"{wrong}\" is not possible: {page}")]);
    }
    let found = problems(&format!("{url}viewer_broker = \"mqtts://h\""));
    assert!(found[0].starts_with("5: access.viewer_broker: \"mqtts://h\" is not possible: \"wss://"), "{found:?}");
    assert_eq!(
        problems(&format!("{url}the_broker_can_watch = true")),
        ["5: access.the_broker_can_watch: needs mode = \"broker\": in the mode \"keys\" the broker cannot watch"]
    );
    let by_broker =
        "device = \"a\"\nbroker.url = \"mqtts://h\"\n[access]\nmode = \"broker\"\nthe_broker_can_watch = true\n";
    let needs = "needs mode = \"keys\" or \"token\": in the mode \"broker\", the broker decides who may watch";
    assert_eq!(problems(&format!("{by_broker}page = \"https://a\"")), [format!("6: access.page: {needs}")]);
}

#[test]
fn all_faults_are_reported_at_once() {
    let found = problems("device = \"a b\"\n[video]\nfps = 0\nsize = \"\"\n[limits]\nviewers = -1\nx = 1");
    let keys: Vec<_> = found.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(keys, ["access.mode", "broker.url", "device", "video.fps", "video.size", "limits.viewers", "limits.x"]);
}

#[test]
fn a_missing_file_is_one_problem() {
    let e = load(Path::new("/nowhere/fanlight.toml"), &Surroundings::default()).unwrap_err();
    assert_eq!(
        e.to_string(),
        "/nowhere/fanlight.toml: read the file: no such file; `sudo fanlight setup` writes one, --config names another"
    );
}

#[test]
fn nonsense_never_panics() {
    for text in [
        "\0",
        "=",
        "[",
        "[[",
        "a.b.c.d=1",
        "[webrtc]\nice_servers=[[]]",
        "[[video]]",
        "device=\"ü",
        "\u{feff}",
        "[broker]\n\"\"=1",
        "a=[[[[[[{b={}}]]]]]]",
    ] {
        assert!(!problems(text).is_empty(), "{text}");
    }
    assert!(!problems(&"[".repeat(10_000)).is_empty());
    assert!(!problems(&format!("{BASE}x={}", "[".repeat(10_000))).is_empty());
}
