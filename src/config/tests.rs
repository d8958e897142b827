//! Tests that the parser, the table of keys, the written configuration and the examples agree.

use std::{path::Path, time::Duration};

use crate::rights::{Right, Rights};

use super::{
    keys::{Fallback, KEYS},
    *,
};

pub(super) const NAME: &str = "fanlight.toml";
/// The smallest configuration, in three lines.
pub(super) const BASE: &str = "device = \"garden\"\naccess = { mode = \"broker\", the_broker_can_watch = true \
     }\nbroker.url = \"mqtts://broker.example\"\n";

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
fn the_defaults_match_the_table() {
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

fn viewer(n: u64) -> ConfiguredViewer {
    let key = *crate::jose::SealingKey::generate().unwrap().public();
    ConfiguredViewer { key, rights: Rights::of([Right::View, Right::ALL[n as usize]]), name: format!("Anna {n}") }
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

    fn config(&mut self, logins: &[Option<Login>], issuers: &IssuerFile) -> Config {
        let transport =
            self.pick(&[MqttTransport::Tls, MqttTransport::WebSocketTls, MqttTransport::Tcp, MqttTransport::WebSocket]);
        let web = matches!(transport, MqttTransport::WebSocket | MqttTransport::WebSocketTls);
        let hosts = if transport.is_tls() { ["broker.example", "2001:db8::1"] } else { ["localhost", "::1"] };
        let tls = transport.is_tls();
        let some = |dice: &mut Self| tls && dice.flag();
        let login = logins.iter().flatten().next().cloned().unwrap();
        // Longer than any lease that this generator makes.
        let (secret, ttl) = (login.password.clone(), Duration::from_secs(self.between(700_000, 900_000)));
        let user = self.flag().then(|| "porch".to_owned());
        let session = self.seconds(86_400, 604_800);
        let own_ttl = session + Duration::from_secs(600);
        let turn = [IceLogin::Made { secret, user, ttl, own_ttl }, IceLogin::Fixed(login)];
        let mut addresses = vec!["192.0.2.1".parse().unwrap()];
        let mut interfaces: Vec<_> = ["!docker*", "eth0"].into_iter().filter_map(InterfaceRule::parse).collect();
        // At most one of them.
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
            access: match self.pick(&[AccessMode::Broker, AccessMode::Keys, AccessMode::Token]) {
                AccessMode::Broker => Access::of_mode(AccessMode::Broker),
                mode => {
                    let is_token = mode == AccessMode::Token;
                    Access {
                        viewers: (0..self.roll(3)).map(viewer).collect(),
                        page: self.flag().then(|| "https://cam.example.org/a?b=c".into()),
                        viewer_broker: self.flag().then(|| "wss://broker.example.org/mqtt".into()),
                        issuer_file: is_token.then(|| issuers.clone()),
                        token_max: if is_token { self.seconds(60, 2_678_400) } else { Access::TOKEN_MAX },
                        ..Access::of_mode(mode)
                    }
                }
            },
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
                bitrate: Bitrate::from_kbps(self.number(50, 50_000)),
                floor: self.number(0, 100),
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
                bitrate: Bitrate::from_kbps(self.number(6, 510)),
                fec: self.flag(),
                linger: self.seconds(0, 3600),
            },
            speaker: Speaker {
                output: self.pick(&[SpeakerOutput::Off, SpeakerOutput::Auto, SpeakerOutput::Named("hw:0".into())]),
                linger: self.seconds(0, 3600),
            },
            lamp: gpio::any_lamp(self.roll(32)),
            button: gpio::any_button(self.roll(96)),
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
                session,
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
fn a_written_configuration_reads_back_and_a_reload_names_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let around = Surroundings { credentials: Some(dir.path().to_owned()), ..Surroundings::default() };
    let file = dir.path().join("broker");
    std::fs::write(&file, "s3cret\n").unwrap();
    let issuer = *crate::jose::SigningKey::generate().unwrap().public();
    let issuers = IssuerFile { path: dir.path().join("issuer"), keys: vec![crate::jose::IssuerKey::Es256(issuer)] };
    std::fs::write(&issuers.path, issuer.to_jwk()).unwrap();
    let login = |origin| Some(Login { user: "me".into(), password: Secret::from_origin("s3cret", origin) });
    let logins = [login(Origin::File(file.clone())), login(Origin::Credential("broker".into())), None];
    let mut dice = Dice(0x5eed);
    let mut before: Option<Config> = None;
    for _ in 0..300 {
        let config = dice.config(&logins, &issuers);
        let text = config.to_toml();
        assert!(!text.contains("s3cret"));
        let read = parse(&text, Path::new(NAME), &around).unwrap_or_else(|e| panic!("{e}\n{text}")).config;
        assert_eq!(read, config, "{text}");
        assert!(Config::difference(&read, &config).is_empty());

        // Each change takes effect either at once or on the next start.
        if let Some(old) = before.replace(config.clone()) {
            let (all, running) = (Config::difference(&old, &config), old.reloaded(&config));
            assert_eq!(Config::difference(&old, &running), Reload { live: all.live, restart: Vec::new() });
            assert_eq!(Config::difference(&running, &config), Reload { live: Vec::new(), restart: all.restart });
        }
    }
}

#[test]
fn a_changed_password_in_the_same_file_is_a_change() {
    let login =
        |text: &str| Some(Login { user: "me".into(), password: Secret::from_origin(text, Origin::File("/p".into())) });
    let old = parse(BASE, Path::new(NAME), &Surroundings::default()).unwrap().config;
    let with = |text| Config { broker: Broker { login: login(text), ..old.broker.clone() }, ..old.clone() };
    assert_eq!(Config::difference(&with("a"), &with("b")).live, ["broker.password_file"]);
    assert_eq!(Config::difference(&old, &with("b")).live, ["broker.user", "broker.password_file"]);
}

#[test]
fn a_secret_that_every_user_can_read_is_a_warning() {
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
fn a_private_key_that_every_user_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key.pem");
    std::fs::write(&file, "x").unwrap();
    let text = format!("{BASE}broker.certificate_file = \"/c.pem\"\nbroker.key_file = \"{}\"", file.display());
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o604, 1)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let found = parse(&text, Path::new(NAME), &Surroundings::default()).unwrap().warnings;
        assert_eq!(found.iter().filter(|w| w.key == "broker.key_file").count(), warnings, "{found:?}");
    }
}

