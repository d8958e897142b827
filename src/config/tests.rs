//! What holds between the parser, the table of keys, the file written back and the examples.

use std::{path::Path, time::Duration};

use super::{
    keys::{Fallback, KEYS},
    *,
};

pub(super) const NAME: &str = "fanlight.toml";
/// The least that makes a configuration, in three lines.
pub(super) const BASE: &str = "device = \"garden\"\naccess = { mode = \"broker\", the_broker_can_watch = true }\nbroker.url = \"mqtts://broker.example\"\n";

#[test]
fn the_parser_reads_exactly_the_keys_of_the_table() {
    let text = format!("{BASE}[[webrtc.ice_servers]]\nurls = [\"stun:a\"]");
    let mut asked = parse::keys_asked_for(&text);
    asked.sort();
    let mut known: Vec<_> = KEYS.iter().map(keys::Key::path).collect();
    known.sort();
    assert_eq!(asked, known);
}

#[test]
fn defaults_are_as_the_table_says() {
    let config = parse(BASE, Path::new(NAME), &Surroundings::default()).unwrap().config;
    for key in KEYS {
        if let Fallback::Is(expected) = key.fallback {
            assert_eq!(config.value(key.table, key.name).unwrap().to_string(), expected, "{}", key.path());
        }
    }
    assert_eq!((&config.video, &config.audio), (&Video::default(), &Audio::default()));
    assert_eq!(
        (&config.webrtc, &config.limits, &config.log),
        (&Webrtc::default(), &Limits::default(), &Log::default())
    );
}

/// A small generator of pseudo-random numbers: the same configurations on every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.roll(max - min + 1)
    }

    fn flag(&mut self) -> bool {
        self.roll(2) == 1
    }

    fn seconds(&mut self, min: u64, max: u64) -> Duration {
        Duration::from_secs(self.between(min, max))
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()].clone()
    }

    fn number<T: TryFrom<u64>>(&mut self, min: u64, max: u64) -> T {
        T::try_from(self.between(min, max)).ok().unwrap()
    }

    fn config(&mut self, logins: &[Option<Login>]) -> Config {
        let transport = self.pick(&[Transport::Tls, Transport::WebSocketTls, Transport::Tcp, Transport::WebSocket]);
        let web = matches!(transport, Transport::WebSocket | Transport::WebSocketTls);
        let hosts = if transport.is_tls() { ["broker.example", "2001:db8::1"] } else { ["localhost", "::1"] };
        let tls = transport.is_tls();
        let some = |dice: &mut Self| tls && dice.flag();
        let login = logins.iter().flatten().next().cloned().unwrap();
        // Longer than any session that is rolled.
        let (secret, ttl) = (login.password.clone(), Duration::from_secs(self.between(700_000, 900_000)));
        let user = self.flag().then(|| "porch".to_owned());
        let turn = [IceLogin::Made { secret, user, ttl }, IceLogin::Fixed(login)];
        let mut addresses = vec!["192.0.2.1".parse().unwrap()];
        let mut interfaces: Vec<_> = ["!docker*", "eth0"].into_iter().filter_map(InterfaceRule::parse).collect();
        // One of them at most.
        match self.roll(3) {
            0 => addresses.clear(),
            1 => interfaces.clear(),
            _ => (addresses, interfaces) = (Vec::new(), Vec::new()),
        }
        Config {
            device: Id::new(self.pick(&["a", "Z-9_"])).unwrap(),
            name: self.pick(&["Gärten \"hinten\"", "a", "#'\\"]).into(),
            broker: Broker {
                transport,
                host: self.pick(&hosts).into(),
                port: self.number(1, 65535),
                path: if web { self.pick(&["/", "/mqtt?a=b"]).into() } else { String::new() },
                version: self.pick(&[MqttVersion::V5, MqttVersion::V311]),
                login: self.pick(logins),
                ca_file: some(self).then(|| "/ca \"x\".pem".into()),
                client_certificate: some(self).then(|| ("/c.pem".into(), "/k.pem".into())),
                alpn: if some(self) { vec!["mqtt".into(), "x".into()] } else { Vec::new() },
                root: self.pick(&["fanlight/v1", "x"]).into(),
                keep_alive: self.seconds(5, 1200),
            },
            access: Access::Broker,
            video: Video {
                source: self.pick(&[
                    VideoSource::Auto,
                    VideoSource::Test,
                    VideoSource::Camera("/dev/video9".into()),
                    VideoSource::Clip("/a.y4m".into()),
                ]),
                format: self.pick(&[
                    FormatChoice::Auto,
                    FormatChoice::Only(PixelFormat::Mjpeg),
                    FormatChoice::Only(PixelFormat::Yu12),
                ]),
                size: (self.number::<u32>(32, 2048) * 2, self.number::<u32>(32, 2048) * 2),
                fps: self.number(1, 120),
                encoder: self.pick(&[EncoderChoice::Auto, EncoderChoice::Software, EncoderChoice::Hardware]),
                openh264_library: self.flag().then(|| "/lib/x.so".into()),
                bitrate: self.number::<u32>(50, 50_000) * 1000,
                key_interval: self.seconds(1, 600),
                clock: self.flag(),
                controls: (0..self.roll(4)).map(|n| (format!("control_{n}"), i64::try_from(n).unwrap() - 2)).collect(),
                linger: self.seconds(0, 3600),
            },
            audio: Audio {
                source: self.pick(&[
                    AudioSource::Auto,
                    AudioSource::Tone,
                    AudioSource::Off,
                    AudioSource::Microphone("hw:1,0".into()),
                    AudioSource::Clip("/a.wav".into()),
                ]),
                channels: self.number(1, 2),
                bitrate: self.number::<u32>(6, 510) * 1000,
                fec: self.flag(),
                linger: self.seconds(0, 3600),
            },
            webrtc: Webrtc {
                ice_servers: (0..self.roll(3))
                    .map(|_| {
                        let urls = vec!["stun:a".into(), "turns:[::1]:3478".into()];
                        let ca_file = self.flag().then(|| "/ca.pem".into());
                        IceServer { urls, login: self.pick(&turn), ca_file }
                    })
                    .collect(),
                ice_command: if self.flag() { vec!["/bin/x".into(), "-a b".into()] } else { Vec::new() },
                relay_only: false,
                ports: self.flag().then(|| (self.number(1024, 40_000), self.number(40_000, 65_535))),
                ipv4: true,
                ipv6: self.flag(),
                addresses,
                loopback: self.flag(),
                interfaces,
                public_addresses: if self.flag() { vec!["203.0.113.9".parse().unwrap()] } else { Vec::new() },
                ice_tcp: self.flag(),
                mdns: self.flag(),
                playout_delay: self.flag().then(|| {
                    (Duration::from_millis(self.roll(100) * 10), Duration::from_millis(self.between(100, 4095) * 10))
                }),
            },
            limits: Limits {
                viewers: self.number(1, 64),
                sessions_per_viewer: self.number(1, 64),
                setups: self.number(1, 64),
                starts_per_minute: self.number(1, 6000),
                messages_per_second: self.number(1, 1000),
                candidates: self.number(1, 100),
                restarts_per_minute: self.number(1, 60),
                session: self.seconds(86_400, 604_800),
                lease: self.seconds(5, 86_400),
            },
            log: Log {
                filter: self.pick(&["info", "warn,fanlight=debug"]).into(),
                meter_period: self.seconds(1, 3600),
            },
        }
    }
}

