//! Writes a configuration as TOML. Secrets are never shown: their keys name the file or credential they came from.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::{
    Access, Config, IceLogin, Login, Origin, Secret,
    keys::{KEYS, TABLES},
    secret::{PASSWORD, SHARED, SecretKeys},
    url::url_text,
};

impl Config {
    /// Every key with a value, including defaults, as TOML. Reading it gives this configuration again.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        for &table in TABLES {
            match table {
                "webrtc.ice_servers" => {
                    for (server, read) in ice_servers(self).into_iter().zip(&self.webrtc.ice_servers) {
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
            "" => match name {
                "device" => text(&self.device),
                "name" => text(&self.name),
                _ => None,
            },
            "broker" => self.broker_value(name),
            "access" => match (self.access, name) {
                (Access::Broker, "mode") => text("broker"),
                (Access::Broker, "the_broker_can_watch") => Some(Value::Boolean(true)),
                _ => None,
            },
            "video" => self.video_value(name),
            "audio" => match name {
                "source" => text(&self.audio.source),
                "channels" => number(self.audio.channels),
                "bitrate_kbps" => number(self.audio.bitrate.as_kbps()),
                "fec" => Some(Value::Boolean(self.audio.fec)),
                "linger_s" => number(self.audio.linger.as_secs()),
                _ => None,
            },
            "webrtc" => self.webrtc_value(name),
            "limits" => self.limits_value(name),
            "log" => match name {
                "filter" => text(&self.log.filter),
                "meter_period_s" => number(self.log.meter_period.as_secs()),
                _ => None,
            },
            _ => None,
        }
    }

    fn broker_value(&self, name: &str) -> Option<Value> {
        let b = &self.broker;
        match name {
            "url" => text(url_text(b.transport, &b.host, b.port, &b.path)),
            "version" => text(b.version),
            "ca_file" => text(b.ca_file.as_ref()?.display()),
            "certificate_file" => text(b.client_certificate.as_ref()?.0.display()),
            "key_file" => text(b.client_certificate.as_ref()?.1.display()),
            "alpn" => Some(Value::Array(b.alpn.iter().map(|name| Value::String(name.clone())).collect())),
            "root" => text(&b.root),
            "keep_alive_s" => number(b.keep_alive.as_secs()),
            _ => login_value(b.login.as_ref()?, name),
        }
    }

    fn video_value(&self, name: &str) -> Option<Value> {
        let v = &self.video;
        match name {
            "source" => text(&v.source),
            "format" => text(v.format),
            "size" => text(format!("{}x{}", v.size.0, v.size.1)),
            "fps" => number(v.fps),
            "encoder" => text(v.encoder),
            "openh264_library" => text(v.openh264_library.as_ref()?.display()),
            "bitrate_kbps" => number(v.bitrate.as_kbps()),
            "floor_percent" => number(v.floor),
            "key_interval_s" => number(v.key_interval.as_secs()),
            "clock" => Some(Value::Boolean(v.clock)),
            "linger_s" => number(v.linger.as_secs()),
            "controls" => Some(Value::Table(v.controls.iter().map(|(k, v)| (k.clone(), Value::Integer(*v))).collect())),
            _ => None,
        }
    }

    fn webrtc_value(&self, name: &str) -> Option<Value> {
        let w = &self.webrtc;
        match name {
            "relay_only" => Some(Value::Boolean(w.relay_only)),
            "ports" => match w.ports {
                Some((first, last)) => Some(Value::Array([first, last].into_iter().filter_map(number).collect())),
                None => text("any"),
            },
            "ipv4" => Some(Value::Boolean(w.ipv4)),
            "ipv6" => Some(Value::Boolean(w.ipv6)),
            "addresses" => Some(Value::Array(w.addresses.iter().filter_map(text).collect())),
            "interfaces" => Some(Value::Array(w.interfaces.iter().filter_map(text).collect())),
            "public_addresses" => Some(Value::Array(w.public_addresses.iter().filter_map(text).collect())),
            "ice_tcp" => Some(Value::Boolean(w.ice_tcp)),
            "mdns" => text(if w.mdns { "resolve" } else { "ignore" }),
            "loopback" => Some(Value::Boolean(w.loopback)),
            "playout_delay_ms" => match w.playout_delay {
                Some((least, most)) => {
                    Some(Value::Array([least, most].iter().filter_map(|d| number(d.as_millis())).collect()))
                }
                None => text("viewer"),
            },
            "ice_command" => Some(Value::Array(w.ice_command.iter().filter_map(text).collect())),
            "ice_servers" => Some(Value::Array(ice_servers(self).into_iter().map(Value::Table).collect())),
            _ => None,
        }
    }

    fn limits_value(&self, name: &str) -> Option<Value> {
        let l = &self.limits;
        match name {
            "viewers" => number(l.viewers),
            "sessions_per_viewer" => number(l.sessions_per_viewer),
            "setups" => number(l.setups),
            "starts_per_minute" => number(l.starts_per_minute),
            "messages_per_second" => number(l.messages_per_second),
            "candidates" => number(l.candidates),
            "restarts_per_minute" => number(l.restarts_per_minute),
            "session_s" => number(l.session.as_secs()),
            "lease_s" => number(l.lease.as_secs()),
            _ => None,
        }
    }
}

fn ice_servers(config: &Config) -> Vec<Table> {
    let table = |server: &super::IceServer| {
        let mut table = Table::new();
        table.insert("urls".into(), Value::Array(server.urls.iter().map(|url| Value::String(url.clone())).collect()));
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
    config.webrtc.ice_servers.iter().map(table).collect()
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

fn number(value: impl TryInto<i64>) -> Option<Value> {
    value.try_into().ok().map(Value::Integer)
}
