//! What systemd is told: ready, reloading, stopping, how it goes, and that everything still moves. Without systemd, or with a
//! socket that nobody reads, nothing happens.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use sd_notify::NotifyState;
use tracing::{debug, error, warn};

use crate::{
    clock::Mono,
    liveness::{Liveness, TURN},
};

/// A status longer than this is cut: it is one line of a terminal, or two.
const STATUS_MAX: usize = 300;

/// The service is up, or has read its configuration again.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// What `systemctl status` shows.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&line(status))]);
}

/// The configuration is being read again; `ready` ends this.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(e) => debug!("tell systemd: read the clock: {e}"),
    }
}

/// The service is on its way down.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let mut message = String::new();
    for state in states {
        let _ = writeln!(message, "{state}");
    }
    if let Err(e) = send(&socket, message.as_bytes()) {
        debug!("tell systemd at {socket:?}: {e}");
    }
}

/// Sends to the socket of the service manager (sd_notify(3)); never waits. The crate's own function knows no abstract
/// sockets, which begin with `@`, and waits where the socket is full: who feeds a watchdog must not.
fn send(socket: &OsStr, message: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        _ => return Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    let own = UnixDatagram::unbound()?;
    own.set_nonblocking(true)?;
    own.send_to_addr(message, &address).map(drop)
}

/// One line that is not too long: a line end inside a status would begin another message.
fn line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS_MAX).collect();
    if text.chars().nth(STATUS_MAX).is_some() { format!("{line}…") } else { line }
}

/// How often the watchdog is fed, where there is one. `WATCHDOG_USEC=0` is none.
fn feeding(within: Option<Duration>) -> Option<Duration> {
    // A third leaves room for one late wake-up (sd_watchdog_enabled(3) asks for half). Faster than ten times a second nobody asks for.
    within.filter(|within| !within.is_zero()).map(|within| (within / 3).max(Duration::from_millis(100)))
}

/// Feeds systemd's watchdog while every loop turns; once one stands still it is named, and systemd restarts the service.
/// Never ends; without a watchdog it only names.
pub async fn feed_watchdog(liveness: Liveness) {
    let fed = feeding(sd_notify::watchdog_enabled());
    let period = fed.unwrap_or(TURN);
    let mut told = Vec::new();
    let mut last = Mono::now();
    loop {
        tokio::time::sleep(period).await;
        if Mono::now().since(last) > period + TURN {
            // The whole process stood still (SIGSTOP, a board that slept): first everybody has a turn.
            tokio::time::sleep(TURN).await;
        }
        last = Mono::now();
        let late = liveness.late(last);
        if late.is_empty() {
            if !told.is_empty() {
                warn!("watchdog: everything moves again");
            }
            if fed.is_some() {
                tell(&[NotifyState::Watchdog]);
            }
        } else if late != told {
            let late = late.join(", ");
            match fed {
                Some(_) => error!("watchdog: standing still: {late}; systemd will restart the service"),
                None => error!("standing still: {late}; only a restart helps, and there is no watchdog to do it"),
            }
        }
        told = late;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_stays_one_short_message() {
        assert_eq!(line("watching\nREADY=1"), "watching READY=1");
        let long = line(&"ä".repeat(1000));
        assert!(long.chars().count() == STATUS_MAX + 1 && long.ends_with('…'));
    }

    #[test]
    fn a_watchdog_of_no_time_is_none() {
        let ms = Duration::from_millis;
        for (within, expected) in [
            (None, None),
            (Some(Duration::ZERO), None),
            (Some(Duration::from_micros(1)), Some(ms(100))),
            (Some(ms(15_000)), Some(ms(5_000))),
        ] {
            assert_eq!(feeding(within), expected, "{within:?}");
        }
    }

    #[test]
    fn sockets_in_the_file_system_and_abstract_ones_are_reached_and_others_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("fanlight-test-{}", std::process::id());
        let abstracted = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, heard) in [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstracted).unwrap()),
        ] {
            send(&socket, b"READY=1\n").unwrap();
            let mut buffer = [0; 64];
            let length = heard.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\n");
            // Nobody reads: full some time, and never waited for.
            heard.set_nonblocking(true).unwrap();
            let full = (0..100_000).find_map(|_| send(&socket, b"WATCHDOG=1\n").err());
            assert_eq!(full.expect("no socket is endless").kind(), io::ErrorKind::WouldBlock);
        }
        for socket in ["", "@", "relative", "vsock:2:1234", "/no/such/socket", "/dev/null"] {
            assert!(send(OsStr::new(socket), b"READY=1\n").is_err(), "{socket:?}");
        }
        let endless = format!("/{}", "x".repeat(5000));
        assert!(send(OsStr::new(&endless), b"READY=1\n").is_err());
    }
}
