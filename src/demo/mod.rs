//! What the demo needs besides the daemon: a broker and the viewer page. Both are on loopback and in memory only.

mod broker;
pub(crate) mod fuzz;
pub mod lan;
mod page;
pub mod plan;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::config::{self, Id, MqttTransport};

/// How many ports are tried, from the preferred one on.
const TRIES: u16 = 20;
/// How long each of the two servers may take to end by itself.
const CLOSING: Duration = Duration::from_millis(400);

/// The preferred ports of the demo. If one is in use, the next free port is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The viewer page.
    pub page: u16,
    /// MQTT over TCP.
    pub mqtt: u16,
    /// MQTT over WebSocket, for the page.
    pub websocket: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { page: 8080, mqtt: 18830, websocket: 18831 }
    }
}

/// Why the demo cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Every port that was tried is in use.
    #[error(
        "{what}: ports {first} to {last} are all in use; stop the programs that listen \
         there (ss -ltnp shows them) and start again"
    )]
    PortsInUse {
        /// The server.
        what: &'static str,
        /// The first port tried.
        first: u16,
        /// The last port tried.
        last: u16,
    },
    /// A port cannot be listened on, for another reason.
    #[error("{what}: listen on 127.0.0.1:{port}: {said}; is the loopback interface up (ip link set lo up)?")]
    Listen {
        /// The server.
        what: &'static str,
        /// The port.
        port: u16,
        /// The system's error.
        said: io::Error,
    },
    /// The system gives no random numbers.
    #[error("random numbers: {0}; the kernel has to offer getrandom")]
    Random(String),
    /// There is no certificate for other machines.
    #[error("{0}")]
    Certificate(String),
}

/// The running servers. Dropping this value ends them; `close` also waits for their end.
#[derive(Debug)]
pub struct Demo {
    /// The URL to open in a browser.
    pub url: String,
    /// The settings with which the daemon reaches the embedded broker.
    pub broker: config::Broker,
    /// The URL with which a page reaches the embedded broker. Its path is a secret of this run. Other web pages could
    /// otherwise connect to this port of the user's machine and watch.
    pub websocket: String,
    embedded: broker::Embedded,
    page: page::Served,
}

/// Starts the broker and the page for one device. Their ports are open when this returns.
pub async fn serve(device: &Id, root: &str, ports: Ports) -> Result<Demo, DemoError> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|e| DemoError::Random(e.to_string()))?;
    let path = format!("/mqtt-{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
    let embedded = broker::start(ports.mqtt, ports.websocket, &path)?;
    let websocket = format!("ws://127.0.0.1:{}{path}", embedded.websocket);
    let page = page::serve(ports.page, &websocket, root, device)?;
    Ok(Demo {
        url: format!("http://127.0.0.1:{}/", page.port),
        broker: config::Broker {
            transport: MqttTransport::Tcp,
            host: "127.0.0.1".into(),
            port: embedded.mqtt,
            root: root.into(),
            ..config::Broker::default()
        },
        websocket,
        embedded,
        page,
    })
}

/// How to watch the demo of a machine without a screen from another machine. `connection` is `$SSH_CONNECTION`, whose
/// third word is the address by which this machine was reached.
pub fn from_elsewhere(page: u16, websocket: u16, user: &str, host: &str, connection: Option<&str>) -> String {
    let host = connection.and_then(|words| words.split_whitespace().nth(2)).unwrap_or(host);
    format!(
        "From another machine: ssh -L {page}:127.0.0.1:{page} -L {websocket}:127.0.0.1:{websocket} {user}@{host} \
         and then open http://127.0.0.1:{page}/ there. Picture and sound do not go through ssh: they are sent by UDP \
         from this machine to that one."
    )
}

/// Whoever started the demo, and may sit at another machine.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    /// The login that `ssh` takes.
    user: String,
    /// `$SSH_CONNECTION`.
    connection: Option<String>,
}

