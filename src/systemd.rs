//! Messages to systemd (sd_notify(3)): ready, reloading, stopping, the status line, and the watchdog. They have no
//! effect without systemd, or if its socket is full.

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
    sync::mpsc,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tracing::{debug, error, warn};

use crate::{
    clock::Mono,
    liveness::{Liveness, TICK},
};

/// Longest status, in characters: one or two lines of a terminal. The rest is cut.
const STATUS_MAX: usize = 300;

/// Reports that the service is up, or has read its configuration again.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Sets the line that `systemctl status` shows.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(&line(status))]);
}

/// Reports that the configuration is being read again. `ready` ends this state.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(e) => debug!("notify systemd: read the clock: {e}"),
    }
}

/// Reports that the service is stopping.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let mut message = String::new();
    for state in states {
        let _ = writeln!(message, "{state}");
    }
    if let Err(e) = send(&socket, message.as_bytes()) {
        debug!("notify systemd at {socket:?}: {e}");
    }
}

/// Sends to the socket of the service manager without blocking. The function of the crate `sd_notify` does not support
/// abstract sockets (`@…`) and blocks while the socket is full; the watchdog's task must not block.
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

/// The status as one short line. A line end inside it would begin another variable.
fn line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS_MAX).collect();
    if text.chars().nth(STATUS_MAX).is_some() { format!("{line}…") } else { line }
}

/// How often to feed a watchdog with this time limit. `None` without a watchdog, or with `WATCHDOG_USEC=0`.
fn feeding(within: Option<Duration>) -> Option<Duration> {
    // sd_watchdog_enabled(3) recommends half of the limit. A third allows for one late wake-up. At most ten times a
    // second.
    within.filter(|within| !within.is_zero()).map(|within| (within / 3).max(Duration::from_millis(100)))
}

/// Feeds systemd's watchdog on a thread of its own, until it is dropped. A task that blocks cannot stop it.
#[derive(Debug)]
pub struct Watchdog {
    /// Closed at the end: the thread waits for that, too.
    _end: mpsc::Sender<()>,
}

impl Watchdog {
    /// Starts the thread. `runtime` runs the loops that register with `liveness`. An error if there is no thread to be
    /// had.
    pub fn start(liveness: Liveness, runtime: Handle) -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            feed(&liveness, &runtime, &ended, feeding(sd_notify::watchdog_enabled()));
        })?;
        Ok(Self { _end: end })
    }
}

/// Feeds in each period `fed` while every loop responds. When one hangs, the log names it and systemd restarts the
/// service. Without a watchdog (`None`), it only logs.
fn feed(liveness: &Liveness, runtime: &Handle, ended: &mpsc::Receiver<()>, fed: Option<Duration>) {
    let period = fed.unwrap_or(TICK);
    let is_over = |wait| !matches!(ended.recv_timeout(wait), Err(mpsc::RecvTimeoutError::Timeout));
    let mut reported = Vec::new();
    let mut last = Mono::now();
    while !is_over(period) {
        if Mono::now().since(last) > period + TICK && is_over(TICK) {
            // The whole process was stopped (SIGSTOP, a suspended board). Every loop has run once before the check.
            return;
        }
        // The worker that waits for timers and sockets may be the one that a task blocks. A task from outside wakes
        // the other worker, which then waits for them.
        drop(runtime.spawn(async {}));
        last = Mono::now();
        let late = liveness.late(last);
        if late.is_empty() {
            if !reported.is_empty() {
                warn!("watchdog: everything responds again");
            }
            if fed.is_some() {
                notify(&[NotifyState::Watchdog]);
            }
        } else if late != reported {
            let late = late.join(", ");
            match fed {
                Some(_) => error!("watchdog: not responding: {late}; systemd will restart the service"),
                None => error!("not responding: {late}; restart the daemon, because no watchdog does it"),
            }
        }
        reported = late;
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
    fn a_watchdog_with_a_limit_of_zero_is_off() {
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
    fn a_task_that_blocks_does_not_stop_the_timers_of_the_others() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let (end, ended) = mpsc::channel();
        let handle = runtime.handle().clone();
        let watchdog = std::thread::spawn(move || {
            feed(&Liveness::default(), &handle, &ended, Some(Duration::from_millis(100)));
        });
        let (release, blocked) = mpsc::channel::<()>();
        let (fired, timer) = mpsc::channel();
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            fired.send(()).unwrap();
        });
        // This timer is the only event of its moment. So the worker that waits for timers runs the task itself, and
        // does not wake the other worker.
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let _ = blocked.recv();
        });
        let fired = timer.recv_timeout(Duration::from_secs(20));
        drop((release, end));
        watchdog.join().unwrap();
        fired.expect("the other worker waits for timers");
    }

    #[test]
    fn path_and_abstract_sockets_work_and_others_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("fanlight-test-{}", std::process::id());
        let abstracted = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, receiver) in [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}").into(), UnixDatagram::bind_addr(&abstracted).unwrap()),
        ] {
            send(&socket, b"READY=1\n").unwrap();
            let mut buffer = [0; 64];
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\n");
            // Without a reader the socket gets full. Sending then fails at once.
            receiver.set_nonblocking(true).unwrap();
            let full = (0..100_000).find_map(|_| send(&socket, b"WATCHDOG=1\n").err());
            assert_eq!(full.expect("the socket gets full").kind(), io::ErrorKind::WouldBlock);
        }
        for socket in ["", "@", "relative", "vsock:2:1234", "/no/such/socket", "/dev/null"] {
            assert!(send(OsStr::new(socket), b"READY=1\n").is_err(), "{socket:?}");
        }
        let long = format!("/{}", "x".repeat(5000));
        assert!(send(OsStr::new(&long), b"READY=1\n").is_err());
    }
}
