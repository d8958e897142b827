//! The log of the running daemon: it blocks nothing, no sender can flood it, and no sender can forge a line.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Child;

use crate::rig::{Daemon, FANLIGHT, Mosquitto, within};

const REQ: &str = "fanlight/v1/cam/req";

fn config(port: u16, filter: &str) -> String {
    format!(
        "device = \"cam\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[access]\nmode = \"broker\"\n\
         the_broker_can_watch = true\n[video]\nsource = \"off\"\n[audio]\nsource = \"tone\"\n[log]\nfilter = \"{filter}\"\n"
    )
}

fn message(session: usize, seq: u64, kind: &str, fields: Value) -> String {
    let mut message = json!({"v": 1, "type": kind, "session": format!("{session:022}"), "seq": seq});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message.to_string()
}

/// A log line of a daemon that writes to a file or pipe, without its time.
fn is_record(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T') && bytes.get(23) == Some(&b'Z')
}

/// Standard error is a pipe that is full and that nobody reads: a stalled journal.
#[tokio::test]
async fn a_log_that_nobody_reads_blocks_nothing() {
    let broker = Mosquitto::plain().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("fanlight.toml");
    std::fs::write(&file, config(broker.port(), "trace")).unwrap();
    let (_reader, mut full) = std::io::pipe().unwrap();
    // What a pipe holds (pipe(7)), so that not even the first line finds room.
    full.write_all(&vec![b'.'; 65_536]).unwrap();
    let mut command = Command::new(FANLIGHT);
    command.args(["run", "--config"]).arg(&file).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null()).stderr(full);
    let mut command = tokio::process::Command::from(command);
    let mut child: Child = command.kill_on_drop(true).spawn().unwrap();
    let mut status = broker.watch("fanlight/v1/cam/status").await;
    status.next_with("state", "online").await;

    // Far more than the log's queue holds, and then something that is answered.
    let mut replies = broker.watch("fanlight/v1/cam/rsp/anna").await;
    for viewer in 0..20 {
        let flood: String = (0..100).map(|n| format!("{{\"v\":1,\"type\":\"x{n}\"}}\n")).collect();
        broker.publish_lines(&format!("{REQ}/v{viewer}"), flood, &["-q", "1"]).await;
    }
    broker.publish(&format!("{REQ}/anna"), message(1, 0, "hello", json!({})), &[]).await;
    replies.next_with("type", "welcome").await;

    let start = Instant::now();
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = within(20, "the daemon ends", child.wait()).await.unwrap();
    assert!(ended.success() && start.elapsed() < Duration::from_secs(4), "{ended} after {:?}", start.elapsed());
    status.next_with("reason", "shutdown").await;
}

/// Whatever viewers send, at the usual level and at one that tells more.
#[tokio::test]
async fn a_flood_of_bad_messages_makes_few_log_lines() {
    for (filter, most) in [("info", 120), ("debug", 4000)] {
        let broker = Mosquitto::plain().await;
        let daemon = Daemon::run(&config(broker.port(), filter));
        daemon.says("connected by MQTT").await;
        let mut replies = broker.watch("fanlight/v1/cam/rsp/anna").await;
        let evil = format!("v=0\r\nx\r2026-01-01T00:00:00.000Z ERROR forged\u{202e}\u{2028}{}", "y".repeat(20_000));
        for viewer in 0..10 {
            let mut flood = String::new();
            for n in 0..500 {
                let text = match n % 5 {
                    0 => message(n, 0, "offer", json!({"sdp": evil})),
                    1 => message(n, 0, "bye", json!({"reason": "\r\u{202e}\u{2028}forged"})),
                    2 => format!("{{\"v\":1,\"type\":\"{evil:?}\""),
                    3 => "eyJhbGciOiJub25lIn0.e30.c2ln".to_owned(),
                    _ => message(n, 7, "ping", json!({"n": -1})),
                };
                flood += &text;
                flood.push('\n');
            }
            broker.publish_lines(&format!("{REQ}/v{viewer}"), flood, &["-q", "1"]).await;
        }
        broker.publish(&format!("{REQ}/anna"), message(1, 0, "hello", json!({})), &[]).await;
        replies.next_with("type", "welcome").await;
        let log = daemon.log();
        let lines: Vec<_> = log.lines().collect();
        assert!(lines.len() <= most, "{} lines at {filter}:\n{log:.4000}", lines.len());
        for line in lines {
            assert!(is_record(line) && line.len() < 1200, "{line:?}");
            assert!(!line.contains(['\r', '\u{202e}', '\u{2028}']), "{line:?}");
        }
        assert!(filter == "info" || log.contains("refused"), "the flood was heard:\n{log:.4000}");
    }
}

/// The last lines come out before the process ends.
#[tokio::test]
async fn the_log_is_written_to_the_end() {
    let broker = Mosquitto::plain().await;
    let mut daemon = Daemon::run(&config(broker.port(), "info"));
    daemon.says("connected by MQTT").await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ends().await.0.success());
    daemon.says("stopping").await;
}
