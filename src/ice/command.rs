//! ICE servers from a program of the user (`webrtc.ice_command`), for services that sell TURN relays with temporary
//! logins.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    sync::watch,
    time::timeout,
};
use tracing::{debug, info, warn};

use super::url::IceUrl;
use crate::{
    clock::Mono,
    config::{IceLogin, IceServer, Login, Secret},
    log::Outside,
};

/// How long the program may run.
const DEADLINE: Duration = Duration::from_secs(15);
/// How much it may print to standard output, in bytes.
const OUTPUT_MAX: usize = 64 << 10;
/// How much of its standard error is logged, in bytes.
const COMPLAINT_MAX: usize = 300;
/// How long its servers are valid if it prints no `ttl`.
const TTL: Duration = Duration::from_secs(600);
/// A printed `ttl` is limited to this range.
const TTL_RANGE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30 * 86_400));
/// Servers are no longer used in new sessions this long before they expire, since setting up a session takes time.
const MARGIN: Duration = Duration::from_secs(30);
/// The pause before a program that failed is run again.
const AGAIN: Duration = Duration::from_secs(30);
/// How many servers it may print.
const SERVERS: usize = 8;
/// How many URLs one of them may have.
const URLS: usize = 10;

/// The servers that the program printed, and the state of its runs.
#[derive(Debug, Default)]
struct State {
    command: Vec<String>,
    servers: Vec<IceServer>,
    /// When the servers were printed, and when they expire.
    valid: Option<(Mono, Mono)>,
    tried: Option<Mono>,
    under_way: Option<watch::Receiver<()>>,
    complained: bool,
}

impl State {
    fn at_hand(&self, now: Mono) -> PrintedServers {
        match self.valid {
            Some((_, until)) if now + MARGIN < until => {
                PrintedServers { servers: self.servers.clone(), valid: until.since(now) }
            }
            _ => PrintedServers::default(),
        }
    }

    /// When the program runs next: after half of the servers' validity, or `AGAIN` after it failed.
    fn due(&self) -> Option<Mono> {
        let half = self.valid.map(|(from, until)| from + until.since(from) / 2);
        let failed = self.tried.filter(|tried| self.valid.is_none_or(|(from, _)| *tried > from));
        half.max(failed.map(|tried| tried + AGAIN))
    }
}

/// What the program printed, as long as it is valid.
#[derive(Debug, Default)]
pub(super) struct PrintedServers {
    pub(super) servers: Vec<IceServer>,
    /// How much longer their logins are valid.
    pub(super) valid: Duration,
}

/// The servers that the program printed last.
#[derive(Debug, Default)]
pub(super) struct CommandServers(Arc<Mutex<State>>);

