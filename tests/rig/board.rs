//! The MQTT link of a board without the rest of the daemon. The test holds the other end of each channel.

use std::time::Duration;

use bytes::Bytes;
use fanlight::{
    broker::{self, EVENTS, Link, LinkErrorKind, LinkEvent, LinkState, Outbox, ReadTopics},
    config::{Broker, Id, MqttTransport, MqttVersion},
    feed::Health,
    liveness::Heartbeat,
    protocol::{Clock, MediaHealth, Presence},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::within;

pub struct Board {
    pub outbox: Outbox,
    pub events: mpsc::Receiver<LinkEvent>,
    pub config: watch::Sender<Broker>,
    pub info: watch::Sender<Bytes>,
    pub presence: watch::Sender<Presence>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// The broker at this port of loopback.
pub fn at(port: u16, version: MqttVersion) -> Broker {
    Broker { port, version, ..Broker::default() }
}

/// The same broker over another transport.
pub fn over(transport: MqttTransport, config: Broker) -> Broker {
    let path = match transport {
        MqttTransport::Tcp | MqttTransport::Tls => "",
        MqttTransport::WebSocket | MqttTransport::WebSocketTls => "/mqtt",
    };
    Broker { transport, path: path.into(), host: "localhost".into(), ..config }
}

impl Board {
    /// Starts the link of the device `cam`.
    pub fn start(config: Broker) -> Self {
        Self::with_room_for(EVENTS, config)
    }

    /// The same, which reads only the messages of this viewer.
    pub fn that_reads(viewer: &'static str, config: Broker) -> Self {
        Self::with(EVENTS, ReadTopics::new(move |it| it.as_str() == viewer), config)
    }

    /// The same, with another size of the queue to the sessions.
    pub fn with_room_for(events: usize, config: Broker) -> Self {
        Self::with(events, ReadTopics::default(), config)
    }

    fn with(events: usize, reads: ReadTopics, config: Broker) -> Self {
        let (sender, events) = mpsc::channel(events);
        let config = watch::Sender::new(config);
        let info = watch::Sender::new(Bytes::from_static(br#"{"v":1,"name":"Camera"}"#));
        let presence = watch::Sender::new(Presence {
            media: MediaHealth { video: Health::Ok, audio: Health::Absent },
            viewers: 0,
            max_viewers: 8,
            clock: Clock::Synced,
            nonce: "AAAA".into(),
        });
        let stop = watch::Sender::new(false);
        let (outbox, link) = broker::link(Link {
            config: config.subscribe(),
            device: Id::new("cam").unwrap(),
            keys: None,
            reads,
            epoch: "epoch-1".into(),
            info: info.subscribe(),
            presence: presence.subscribe(),
            events: sender,
            stop: stop.subscribe(),
            heartbeat: Heartbeat::default(),
        });
        Self { outbox, events, config, info, presence, stop, task: tokio::spawn(link) }
    }

    /// Waits until the link is up, and takes the event that says so.
    pub async fn up(&mut self) -> u64 {
        match self.event().await {
            LinkEvent::Up { conn } => conn,
            other => panic!("not up but {other:?}"),
        }
    }

    /// Waits for the next event.
    pub async fn event(&mut self) -> LinkEvent {
        within(60, "an event", self.events.recv()).await.expect("the link continues")
    }

    /// Waits for an error of this kind, and returns its text.
    pub async fn trouble(&self, kind: LinkErrorKind) -> String {
        let mut state = self.outbox.state();
        let found = state.wait_for(|state| matches!(state, LinkState::Down(trouble) if trouble.kind == kind));
        match tokio::time::timeout(Duration::from_secs(30), found).await {
            Ok(state) => match &*state.unwrap() {
                LinkState::Down(trouble) => trouble.to_string(),
                other => panic!("{other:?}"),
            },
            Err(_) => panic!("no {kind:?} but {:?}", self.outbox.state().borrow()),
        }
    }

    /// Changes the number of viewers in `status`.
    pub fn viewers(&self, viewers: usize) {
        self.presence.send_modify(|presence| presence.viewers = viewers);
    }

    /// Stops the link. Fails if that takes longer than a second.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(1), self.task).await.expect("the link ends within 1 s").unwrap();
    }
}

/// A request as `anna` sends it.
pub fn request(payload: impl Into<Bytes>) -> LinkEvent {
    LinkEvent::Message { viewer: Id::new("anna").unwrap(), payload: payload.into(), correlation: None }
}
