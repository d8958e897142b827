//! All that home mode makes on a system, in one list: `setup --home --remove` and the package's purge remove exactly
//! this. Pure.

use std::path::{Path, PathBuf};

/// The units of home mode, in the order in which they start. The package has them, switched off.
pub const UNITS: [&str; 2] = ["fanlight-broker.service", "fanlight-home.service"];
/// What a file that was there before is called while home mode is set up.
pub const BEFORE: &str = "before-home";

/// A file that home mode writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeFile {
    /// The settings of the page's server.
    Settings,
    /// The broker's configuration.
    BrokerConfig,
    /// Who may do what at the broker.
    BrokerAcl,
    /// The board's login at the broker, hashed.
    BrokerLogins,
    /// The same password in clear, for the daemon.
    BoardPassword,
    /// What avahi announces.
    Announcement,
}

impl HomeFile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Settings,
        Self::BrokerConfig,
        Self::BrokerAcl,
        Self::BrokerLogins,
        Self::BoardPassword,
        Self::Announcement,
    ];

    /// Its path, from the root of the file system.
    fn place(self) -> &'static str {
        match self {
            Self::Settings => "etc/fanlight/home/home.toml",
            Self::BrokerConfig => "etc/fanlight/home/mosquitto.conf",
            Self::BrokerAcl => "etc/fanlight/home/acl",
            Self::BrokerLogins => "etc/fanlight/home/logins",
            Self::BoardPassword => "etc/fanlight/home/board-password",
            Self::Announcement => "etc/avahi/services/fanlight.service",
        }
    }

    /// Its permissions. Files with secrets are for one user.
    pub fn mode(self) -> u32 {
        match self {
            Self::Settings | Self::BrokerConfig | Self::Announcement => 0o644,
            Self::BrokerAcl | Self::BrokerLogins | Self::BoardPassword => 0o600,
        }
    }

    /// Whether the daemon's user owns it. Root owns the others: systemd hands them to the services.
    pub fn is_of_daemon(self) -> bool {
        self == Self::BoardPassword
    }
}

/// Where home mode has its files: on this system, or below another folder in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

impl Places {
    /// The places below this folder, which stands for the root of the file system.
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The path of a file.
    pub fn of(&self, file: HomeFile) -> PathBuf {
        self.root.join(file.place())
    }

    /// The daemon's configuration, which home mode replaces.
    pub fn configuration(&self) -> PathBuf {
        self.root.join("etc/fanlight/fanlight.toml")
    }

    /// The folder of the files.
    pub fn folder(&self) -> PathBuf {
        self.root.join("etc/fanlight/home")
    }

    /// The folder of avahi's announcements. It exists if avahi is installed.
    pub fn announcements(&self) -> PathBuf {
        self.root.join("etc/avahi/services")
    }

    /// The state of the page's server: keys and certificates. The link comes first, then the folder that systemd makes
    /// for a service with a user of its own (`DynamicUser=` in systemd.exec(5)).
    pub fn state(&self) -> [PathBuf; 2] {
        ["var/lib/fanlight-home", "var/lib/private/fanlight-home"].map(|place| self.root.join(place))
    }

    /// The links by which systemd starts the units.
    pub fn links(&self) -> [PathBuf; 2] {
        UNITS.map(|unit| self.root.join("etc/systemd/system/multi-user.target.wants").join(unit))
    }
}

/// A file beside this one: its name, a dot and the ending.
pub fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTRM: &str = include_str!("../../package/scripts/postrm");

    #[test]
    fn purging_the_package_removes_all_that_home_mode_makes() {
        let places = Places::default();
        let mut made: Vec<PathBuf> = HomeFile::ALL.iter().map(|file| places.of(*file)).collect();
        made.extend(places.state());
        made.extend(places.links());
        for path in made {
            let text = path.to_str().unwrap();
            let named = POSTRM.contains(text)
                || text.strip_prefix("/etc/fanlight/home/").is_some_and(|name| POSTRM.contains(name))
                || path.parent().is_some_and(|folder| POSTRM.contains(&format!("{}/$unit", folder.display())));
            assert!(named, "package/scripts/postrm does not remove {text}");
        }
        for unit in UNITS {
            assert!(POSTRM.contains(unit), "{unit}");
        }
        assert!(POSTRM.contains(BEFORE));
    }

    #[test]
    fn secrets_are_for_one_user() {
        for file in HomeFile::ALL {
            let secret = ["logins", "password"].iter().any(|word| file.place().contains(word));
            assert!(!secret || file.mode() == 0o600, "{file:?}");
        }
        assert_eq!(beside(Path::new("/a/b.toml"), "new"), Path::new("/a/b.toml.new"));
    }
}
