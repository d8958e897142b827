//! Writes a configuration as TOML, and takes over what a reload changes at once. Secrets are never shown: their keys
//! name the file or credential they came from.

use std::fmt::{self, Write as _};

use toml::{Table, Value};

use super::{
    Access, AccessMode, Audio, Broker, Button, Config, IceLogin, Lamp, Limits, Log, Login, Origin, Secret, Speaker,
    Video, Webrtc,
    keys::{self, Apply, KEYS, TABLES},
    secret::{PASSWORD, SHARED, SecretKeys},
    url::url_text,
    values::{MDNS, word_of},
};

impl Config {
    /// Every key with a value, including defaults, as TOML. Reading it gives this configuration again.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        for &table in TABLES {
            match table {
                "webrtc.ice_servers" => {
                    for (server, read) in ice_servers(&self.webrtc).into_iter().zip(&self.webrtc.ice_servers) {
                        let value = |name: &str| server.get(name).cloned();
                        write_table(&mut out, "[[webrtc.ice_servers]]", table, is_unread(&read.login), value);
                    }
                }
                "" => write_table(&mut out, "", table, false, |name| self.value("", name)),
                _ => {
                    let unread = self.broker.login.as_ref().is_some_and(|login| login.password.unread);
                    write_table(&mut out, &format!("[{table}]"), table, unread, |name| self.value(table, name));
                }
            }
        }
        out
    }

    /// The value of a key as TOML. `None` if it has none. The ICE servers are one list.
    pub(super) fn value(&self, table: &str, name: &str) -> Option<Value> {
        match table {
            "" => self.top_value(name),
            "broker" => self.broker.value(name),
            "access" => self.access.value(name),
            "video" => self.video.value(name),
            "audio" => self.audio.value(name),
            "speaker" => self.speaker.value(name),
            "lamp" => self.lamp.value(name),
            "button" => self.button.value(name),
            "webrtc" => self.webrtc.value(name),
            "limits" => self.limits.value(name),
            "log" => self.log.value(name),
            _ => None,
        }
    }

    /// This configuration with those values of `new` that take effect at once: the one in force after a reload.
    pub fn reloaded(&self, new: &Self) -> Self {
        let mut config = self.clone();
        config.take_live_top(new);
        config.broker.take_live(&new.broker);
        config.access.take_live(&new.access);
        config.video.take_live(&new.video);
        config.audio.take_live(&new.audio);
        config.speaker.take_live(&new.speaker);
        config.lamp.take_live(&new.lamp);
        config.button.take_live(&new.button);
        config.webrtc.take_live(&new.webrtc);
        config.limits.take_live(&new.limits);
        config.log.take_live(&new.log);
        config
    }
}

/// Connects the keys of a table with the fields that they set, where a configuration is already read: `$value` gives
/// the value of a key as TOML, `$take_live` takes those fields from another configuration whose keys take effect at
/// once.
macro_rules! fields {
    ($type:ty, $table:literal, $value:ident, $take_live:ident, |$part:ident| {
        $($key:literal [$($field:ident)+] => $written:expr,)+
    }) => {
        impl $type {
            fn $value(&self, name: &str) -> Option<Value> {
                let $part = self;
                match name {
                    $($key => $written,)+
                    _ => None,
                }
            }

            fn $take_live(&mut self, new: &Self) {
                $(if is_live($table, $key) {
                    $(self.$field.clone_from(&new.$field);)+
                })+
            }
        }
    };
}

fields!(Config, "", top_value, take_live_top, |c| {
    "device" [device] => text(&c.device),
    "name" [name] => text(&c.name),
});

fields!(Access, "access", value, take_live, |a| {
    "mode" [mode] => text(word_of(&AccessMode::WORDS, a.mode)),
    "the_broker_can_watch" [mode] => (a.mode == AccessMode::Broker).then_some(Value::Boolean(true)),
    "viewers" [viewers] => texts(&a.viewers),
    "page" [page] => text(a.page.as_ref()?),
    "viewer_broker" [viewer_broker] => text(a.viewer_broker.as_ref()?),
    "issuer_file" [issuer_file] => text(a.issuer_file.as_ref()?.path.display()),
    "token_max_s" [token_max] => number(a.token_max.as_secs()),
});

