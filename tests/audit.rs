//! The audit records of a daemon outside of systemd: lines of its log. `browser/audit.test.mjs` has a real journal.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::{Daemon, Mosquitto};

fn config(port: u16, filter: &str) -> String {
    format!(
        "device = \"cam\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n[access]\nmode = \"broker\"\n\
         the_broker_can_watch = true\n[video]\nsource = \"off\"\n[audio]\nsource = \"tone\"\n[webrtc]\n\
         addresses = [\"127.0.0.1\"]\nloopback = true\n[limits]\nviewers = 1\n[log]\nfilter = \"{filter}\"\n"
    )
}

fn message(session: char, seq: u64, kind: &str, fields: Value) -> String {
    let mut message = json!({"v": 1, "type": kind, "session": session.to_string().repeat(22), "seq": seq});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message.to_string()
}

/// The records in a log, without the time and the level.
fn records(log: &str) -> Vec<&str> {
    log.lines().filter_map(|line| line.split_once("audit: ")).map(|(_, record)| record).collect()
}

/// Whatever the filter of the log is: an owner that wants few lines does not lose the record of who watched.
#[tokio::test]
async fn who_watched_and_who_was_refused_is_in_the_log_at_every_level() {
    for filter in ["info", "error", "off"] {
        let broker = Mosquitto::plain().await;
        let mut status = broker.watch("fanlight/v1/cam/status").await;
        let mut daemon = Daemon::run(&config(broker.port(), filter));
        status.next_with("state", "online").await;
        let ask = async |viewer: &str, message: String| {
            broker.publish(&format!("fanlight/v1/cam/req/{viewer}"), message, &["-q", "1"]).await;
        };
        let media = json!({"media": {"audio": true}});
        ask("anna", message('A', 0, "request", media.clone())).await;
        daemon.says("FANLIGHT_AUDIT=start FANLIGHT_VIEWER=anna FANLIGHT_SESSION=AAAAAAAA").await;
        status.next_with("viewers", 1).await;
        ask("bert", message('B', 0, "request", media.clone())).await;
        daemon.says("FANLIGHT_AUDIT=refuse FANLIGHT_VIEWER=bert FANLIGHT_REASON=busy").await;
        ask("anna", message('A', 1, "bye", json!({}))).await;
        daemon.says("FANLIGHT_AUDIT=end FANLIGHT_VIEWER=anna").await;
        status.next_with("viewers", 0).await;
        ask("carl", message('C', 0, "request", media)).await;
        daemon.says("FANLIGHT_AUDIT=start FANLIGHT_VIEWER=carl").await;
        daemon.signal(Signal::TERM);
        assert!(daemon.ends().await.0.success());
        daemon.says("FANLIGHT_REASON=shutdown").await;
        let log = daemon.log();
        let seen = records(&log);
        assert_eq!(seen.len(), 5, "{filter}: {seen:#?}");
        assert!(
            seen[0].starts_with("viewer anna began to watch, and may view,listen; FANLIGHT_AUDIT=start"),
            "{seen:#?}"
        );
        assert!(seen[2].contains("FANLIGHT_BYTES=0") && seen[2].contains("FANLIGHT_REASON=bye"), "{seen:#?}");
        assert!(seen[4].starts_with("viewer carl no longer watches, after "), "{seen:#?}");
        let others = log.lines().count() - seen.len();
        match filter {
            "info" => assert!(others > 0, "{log}"),
            _ => assert_eq!(others, 0, "{log}"),
        }
    }
}

/// A viewer that is refused all the time has few lines, and what is left out is counted.
#[tokio::test]
async fn a_flood_of_refusals_has_few_records() {
    let broker = Mosquitto::plain().await;
    let mut status = broker.watch("fanlight/v1/cam/status").await;
    let mut daemon = Daemon::run(&config(broker.port(), "info"));
    status.next_with("state", "online").await;
    let mut replies = broker.watch("fanlight/v1/cam/rsp/anna").await;
    let flood: String = (0..50).map(|n| message('A', n, "renew", json!({})) + "\n").collect();
    broker.publish_lines("fanlight/v1/cam/req/anna", flood, &["-q", "1"]).await;
    replies.next_with("name", "no_session").await;
    daemon.signal(Signal::TERM);
    assert!(daemon.ends().await.0.success());
    daemon.says("FANLIGHT_LEFT_OUT=").await;
    let log = daemon.log();
    let count =
        |record: &str| record.split("FANLIGHT_LEFT_OUT=").nth(1).map_or(0, |n| n.trim().parse::<u64>().unwrap());
    let all: u64 = records(&log).iter().map(|record| 1 + count(record)).sum();
    assert!(records(&log).len() <= 31 && (31..=50).contains(&all), "{all}: {:#?}", records(&log));
}
