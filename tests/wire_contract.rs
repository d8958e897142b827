//! The whole daemon with mosquitto: its messages match the published schemas.

use fanlight::{
    clock::Mono,
    config::{
        Access, AccessMode, Audio, AudioSource, Button, Config, Id, Lamp, Limits, Log, MqttVersion, Speaker, Video,
        VideoSource, Webrtc,
    },
    liveness::{Liveness, MAX_TICK},
};
use serde_json::{Value, json};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

use crate::rig::{Mosquitto, Watcher, at, conforms, within};

/// The device `cam`: a tone, no picture, nothing but loopback.
struct Daemon {
    broker: Mosquitto,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    liveness: Liveness,
    _reload: watch::Sender<Config>,
}

impl Daemon {
    async fn start() -> (Self, Watcher) {
        let broker = Mosquitto::plain().await;
        let config = Config {
            device: Id::new("cam").unwrap(),
            name: "Camera".into(),
            broker: at(broker.port(), MqttVersion::V5),
            access: Access::of_mode(AccessMode::Broker),
            video: Video { source: VideoSource::Off, ..Video::default() },
            audio: Audio { source: AudioSource::Tone, ..Audio::default() },
            speaker: Speaker::default(),
            lamp: Lamp::default(),
            button: Button::default(),
            webrtc: Webrtc { addresses: vec!["127.0.0.1".parse().unwrap()], loopback: true, ..Webrtc::default() },
            limits: Limits::default(),
            log: Log::default(),
        };
        let (stop, stopped) = oneshot::channel();
        let (reload, seen) = watch::channel(config.clone());
        let liveness = Liveness::default();
        let felt = liveness.clone();
        let task = tokio::spawn(async move {
            let (_note, notes) = watch::channel(String::new());
            fanlight::run::run(config, seen, async { drop(stopped.await) }, &felt, notes).await.unwrap();
        });
        let mut watcher = broker.watch("fanlight/v1/cam/#").await;
        next(&mut watcher, |m| m["state"] == "online").await;
        (Self { broker, stop, task, liveness, _reload: reload }, watcher)
    }

    async fn say(&self, viewer: &str, message: impl ToString, arguments: &[&str]) {
        self.broker.publish(&format!("fanlight/v1/cam/req/{viewer}"), message.to_string(), arguments).await;
    }
}

fn message(session: char, seq: u64, kind: &str, fields: Value) -> Value {
    let mut message = json!({"v": 1, "type": kind, "session": session.to_string().repeat(22), "seq": seq});
    message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    message
}

/// The next message of the device that is as wished. All on the way to it are as their schemas say.
async fn next(watcher: &mut Watcher, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let seen = watcher.next().await;
        if seen.topic.contains("/req/") {
            continue;
        }
        let said = seen.json();
        conforms(said["type"].as_str().unwrap_or(seen.topic.rsplit('/').next().unwrap()), &said);
        if wanted(&said) {
            return said;
        }
    }
}

#[tokio::test]
async fn every_message_matches_its_schema() {
    let (daemon, mut watcher) = Daemon::start().await;
    // Retained, for whoever comes later.
    let mut late = daemon.broker.watch("fanlight/v1/cam/+").await;
    next(&mut late, |m| m["device"] == "cam").await;
    daemon.say("anna", message('A', 0, "hello", json!({})), &[]).await;
    next(&mut watcher, |m| m["type"] == "welcome").await;
    daemon.say("anna", "{", &[]).await;
    next(&mut watcher, |m| m["name"] == "bad_request").await;
    daemon.say("anna", message('A', 0, "request", json!({"media": {"audio": true, "video": true}})), &[]).await;
    next(&mut watcher, |m| m["type"] == "offer").await;
    next(&mut watcher, |m| m["viewers"] == 1).await;
    daemon.say("anna", message('A', 1, "ping", json!({"n": 1})), &[]).await;
    next(&mut watcher, |m| m["type"] == "pong").await;
    daemon.stop.send(()).unwrap();
    next(&mut watcher, |m| m["type"] == "bye" && m["reason"] == "shutdown").await;
    next(&mut watcher, |m| m["state"] == "offline").await;
    within(3, "the daemon ends", daemon.task).await.unwrap();
}

#[tokio::test]
async fn a_retained_request_is_dropped_and_others_are_not() {
    let (daemon, mut watcher) = Daemon::start().await;
    daemon.say("anna", message('A', 0, "hello", json!({})), &["-r"]).await;
    daemon.say("anna", message('B', 0, "hello", json!({})), &[]).await;
    let welcome = next(&mut watcher, |m| m["type"] == "welcome").await;
    assert_eq!(welcome["session"], "B".repeat(22));
    // Taken away again, and for good: an empty message, which is nothing to answer.
    daemon.say("anna", "", &["-r"]).await;
}

#[tokio::test]
async fn a_flood_gets_rate_limited_and_other_viewers_are_served() {
    let (daemon, mut watcher) = Daemon::start().await;
    let flood: String = (0..2000).map(|n| format!("{}\n", message('M', n, "renew", json!({})))).collect();
    for qos in ["0", "1"] {
        let viewer = format!("mallory{qos}");
        let topic = format!("fanlight/v1/cam/req/{viewer}");
        daemon.broker.publish_lines(&topic, flood.clone(), &["-q", qos]).await;
        let told = next(&mut watcher, |m| m["name"] == "rate_limited").await;
        assert_eq!((&told["code"], &told["retry_after_ms"]), (&json!(429), &json!(1000)));
        daemon.say("anna", message('A', 0, "hello", json!({})), &[]).await;
        next(&mut watcher, |m| m["type"] == "welcome").await;
    }
    assert!(!daemon.task.is_finished());
}

/// What the watchdog is fed for: each loop ticks by itself, though nothing happens.
#[tokio::test]
async fn every_loop_shows_that_it_is_alive_while_idle() {
    let (daemon, _watcher) = Daemon::start().await;
    let now = Mono::now();
    // At the end of its period a loop is late if it has not ticked since `now`.
    let waiting = || {
        let late = |period, names: &[&str]| {
            daemon.liveness.late(now + period).into_iter().filter(|name| names.contains(&name.as_str())).count()
        };
        late(MAX_TICK, &["audio", "sessions", "signalling", "broker link"])
    };
    assert_eq!(waiting(), 4, "they are known, and have not ticked: {:?}", daemon.liveness);
    within(30, "a tick of each loop", async {
        while waiting() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}