fields!(Broker, "broker", value, take_live, |b| {
    "url" [transport host port path] => text(url_text(b.transport, &b.host, b.port, &b.path)),
    "version" [version] => text(b.version),
    "user" [login] => text(&b.login.as_ref()?.user),
    "password_file" [login] => password_value(b, PASSWORD.0),
    "password_credential" [login] => password_value(b, PASSWORD.1),
    "ca_file" [ca_file] => text(b.ca_file.as_ref()?.display()),
    "certificate_file" [client_certificate] => text(b.client_certificate.as_ref()?.0.display()),
    "key_file" [client_certificate] => text(b.client_certificate.as_ref()?.1.display()),
    "alpn" [alpn] => texts(&b.alpn),
    "root" [root] => text(&b.root),
    "keep_alive_s" [keep_alive] => number(b.keep_alive.as_secs()),
});

fields!(Video, "video", value, take_live, |v| {
    "source" [source] => text(&v.source),
    "format" [format] => text(v.format),
    "size" [size] => text(format!("{}x{}", v.size.0, v.size.1)),
    "fps" [fps] => number(v.fps),
    "encoder" [encoder] => text(v.encoder),
    "openh264_library" [openh264_library] => text(v.openh264_library.as_ref()?.display()),
    "bitrate_kbps" [bitrate] => number(v.bitrate.as_kbps()),
    "floor_percent" [floor] => number(v.floor),
    "key_interval_s" [key_interval] => number(v.key_interval.as_secs()),
    "clock" [clock] => Some(Value::Boolean(v.clock)),
    "linger_s" [linger] => number(v.linger.as_secs()),
    "controls" [controls] => {
        Some(Value::Table(v.controls.iter().map(|(name, value)| (name.clone(), Value::Integer(*value))).collect()))
    },
});

fields!(Audio, "audio", value, take_live, |a| {
    "source" [source] => text(&a.source),
    "channels" [channels] => number(a.channels),
    "bitrate_kbps" [bitrate] => number(a.bitrate.as_kbps()),
    "fec" [fec] => Some(Value::Boolean(a.fec)),
    "linger_s" [linger] => number(a.linger.as_secs()),
});

fields!(Speaker, "speaker", value, take_live, |s| {
    "output" [output] => text(&s.output),
    "linger_s" [linger] => number(s.linger.as_secs()),
});

fields!(Lamp, "lamp", value, take_live, |l| {
    "picture" [picture] => text(&l.picture),
    "sound" [sound] => text(&l.sound),
    "polarity" [polarity] => text(l.polarity),
});

fields!(Button, "button", value, take_live, |b| {
    "doorbell" [doorbell] => text(&b.doorbell),
    "privacy" [privacy] => text(&b.privacy),
    "polarity" [polarity] => text(b.polarity),
    "bias" [bias] => text(b.bias),
    "debounce_ms" [debounce] => number(b.debounce.as_millis()),
    "pause_s" [pause] => number(b.pause.as_secs()),
    "privacy_lifts" [privacy_lifts] => Some(Value::Boolean(b.privacy_lifts)),
});

fields!(Webrtc, "webrtc", value, take_live, |w| {
    "relay_only" [relay_only] => Some(Value::Boolean(w.relay_only)),
    "ports" [ports] => match w.ports {
        Some((first, last)) => Some(Value::Array([first, last].into_iter().filter_map(number).collect())),
        None => text("any"),
    },
    "ipv4" [ipv4] => Some(Value::Boolean(w.ipv4)),
    "ipv6" [ipv6] => Some(Value::Boolean(w.ipv6)),
    "addresses" [addresses] => texts(&w.addresses),
    "interfaces" [interfaces] => texts(&w.interfaces),
    "public_addresses" [public_addresses] => texts(&w.public_addresses),
    "ice_tcp" [ice_tcp] => Some(Value::Boolean(w.ice_tcp)),
    "mdns" [mdns] => text(word_of(&MDNS, w.mdns)),
    "loopback" [loopback] => Some(Value::Boolean(w.loopback)),
    "playout_delay_ms" [playout_delay] => match w.playout_delay {
        Some((least, most)) => {
            Some(Value::Array([least, most].iter().filter_map(|delay| number(delay.as_millis())).collect()))
        }
        None => text("viewer"),
    },
    "ice_servers" [ice_servers] => Some(Value::Array(ice_servers(w).into_iter().map(Value::Table).collect())),
    "ice_command" [ice_command] => texts(&w.ice_command),
});