#[test]
fn what_is_written_out_reads_back_the_same_and_reloads_tell_all() {
    let dir = tempfile::tempdir().unwrap();
    let around = Surroundings { credentials: Some(dir.path().to_owned()), checking: false };
    let file = dir.path().join("broker");
    std::fs::write(&file, "s3cret\n").unwrap();
    let login = |origin| Some(Login { user: "me".into(), password: Secret::from_origin("s3cret", origin) });
    let logins = [login(Origin::File(file.clone())), login(Origin::Credential("broker".into())), None];
    let mut dice = Dice(0x5eed);
    let mut before: Option<Config> = None;
    for _ in 0..300 {
        let config = dice.config(&logins);
        let text = config.to_toml();
        assert!(!text.contains("s3cret"));
        let read = parse(&text, Path::new(NAME), &around).unwrap_or_else(|e| panic!("{e}\n{text}")).config;
        assert_eq!(read, config, "{text}");
        assert!(Config::difference(&read, &config).is_empty());

        // What takes effect at once, and what is left for the next start, are together all that changed.
        if let Some(old) = before.replace(config.clone()) {
            let (all, running) = (Config::difference(&old, &config), old.reloaded(&config));
            assert_eq!(Config::difference(&old, &running), Reload { live: all.live, restart: Vec::new() });
            assert_eq!(Config::difference(&running, &config), Reload { live: Vec::new(), restart: all.restart });
        }
    }
}

#[test]
fn a_password_that_changes_in_its_file_is_a_change() {
    let login =
        |text: &str| Some(Login { user: "me".into(), password: Secret::from_origin(text, Origin::File("/p".into())) });
    let old = parse(BASE, Path::new(NAME), &Surroundings::default()).unwrap().config;
    let with = |text| Config { broker: Broker { login: login(text), ..old.broker.clone() }, ..old.clone() };
    assert_eq!(Config::difference(&with("a"), &with("b")).live, ["broker.password_file"]);
    assert_eq!(Config::difference(&old, &with("b")).live, ["broker.user", "broker.password_file"]);
}

#[test]
fn a_secret_that_everybody_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p");
    std::fs::write(&file, "s3cret\n").unwrap();
    let text = format!("{BASE}broker.user = \"me\"\nbroker.password_file = \"{}\"", file.display());
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = parse(&text, Path::new(NAME), &Surroundings::default()).unwrap();
        assert_eq!(loaded.config.broker.login.unwrap().password.expose(), "s3cret");
        assert_eq!(loaded.warnings.len(), warnings, "{:?}", loaded.warnings);
    }
}

#[test]
fn every_example_for_a_board_is_right() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/board"));
    let around = Surroundings { credentials: None, checking: true };
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let loaded = load(&path, &around).unwrap_or_else(|e| panic!("{e}"));
            let other = loaded.warnings.iter().find(|w| !w.key.ends_with("password_credential"));
            assert_eq!(other, None);
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} examples");
}

#[test]
fn the_examples_of_the_document_are_right() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("turn");
    std::fs::write(&secret, "s3cret").unwrap();
    let document = std::fs::read_to_string(path).unwrap();
    let document = document.replace("/etc/fanlight/turn-password", secret.to_str().unwrap());
    let document = document.replace("/etc/fanlight/turn-secret", secret.to_str().unwrap());
    let examples: Vec<_> =
        document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        let whole = if example.contains("device =") { example.to_owned() } else { format!("{BASE}{example}") };
        parse(&whole, Path::new(NAME), &Surroundings { credentials: None, checking: true })
            .unwrap_or_else(|e| panic!("{e}\n{example}"));
    }
}