impl Caller {
    /// Reads the environment. `None` if this machine has a screen. sudo removes `SSH_CONNECTION` and makes `USER` root.
    /// So with sudo a screen says nothing, and the login is the one that called it.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let word = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (connection, by_sudo) = (word("SSH_CONNECTION"), word("SUDO_USER"));
        let has_screen = word("DISPLAY").is_some() || word("WAYLAND_DISPLAY").is_some();
        if connection.is_none() && by_sudo.is_none() && has_screen {
            return None;
        }
        let user = by_sudo.or_else(|| word("USER")).unwrap_or_else(|| "USER".into());
        Some(Self { user, connection })
    }
}

impl Demo {
    /// The line for another machine, from the environment of this process. `None` if this machine has a screen.
    pub fn from_elsewhere(&self) -> Option<String> {
        let Caller { user, connection } = Caller::of(|name| std::env::var(name).ok())?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Some(from_elsewhere(self.page.port, self.embedded.websocket, &user, host.trim(), connection.as_deref()))
    }

    /// Ends both servers within 1 s.
    pub async fn close(self) {
        tokio::join!(self.page.close(), self.embedded.close());
    }
}

/// Listens on the first free port from `first` on.
fn listen(what: &'static str, first: u16) -> Result<(TcpListener, u16), DemoError> {
    let last = first.saturating_add(TRIES - 1);
    for port in first..=last {
        match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(listener) => return Ok((listener, port)),
            Err(said) if said.kind() == io::ErrorKind::AddrInUse => {}
            Err(said) => return Err(DemoError::Listen { what, port, said }),
        }
    }
    Err(DemoError::PortsInUse { what, first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ports_are_forwarded_to_whoever_watches_from_elsewhere() {
        for (connection, host) in
            [(None, "board"), (Some("192.0.2.7 50000 192.0.2.9 22"), "192.0.2.9"), (Some("x"), "board")]
        {
            let line = from_elsewhere(8081, 18832, "pi", "board", connection);
            let command = format!(
                "ssh -L 8081:127.0.0.1:8081 -L 18832:127.0.0.1:18832 pi@{host} and then open http://127.0.0.1:8081/"
            );
            assert!(line.contains(&command), "{line}");
        }
    }

    #[test]
    fn the_login_is_that_of_whoever_called_sudo() {
        const SSH: &str = "192.0.2.7 50000 192.0.2.9 22";
        type Words = &'static [(&'static str, &'static str)];
        type Expected = Option<(&'static str, Option<&'static str>)>;
        let rows: [(Words, Expected); 9] = [
            (&[("USER", "pi"), ("DISPLAY", ":0")], None),
            (&[("USER", "pi"), ("WAYLAND_DISPLAY", "wayland-0"), ("SUDO_USER", "")], None),
            (&[("USER", "pi")], Some(("pi", None))),
            (&[("USER", "pi"), ("DISPLAY", "")], Some(("pi", None))),
            (&[("USER", "pi"), ("DISPLAY", "localhost:10"), ("SSH_CONNECTION", SSH)], Some(("pi", Some(SSH)))),
            (&[("USER", "root"), ("SUDO_USER", "pi")], Some(("pi", None))),
            (&[("USER", "root"), ("SUDO_USER", "pi"), ("SSH_CONNECTION", SSH)], Some(("pi", Some(SSH)))),
            (&[("USER", "root"), ("SUDO_USER", "pi"), ("DISPLAY", "localhost:10")], Some(("pi", None))),
            (&[], Some(("USER", None))),
        ];
        for (words, expected) in rows {
            let variable =
                |name: &str| words.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
            let expected = expected
                .map(|(user, connection)| Caller { user: user.to_owned(), connection: connection.map(str::to_owned) });
            assert_eq!(Caller::of(variable), expected, "{words:?}");
        }
    }

    #[test]
    fn a_port_in_use_is_passed_over_and_twenty_are_too_many() {
        // A run of free ports, which the test looks for.
        let first = (20_000..60_000)
            .step_by(usize::from(TRIES))
            .find(|&first| (first..first + TRIES).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
            .unwrap();
        let mut held = Vec::new();
        for expected in first..first + TRIES {
            let (listener, port) = listen("page", first).unwrap();
            assert_eq!(port, expected);
            held.push(listener);
        }
        let error = listen("page", first).unwrap_err().to_string();
        let expected = format!("page: ports {first} to {} are all in use; stop the programs", first + 19);
        assert!(error.starts_with(&expected), "{error}");
    }
}
