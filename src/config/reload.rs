//! Compares two configurations: which changed keys take effect at once, and which on the next start. Pure.

use super::{
    Config, Login,
    keys::{Apply, KEYS},
};

/// The keys in which two configurations differ, grouped by when the change takes effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reload {
    /// These take effect at once, without disturbing viewers.
    pub live: Vec<String>,
    /// These take effect on the next start.
    pub restart: Vec<String>,
}

impl Reload {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

impl Config {
    /// The keys in which `new` differs from `old`.
    pub fn difference(old: &Self, new: &Self) -> Reload {
        let mut reload = Reload::default();
        for key in KEYS {
            let changed = match key.path().as_str() {
                // The password in the same file can change.
                "broker.password_file" | "broker.password_credential" => {
                    let value = new.value(key.table, key.name);
                    let other = value.is_some() && password(&old.broker.login) != password(&new.broker.login);
                    other || old.value(key.table, key.name) != value
                }
                // The keys in the same file can change.
                "access.issuer_file" => old.access.issuer_file != new.access.issuer_file,
                "webrtc.ice_servers" => old.webrtc.ice_servers != new.webrtc.ice_servers,
                _ => old.value(key.table, key.name) != new.value(key.table, key.name),
            };
            match (changed, key.apply) {
                (false, _) => {}
                (true, Apply::Live) => reload.live.push(key.path()),
                (true, Apply::Restart) => reload.restart.push(key.path()),
            }
        }
        reload
    }
}

fn password(login: &Option<Login>) -> Option<&str> {
    login.as_ref().map(|login| login.password.expose())
}