fields!(Limits, "limits", value, take_live, |l| {
    "viewers" [viewers] => number(l.viewers),
    "sessions_per_viewer" [sessions_per_viewer] => number(l.sessions_per_viewer),
    "setups" [setups] => number(l.setups),
    "starts_per_minute" [starts_per_minute] => number(l.starts_per_minute),
    "messages_per_second" [messages_per_second] => number(l.messages_per_second),
    "candidates" [candidates] => number(l.candidates),
    "restarts_per_minute" [restarts_per_minute] => number(l.restarts_per_minute),
    "session_s" [session] => number(l.session.as_secs()),
    "lease_s" [lease] => number(l.lease.as_secs()),
});

fields!(Log, "log", value, take_live, |l| {
    "filter" [filter] => text(&l.filter),
    "meter_period_s" [meter_period] => number(l.meter_period.as_secs()),
});

/// Whether a change of this key takes effect at once.
fn is_live(table: &str, name: &str) -> bool {
    keys::key(table, name).is_some_and(|key| key.apply == Apply::Live)
}

fn ice_servers(webrtc: &Webrtc) -> Vec<Table> {
    let table = |server: &super::IceServer| {
        let mut table = Table::new();
        table.extend(texts(&server.urls).map(|urls| ("urls".to_owned(), urls)));
        let keys = KEYS.iter().filter(|key| key.table == "webrtc.ice_servers").map(|key| key.name);
        for name in keys.filter(|name| *name != "urls") {
            let value = match (&server.login, name) {
                (_, "ca_file") => server.ca_file.as_ref().and_then(|path| text(path.display())),
                (IceLogin::None, _) => None,
                (IceLogin::Fixed(login), _) => login_value(login, name),
                (IceLogin::Made { user, .. }, "user") => user.as_ref().and_then(text),
                (IceLogin::Made { ttl, .. }, "ttl_s") => number(ttl.as_secs()),
                (IceLogin::Made { secret, .. }, _) => origin_value(secret, name, SHARED),
            };
            if let Some(value) = value {
                table.insert(name.into(), value);
            }
        }
        table
    };
    webrtc.ice_servers.iter().map(table).collect()
}

fn is_unread(login: &IceLogin) -> bool {
    match login {
        IceLogin::None => false,
        IceLogin::Fixed(login) => login.password.unread,
        IceLogin::Made { secret, .. } => secret.unread,
    }
}

fn login_value(login: &Login, name: &str) -> Option<Value> {
    if name == "user" { text(&login.user) } else { origin_value(&login.password, name, PASSWORD) }
}

fn password_value(broker: &Broker, name: &str) -> Option<Value> {
    origin_value(&broker.login.as_ref()?.password, name, PASSWORD)
}

/// The place of a secret, if `name` is the key of a place of this kind.
fn origin_value(secret: &Secret, name: &str, (file, credential): SecretKeys) -> Option<Value> {
    match secret.origin()? {
        Origin::File(path) if name == file => text(path.display()),
        Origin::Credential(named) if name == credential => text(named),
        _ => None,
    }
}

fn write_table(out: &mut String, header: &str, table: &str, unread: bool, value: impl Fn(&str) -> Option<Value>) {
    if !header.is_empty() {
        let _ = writeln!(out, "\n{header}");
    }
    for key in KEYS.iter().filter(|key| key.table == table && key.path() != "webrtc.ice_servers") {
        if let Some(value) = value(key.name) {
            let masked = match key.name.starts_with("password_") || key.name.starts_with("secret_") {
                true if unread => "  # not read: see the warning",
                true => "  # read, not shown",
                false => "",
            };
            let _ = writeln!(out, "{} = {value}{masked}", key.name);
        }
    }
}

fn text(value: impl ToString) -> Option<Value> {
    Some(Value::String(value.to_string()))
}

fn texts<T: fmt::Display>(values: &[T]) -> Option<Value> {
    Some(Value::Array(values.iter().filter_map(text).collect()))
}

fn number(value: impl TryInto<i64>) -> Option<Value> {
    value.try_into().ok().map(Value::Integer)
}
