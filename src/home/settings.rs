//! The settings of home mode: the file `home/home.toml`, which `fanlight setup --home` writes. Pure.

use serde::{Deserialize, Serialize};

use crate::config::Id;

/// The port of the page, unless another one is chosen.
pub const PAGE_PORT: u16 = 8443;
/// The first port that is tried for the broker on loopback.
pub const BROKER_PORT: u16 = 18831;
/// The login of the board at its own broker.
pub const BOARD_LOGIN: &str = "board";
/// Further names that the certificate may have.
const NAMES_MAX: usize = 8;

/// What the broker and the page of home mode have to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HomeSettings {
    /// The port of the page and of the browsers' MQTT, on all addresses.
    pub port: u16,
    /// The port of the broker, on loopback only.
    pub broker_port: u16,
    /// The id of the board.
    pub device: String,
    /// The root of the topics.
    pub root: String,
    /// Further host names of this board, for example those that the router gives it. Names of mDNS are known.
    #[serde(default)]
    pub names: Vec<String>,
}

impl HomeSettings {
    /// Reads the file's text. The error is a sentence with the key or the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("line {}: {}", before.matches('\n').count() + 1, e.message().replace('\n', " "))
        })?;
        read.check()?;
        Ok(read)
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        let text = toml::to_string(self).unwrap_or_default();
        format!("# Written by `fanlight setup --home`. docs/guide/home.md explains it.\n{text}")
    }

    /// The id of the board.
    pub fn id(&self) -> Result<Id, String> {
        let wrong =
            || format!("device: {:?} is no id: 1 to 64 characters of A-Z a-z 0-9 _ - are possible", self.device);
        Id::new(&self.device).ok_or_else(wrong)
    }

    fn check(&self) -> Result<(), String> {
        self.id()?;
        if self.port == 0 || self.broker_port == 0 || self.port == self.broker_port {
            return Err("port and broker_port: two different ports from 1 to 65535 are possible".into());
        }
        let level =
            |level: &str| !level.is_empty() && !level.contains(|c: char| "+#$".contains(c) || c.is_whitespace());
        if self.root.len() > 128 || self.root.contains(char::is_control) || !self.root.split('/').all(level) {
            return Err(format!("root: {:?} is no root of topics, such as fanlight/v1", self.root));
        }
        if self.names.len() > NAMES_MAX {
            return Err(format!("names: at most {NAMES_MAX} are possible"));
        }
        match self.names.iter().find(|name| !is_host_name(name)) {
            Some(name) => Err(format!("names: {name:?} is no host name, such as garden.example.org")),
            None => Ok(()),
        }
    }
}

/// Whether this is a host name (RFC 1123 section 2.1), and no address.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label) && name.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn settings() -> HomeSettings {
        HomeSettings {
            port: PAGE_PORT,
            broker_port: BROKER_PORT,
            device: "garden".into(),
            root: "fanlight/v1".into(),
            names: vec!["garden.fritz.box".into()],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(HomeSettings::parse(&settings().to_toml()), Ok(settings()));
        let without = HomeSettings { names: Vec::new(), ..settings() };
        assert_eq!(HomeSettings::parse(&without.to_toml().replace("names = []", "")), Ok(without));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let with = |f: fn(&mut HomeSettings)| {
            let mut it = settings();
            f(&mut it);
            it.to_toml()
        };
        for (text, words) in [
            (with(|it| it.port = 0), "port and broker_port"),
            (with(|it| it.broker_port = it.port), "two different ports"),
            (with(|it| it.device = "a b".into()), "device: \"a b\""),
            (with(|it| it.root = "a/#".into()), "root: "),
            (with(|it| it.root = "a\nuser board".into()), "root: "),
            (with(|it| it.root = String::new()), "root: "),
            (with(|it| it.names = vec!["10.0.0.1".into()]), "names: "),
            (with(|it| it.names = vec!["a".into(); 9]), "names: at most 8"),
            (settings().to_toml() + "user = \"x\"\n", "unknown field"),
            ("port = \"x\"".into(), "line 1: invalid type"),
        ] {
            let error = HomeSettings::parse(&text).unwrap_err();
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn host_names_are_told_from_addresses() {
        for (name, good) in [
            ("garden", true),
            ("garden.local", true),
            ("4camera.lan", true),
            ("", false),
            ("10.0.0.1", false),
            ("a..b", false),
            ("-a", false),
            ("a_b", false),
            ("größe", false),
            ("a b", false),
        ] {
            assert_eq!(is_host_name(name), good, "{name}");
        }
    }
}