#[test]
fn a_credential_is_read_as_the_service_reads_it() {
    let [given, store, empty] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    std::fs::write(given.path().join("pw"), "of the service\n").unwrap();
    std::fs::write(store.path().join("fanlight.pw"), "of the store\r\n").unwrap();
    let stores = || vec![(empty.path().to_owned(), ""), (store.path().to_owned(), "fanlight.")];
    let text = format!("{BASE}broker.user = \"me\"\nbroker.password_credential = \"pw\"");
    for checking in [false, true] {
        for (credentials, stores, expected) in [
            (Some(given.path()), stores(), Ok("of the service")),
            (None, stores(), Ok("of the store")),
            (
                Some(empty.path()),
                stores(),
                Err("systemd passed no credential pw to the service: put it into /etc/credstore/fanlight.pw"),
            ),
            (None, Vec::new(), Err("credential pw was not found or cannot be read: put it into")),
        ] {
            let around = Surroundings { credentials: credentials.map(Path::to_owned), stores, checking };
            match (parse(&text, Path::new(NAME), &around), expected) {
                (Ok(loaded), Ok(password)) => {
                    assert_eq!(loaded.config.broker.login.as_ref().unwrap().password.expose(), password);
                    assert!(loaded.config.to_toml().contains("password_credential = \"pw\"  # read, not shown"));
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (other, _) => panic!("{other:?}, expected {expected:?}"),
            }
        }
    }
    let unread = Secret::unread(Origin::Credential("pw".into()));
    let mut config = parse(BASE, Path::new(NAME), &Surroundings::default()).unwrap().config;
    config.broker.login = Some(Login { user: "me".into(), password: unread });
    assert!(config.to_toml().contains("password_credential = \"pw\"  # not read: see the warning"));
}

#[test]
fn every_example_for_a_board_works_with_the_files_of_setup() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/board"));
    let secrets = tempfile::tempdir().unwrap();
    let password = secrets.path().join("broker-password");
    std::fs::write(&password, "s3cret\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.replace("/etc/fanlight/broker-password", password.to_str().unwrap());
            let loaded = parse(&text, &path, &Surroundings::default()).unwrap_or_else(|e| panic!("{e}"));
            // The test picture is not private and needs no login.
            let known = |key: &str| key == "broker.url" && path.ends_with("test-picture.toml");
            let other = loaded.warnings.iter().find(|w| !known(&w.key));
            assert_eq!(other, None, "{}", path.display());
            let login = loaded.config.broker.login;
            assert!(login.is_none_or(|login| login.password.expose() == "s3cret"), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} examples");
}

/// Every key must have an effect: code outside of this module reads its field.
#[test]
fn every_key_is_used_outside_of_this_module() {
    fn sources(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("src/config") {
                    sources(&path, into);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                *into += text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&root.join("src"), &mut code);
    let mut fields = String::new();
    for entry in std::fs::read_dir(root.join("src/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") {
            fields += &std::fs::read_to_string(&path).unwrap();
        }
    }
    // The structs that make up a configuration: this one, and those that its fields name.
    let mut parts = vec!["Config"];
    let (mut seen, mut next) = (0, 0);
    while let Some(&part) = parts.get(next) {
        next += 1;
        let from = fields.find(&format!("pub struct {part} {{")).unwrap_or_else(|| panic!("no struct {part}"));
        let body = fields[from..].split("\n}").next().unwrap();
        for field in body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':')) {
            let name = field.0;
            if name.starts_with("struct ") {
                continue;
            }
            seen += 1;
            let named = field.1.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            for inner in named.filter(|word| fields.contains(&format!("pub struct {word} {{"))) {
                if !parts.contains(&inner) {
                    parts.push(inner);
                }
            }
            // `.name` that is not assigned to.
            let read = code.match_indices(name).any(|(at, _)| {
                let (before, after) = (&code[..at], &code[at + name.len()..]);
                let whole = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                whole && before.ends_with('.') && !after.trim_start().starts_with("= ")
            });
            assert!(read, "{part}.{name} is read only by the parser");
        }
    }
    assert!(seen > 75 && parts.len() >= keys::TABLES.len(), "{seen} fields of {parts:?}");
}

#[test]
fn the_examples_of_the_document_are_right() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/config.md");
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("turn");
    std::fs::write(&secret, "s3cret").unwrap();
    let document = std::fs::read_to_string(path).unwrap();
    let secrets = ["turn-password", "turn-secret", "broker-password"].map(|name| format!("/etc/fanlight/{name}"));
    let document = secrets.iter().fold(document, |text, path| text.replace(path, secret.to_str().unwrap()));
    let examples: Vec<_> =
        document.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert_eq!(examples.len(), 4);
    for example in examples {
        let whole = if example.contains("device =") { example.to_owned() } else { format!("{BASE}{example}") };
        parse(&whole, Path::new(NAME), &Surroundings { checking: true, ..Surroundings::default() })
            .unwrap_or_else(|e| panic!("{e}\n{example}"));
    }
}