impl CommandServers {
    /// The servers that are valid now. If there are none, this waits for the program, at most for `patience`.
    pub(super) async fn servers(&self, command: &[String], patience: Duration) -> PrintedServers {
        if command.is_empty() {
            return PrintedServers::default();
        }
        if let Some(mut run) = self.run_if_due(command) {
            let _ = timeout(patience, async { while run.changed().await.is_ok() {} }).await;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at_hand(Mono::now())
    }

    /// How long until the program runs next; at least 1 s.
    pub(super) fn pause(&self) -> Duration {
        let due = self.0.lock().unwrap_or_else(PoisonError::into_inner).due();
        due.map_or(Duration::ZERO, |due| due.since(Mono::now())).max(Duration::from_secs(1))
    }

    /// Starts the program if it is due. Returns a receiver to wait for if no server is valid yet; it closes when the
    /// run ends.
    fn run_if_due(&self, command: &[String]) -> Option<watch::Receiver<()>> {
        let now = Mono::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.command != command {
            *state = State { command: command.to_vec(), ..State::default() };
        }
        if state.under_way.is_none() && state.due().is_none_or(|due| due <= now) {
            let (over, run) = watch::channel(());
            (state.tried, state.under_way) = (Some(now), Some(run));
            tokio::spawn(refresh(Arc::clone(&self.0), command.to_vec(), over));
        }
        let run = state.under_way.clone()?;
        // A program that failed last time is not waited for, since each session would wait.
        (state.at_hand(now).servers.is_empty() && !state.complained).then_some(run)
    }
}

/// Runs the program once and keeps its servers, or logs its failure once.
async fn refresh(printed: Arc<Mutex<State>>, command: Vec<String>, _over: watch::Sender<()>) {
    let result = run(&command).await.and_then(|text| parse(&text));
    let mut state = printed.lock().unwrap_or_else(PoisonError::into_inner);
    if state.command != command {
        return;
    }
    state.under_way = None;
    let now = Mono::now();
    match result {
        Ok((servers, ttl)) => {
            let urls = servers.iter().map(|server| server.urls.len()).sum::<usize>();
            debug!("ice_command: {urls} URLs, valid for {} s", ttl.as_secs());
            if state.complained {
                info!("ice_command: it works again");
            }
            (state.servers, state.valid, state.complained) = (servers, Some((now, now + ttl)), false);
        }
        Err(fault) => {
            state.tried = Some(now);
            let meanwhile = if state.at_hand(now).servers.is_empty() {
                "sessions do not use its servers"
            } else {
                "its last servers are used"
            };
            if state.complained {
                debug!("ice_command: {fault}");
            } else {
                state.complained = true;
                warn!("ice_command: {fault}; until it works {meanwhile}");
            }
        }
    }
}

/// Runs the program and returns its standard output.
pub(super) async fn run(command: &[String]) -> Result<Vec<u8>, String> {
    let Some((program, arguments)) = command.split_first() else { return Err("no program".to_owned()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("start {program}: {}", super::dial::plain(&e)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let all = async {
        let (printed, complaint) = tokio::join!(some(out, OUTPUT_MAX + 1), some(err, COMPLAINT_MAX));
        if printed.len() > OUTPUT_MAX {
            return Err(format!("{program} prints more than {OUTPUT_MAX} bytes"));
        }
        let status = child.wait().await.map_err(|e| format!("wait for {program}: {e}"))?;
        if status.success() {
            return Ok(printed);
        }
        let said = String::from_utf8_lossy(&complaint).split_whitespace().collect::<Vec<_>>().join(" ");
        Err(format!("{program}: {status}{}{}", if said.is_empty() { "" } else { "; standard error: " }, Outside(said)))
    };
    let done = timeout(DEADLINE, all).await;
    done.unwrap_or_else(|_| Err(format!("{program} did not end within {} s", DEADLINE.as_secs())))
}

/// Reads at most `most` bytes of a pipe and closes it. A program that writes more gets SIGPIPE.
async fn some(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let _ = pipe.take(most as u64).read_to_end(&mut bytes).await;
    }
    bytes
}

/// Reads the program's output: JSON with a list of ICE servers in the form of `RTCConfiguration`, or an object that
/// contains such a list. `ttl` is how long they are valid, in seconds.
pub(super) fn parse(text: &[u8]) -> Result<(Vec<IceServer>, Duration), String> {
    // The error never quotes the output, since it holds passwords.
    let printed: Value = serde_json::from_slice(text)
        .map_err(|e| format!("its output is not JSON: line {}, column {}", e.line(), e.column()))?;
    let list = printed.get("iceServers").or_else(|| printed.get("ice_servers")).unwrap_or(&printed);
    let list: Vec<&Value> = match list {
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) if fields.contains_key("urls") || fields.contains_key("url") => vec![list],
        _ => return Err("its output has no list of servers: [{\"urls\": …}] or {\"iceServers\": […]}".to_owned()),
    };
    let servers: Vec<_> = list.into_iter().take(SERVERS).filter_map(server).collect();
    if servers.is_empty() {
        return Err("its output has no server with a stun:, turn: or turns: URL".to_owned());
    }
    let seconds = printed.get("ttl").and_then(|ttl| ttl.as_u64().or_else(|| ttl.as_str()?.parse().ok()));
    let ttl = seconds.map_or(TTL, Duration::from_secs).clamp(TTL_RANGE.0, TTL_RANGE.1);
    Ok((servers, ttl))
}

fn server(value: &Value) -> Option<IceServer> {
    let urls = match value.get("urls").or_else(|| value.get("url"))? {
        Value::String(url) => vec![url.as_str()],
        Value::Array(urls) => urls.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let usable = |url: &&str| url.len() <= 300 && IceUrl::parse(url).is_ok();
    let urls: Vec<String> = urls.into_iter().filter(usable).take(URLS).map(str::to_owned).collect();
    let text =
        |name: &str| value.get(name)?.as_str().filter(|text| (1..=1024).contains(&text.len())).map(str::to_owned);
    let login = match (text("username"), text("credential")) {
        (Some(user), Some(password)) => IceLogin::Fixed(Login { user, password: Secret::new(password) }),
        _ => IceLogin::None,
    };
    (!urls.is_empty()).then_some(IceServer { urls, login, ca_file: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_services_print_is_understood() {
        let login = |user: &str| IceLogin::Fixed(Login { user: user.into(), password: Secret::new("p") });
        let turn = |urls: &[&str], login| IceServer {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            login,
            ca_file: None,
        };
        let rows = [
            (
                r#"{"iceServers": {"urls": ["stun:a", "turns:a:443?transport=tcp"], "username": "u", "credential": "p"}}"#,
                vec![turn(&["stun:a", "turns:a:443?transport=tcp"], login("u"))],
                600,
            ),
            (
                r#"{"ice_servers": [{"url": "stun:a"}, {"url": "x", "urls": "turn:b", "username": "u", "credential": "p"}], "ttl": "86400"}"#,
                vec![turn(&["stun:a"], IceLogin::None), turn(&["turn:b"], login("u"))],
                86_400,
            ),
            (
                r#"[{"urls": "turn:a?transport=tcp"}, {"urls": ["http://x", 5]}, 7]"#,
                vec![turn(&["turn:a?transport=tcp"], IceLogin::None)],
                600,
            ),
            (r#"{"urls": "stun:a", "ttl": 1}"#, vec![turn(&["stun:a"], IceLogin::None)], 60),
        ];
        for (text, servers, ttl) in rows {
            assert_eq!(parse(text.as_bytes()), Ok((servers, Duration::from_secs(ttl))), "{text}");
        }
        for (text, words) in [
            ("", "not JSON"),
            ("{\"password\": \"s3cret\"", "not JSON: line 1"),
            ("{}", "no list of servers"),
            ("7", "no list of servers"),
            ("[]", "no server with"),
            (r#"[{"urls": "http://x"}]"#, "no server with"),
        ] {
            let fault = parse(text.as_bytes()).unwrap_err();
            assert!(fault.contains(words) && !fault.contains("s3cret"), "{text}: {fault}");
        }
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_by_what_it_says() {
        assert_eq!(run(&sh("printf hello")).await, Ok(b"hello".to_vec()));
        let rows = [
            (sh("echo the account is closed >&2; exit 3"), "exit status: 3; standard error: the account is closed"),
            (sh("exec cat /dev/zero"), "prints more than 65536 bytes"),
            (vec!["/no/such/program".to_owned()], "start /no/such/program: no such file or directory"),
        ];
        for (command, words) in rows {
            let fault = run(&command).await.unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[tokio::test]
    async fn it_is_asked_once_for_as_long_as_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let script =
            format!("echo x >> {0}/asked; echo '{{\"urls\": \"stun:a\", \"ttl\": 3600}}'", dir.path().display());
        let printed = CommandServers::default();
        for _ in 0..3 {
            let servers = printed.servers(&sh(&script), Duration::from_secs(20)).await;
            assert_eq!(servers.servers.len(), 1);
            assert!((3590..=3600).contains(&servers.valid.as_secs()), "{:?}", servers.valid);
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("asked")).unwrap(), "x\n");
        assert!(printed.pause() > Duration::from_secs(1700), "asked again at the half: {:?}", printed.pause());
    }

    #[test]
    fn servers_are_given_out_while_they_are_good_and_asked_for_again_at_the_half() {
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        let server = IceServer { urls: vec!["stun:a".into()], login: IceLogin::None, ca_file: None };
        let state =
            State { servers: vec![server], valid: Some((at(0), at(600))), tried: Some(at(0)), ..State::default() };
        assert_eq!(state.due(), Some(at(300)));
        let at_hand = [569, 571].map(|now| state.at_hand(at(now)));
        assert_eq!(at_hand.each_ref().map(|printed| printed.servers.len()), [1, 0]);
        assert_eq!(at_hand.map(|printed| printed.valid.as_secs()), [31, 0]);
        let failed = State { tried: Some(at(300)), ..state };
        assert_eq!(failed.due(), Some(at(330)));
        assert_eq!(State::default().due(), None);
    }
}
