//! The life of one connection: login, subscribe, `info`, `online`, and then both directions until it ends.

use std::{future::pending, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, info};

use crate::{
    broker::{
        LinkKeys, LinkState, LinkTask, OUTBOX, OutboundContent, OutboundMessage, changed,
        client::{self, ClientSetup, Disconnected, Handling, Publisher, Retained},
        inbound::{Contradicted, InboundRouter, Own, PendingAcks, Published, deliver, who},
        link_error::{LinkError, LinkErrorKind},
        stopped, ticking, transport, url,
    },
    config::{self, MqttVersion},
    protocol::{Addressed, Topics, status::Absence},
};

/// `status` is published again after this time. The broker forgets it after three times as long.
const REFRESH: Duration = Duration::from_secs(60);
/// Changes of `status` within this time are published together.
const COALESCE: Duration = Duration::from_millis(200);
/// How often the device publishes its own `status` or `info` again after others wrote there, at most.
const AGAINST: Duration = Duration::from_secs(1);
/// No viewer waits for an older reply.
const REPLY_LIFE: Duration = Duration::from_secs(15);
/// If a broker acknowledges nothing for this long, the link connects again, although the broker answers pings.
const UNTAKEN: Duration = Duration::from_secs(20);
/// How long the broker may take to acknowledge the last message.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long sending a DISCONNECT may take.
const HANG_UP: Duration = Duration::from_millis(200);
/// The longest time from `stop` to the end.
const STOP_DEADLINE: Duration = Duration::from_millis(900);

const STATUS: Handling = Handling { retain: true, expiry: Some(180), correlation: None };
const INFO: Handling = Handling { retain: true, expiry: None, correlation: None };
const EVT: Handling = Handling { retain: false, expiry: Some(24 * 3600), correlation: None };

/// Published on `evt` after another client logged in with this device's id.
const IDENTITY_CONFLICT: &[u8] = br#"{"v":1,"type":"identity_conflict"}"#;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// `stop` was set.
    Stopped,
    /// The configuration changed.
    Reconfigured,
    /// The board's addresses changed.
    AddressesChanged,
    /// The connection failed, for this reason.
    Lost(LinkError),
}

/// How a connection is closed.
struct Goodbye {
    end: ConnectionEnd,
    /// Whether a DISCONNECT is sent, so that the broker forgets the Will. Without one the broker publishes `lost`,
    /// unless this device is back before the Will is due.
    politely: bool,
}

/// Why a message was not published.
#[derive(Debug)]
enum PublishError {
    /// The connection is over.
    Disconnected,
    /// The broker acknowledged nothing for [`UNTAKEN`], and too many messages wait for it.
    Untaken,
}

fn untaken() -> LinkError {
    let text = format!("publish: the broker acknowledges nothing for {} s", UNTAKEN.as_secs());
    LinkError::new(LinkErrorKind::TimedOut, text)
}

/// One connection, for publishing.
#[derive(Clone, Copy)]
struct Connected<'a> {
    config: &'a config::Broker,
    topics: &'a Topics,
    publisher: &'a Publisher,
    notes: &'a transport::TransportNotes,
    conn: u64,
    /// The payloads that were published on the device's own topics.
    published: &'a Published,
    /// Others published something else there.
    contradicted: &'a Contradicted,
}

impl Connected<'_> {
    /// Publishes a message. Waits while too many wait for their acknowledgement, for [`UNTAKEN`] at most.
    async fn publish(&self, topic: String, payload: Bytes, handling: Handling) -> Result<(), PublishError> {
        let mut publishing = pin!(self.publisher.publish(topic, payload, handling));
        loop {
            match timeout(UNTAKEN, &mut publishing).await {
                Ok(done) => return done.map_err(|Disconnected| PublishError::Disconnected),
                // A large message arrives, and the acknowledgements come behind it.
                Err(_) if self.notes.is_skipping() => {}
                Err(_) => return Err(PublishError::Untaken),
            }
        }
    }
}

impl LinkTask {
    /// Makes one connection, and returns why it ended and how long it was up, if it was.
    pub(super) async fn connection(&mut self, config: &Arc<config::Broker>) -> (ConnectionEnd, Option<Duration>) {
        let topics = Topics::new(&config.root, &self.link.device);
        let conn = self.conn + 1;
        let (publisher, mut incoming, notes) = match client::open(self.client_setup(config, &topics, conn)) {
            Ok(both) => both,
            Err(link_error) => return (ConnectionEnd::Lost(link_error), None),
        };
        let hold = PendingAcks::default();
        let (login, logged_in) = oneshot::channel();
        let (up, is_up) = oneshot::channel();
        let (published, contradicted) = (Published::default(), Contradicted::default());
        let (counts, error_log) = (Arc::clone(&self.counts), Arc::clone(&self.error_log));
        let issuers = self.link.keys.as_ref().map(|keys| keys.issuers.clone());
        let reads = self.link.reads.clone();
        let inbound = InboundRouter {
            topics: &topics,
            published: &published,
            counts: &counts,
            error_log: &error_log,
            contradicted: &contradicted,
            login: Some(login),
            hold: &hold,
            issuers: issuers.as_ref(),
            reads: &reads,
        };
        let mut stop = self.link.stop.clone();
        let deliver = deliver(&hold, is_up, self.link.events.clone(), &publisher, conn);
        let mut receiving = pin!(inbound.receive(&mut incoming, &publisher, config));
        let mut up_since = None;
        let line = Connected {
            config,
            topics: &topics,
            publisher: &publisher,
            notes: &notes,
            conn,
            published: &published,
            contradicted: &contradicted,
        };
        // A broker that blocks publishing is given up after `UNTAKEN`. The heartbeat is about a loop that hangs.
        let heartbeat = self.link.heartbeat.clone();
        let speak = self.speak(line, logged_in, up, &mut up_since);
        let end = tokio::select! {
            link_error = &mut receiving => ConnectionEnd::Lost(link_error),
            Goodbye { end, politely } = speak => {
                if politely {
                    publisher.disconnect();
                    // The broker answers by closing the connection, in time or not.
                    drop(timeout(HANG_UP, &mut receiving).await);
                }
                end
            }
            never = deliver => match never {},
            never = ticking(&heartbeat) => match never {},
            () = async { stopped(&mut stop).await; sleep(STOP_DEADLINE).await } => ConnectionEnd::Stopped,
        };
        (end, up_since.map(|since: Instant| since.elapsed()))
    }

    /// How the client logs in: under which name, and with which Will.
    fn client_setup<'a>(&'a self, config: &'a Arc<config::Broker>, topics: &Topics, conn: u64) -> ClientSetup<'a> {
        ClientSetup {
            config,
            device: &self.link.device,
            will_topic: topics.status(),
            will: self.link.offline(Absence::Lost, conn),
            will_expiry: STATUS.expiry.unwrap_or(0),
            local: Arc::clone(&self.local),
        }
    }

    /// Publishes until there is a reason to close the connection.
    async fn speak(
        &mut self,
        line: Connected<'_>,
        logged_in: oneshot::Receiver<bool>,
        up: oneshot::Sender<()>,
        up_since: &mut Option<Instant>,
    ) -> Goodbye {
        let Connected { config, conn, .. } = line;
        let mut stop = self.link.stop.clone();
        let (mut reload, mut reconnect) = (self.link.config.clone(), self.reconnect.clone());
        tokio::select! {
            () = stopped(&mut stop) => {
                // The `online` of an earlier connection may still be retained.
                let said = self.conn == conn && self.publish_offline(line).await.unwrap_or(false);
                return Goodbye { end: ConnectionEnd::Stopped, politely: said };
            }
            () = changed(&mut reload) => return Goodbye { end: ConnectionEnd::Reconfigured, politely: false },
            () = changed(&mut reconnect) => return Goodbye { end: ConnectionEnd::AddressesChanged, politely: false },
            greeted = self.log_in(line, logged_in) => {
                if let Err(link_error) = greeted {
                    return Goodbye { end: ConnectionEnd::Lost(link_error), politely: true };
                }
            }
        }
        *up_since = Some(Instant::now());
        // `deliver` waits for this. It is gone only if the connection is.
        let _ = up.send(());
        self.state.send_replace(LinkState::Up { conn });
        info!("broker {}: connected by MQTT {}, connection {conn}", url(config), spoken(config.version));
        match self.run_connected(line).await {
            Ok(leave) => leave,
            Err(PublishError::Untaken) => Goodbye { end: ConnectionEnd::Lost(untaken()), politely: false },
            // `receive` knows why.
            Err(PublishError::Disconnected) => pending().await,
        }
    }

    /// Login, subscribe, `info`, `online`: a device is never online before it receives requests.
    async fn log_in(&mut self, line: Connected<'_>, logged_in: oneshot::Receiver<bool>) -> Result<(), LinkError> {
        let Connected { config, topics, publisher, conn, .. } = line;
        let Ok(retains) = logged_in.await else { return pending().await };
        self.conn = conn;
        if !retains {
            let text = "this broker keeps no retained messages: viewers cannot see whether this device is online";
            self.error_log.about(config, &LinkError::new(LinkErrorKind::Publication, text));
        }
        let filters = [topics.requests(), topics.status(), topics.info()];
        let mut subscribing = pin!(publisher.subscribe(&filters, Retained::Unwanted));
        let granted = loop {
            match timeout(transport::DEADLINE, &mut subscribing).await {
                Ok(Ok(granted)) => break granted,
                Ok(Err(Disconnected)) => return pending().await,
                // Some brokers send retained messages before their answer. On a slow network this takes long.
                Err(_) if line.notes.is_skipping() => {}
                Err(_) => return Err(LinkError::new(LinkErrorKind::TimedOut, "subscribe: the broker does not answer")),
            }
        };
        for (filter, granted) in filters.iter().zip(granted) {
            let Err(said) = granted else { continue };
            let text = format!("subscribe to {filter}: {said}; let {} read it in the broker's ACL", who(config));
            let link_error = LinkError::new(LinkErrorKind::Subscription, text);
            // Without its own topics a device works. It just does not notice a late Will, or what others write there.
            match filter {
                _ if *filter == filters[0] => return Err(link_error),
                _ if *filter == filters[1] => self.error_log.about(config, &link_error),
                _ => debug!("broker {}: {link_error}", url(config)),
            }
        }
        self.follow_issuers(line).await;
        match self.introduce(line).await {
            Ok(()) => Ok(()),
            Err(PublishError::Untaken) => Err(untaken()),
            Err(PublishError::Disconnected) => pending().await,
        }
    }

    /// Subscribes to the deny lists of issuers, which the broker may keep. Without them a device works, so nothing is
    /// done about a broker that refuses.
    async fn follow_issuers(&mut self, line: Connected<'_>) {
        let Some(keys) = &mut self.link.keys else { return };
        let issuers = Arc::clone(&keys.issuers.borrow_and_update());
        let filters: Vec<String> = issuers.iter().map(|issuer| line.topics.request(issuer)).collect();
        if filters.is_empty() {
            return;
        }
        // Otherwise the connection is over, which others notice, or the broker is slow.
        let subscribing = timeout(transport::DEADLINE, line.publisher.subscribe(&filters, Retained::Wanted));
        let Ok(Ok(granted)) = subscribing.await else { return };
        for (filter, granted) in filters.iter().zip(granted) {
            let Err(said) = granted else { continue };
            let text = format!("subscribe to {filter}: {said}; let {} read it in the broker's ACL", who(line.config));
            self.error_log.about(line.config, &LinkError::new(LinkErrorKind::Subscription, text));
        }
    }

    /// Publishes the first messages: `info`, then `online`.
    async fn introduce(&mut self, line: Connected<'_>) -> Result<(), PublishError> {
        self.publish_info(line).await?;
        if std::mem::take(&mut self.taken_over) {
            line.publish(line.topics.events(), Bytes::from_static(IDENTITY_CONFLICT), EVT).await?;
        }
        self.publish_status(line).await
    }

    /// Publishes everything while the connection is up.
    async fn run_connected(&mut self, line: Connected<'_>) -> Result<Goodbye, PublishError> {
        let Connected { config, contradicted, .. } = line;
        let mut published_at = Instant::now();
        let (mut info_published_at, mut info_news) = (published_at, false);
        let (mut news, mut against) = (false, false);
        let mut shown = self.link.shown();
        loop {
            let due = published_at
                + match (news, against) {
                    (true, _) => COALESCE,
                    (false, true) => AGAINST,
                    (false, false) => REFRESH,
                };
            let info_due = info_published_at + AGAINST;
            tokio::select! {
                biased;
                () = stopped(&mut self.link.stop) => {
                    let politely = self.publish_offline(line).await?;
                    return Ok(Goodbye { end: ConnectionEnd::Stopped, politely });
                }
                () = changed(&mut self.link.config) => {
                    let moved = moved(config, &self.link.config.borrow());
                    let politely = moved && self.publish_offline(line).await?;
                    return Ok(Goodbye { end: ConnectionEnd::Reconfigured, politely });
                }
                () = changed(&mut self.reconnect) => {
                    return Ok(Goodbye { end: ConnectionEnd::AddressesChanged, politely: false });
                }
                () = sleep_until(due) => {
                    self.publish_status(line).await?;
                    (published_at, news, against) = (Instant::now(), false, false);
                    shown = self.link.shown();
                }
                () = changed(&mut self.link.presence), if !news => news = shown.is_none() || shown != self.link.shown(),
                () = contradicted.status.notified(), if !against => against = true,
                () = contradicted.info.notified(), if !info_news => info_news = true,
                () = sleep_until(info_due), if info_news => {
                    self.publish_info(line).await?;
                    (info_published_at, info_news) = (Instant::now(), false);
                }
                () = changed(&mut self.link.info) => self.publish_info(line).await?,
                () = issuers_changed(&mut self.link.keys) => self.follow_issuers(line).await,
                Some(reply) = self.replies.recv() => publish_reply(reply, line).await?,
            }
        }
    }

    async fn publish_status(&mut self, line: Connected<'_>) -> Result<(), PublishError> {
        let online = self.link.online(line.conn);
        line.published.add(Own::Status, &online);
        line.publish(line.topics.status(), online, STATUS).await
    }

    async fn publish_info(&mut self, line: Connected<'_>) -> Result<(), PublishError> {
        let info = self.link.info.borrow_and_update().clone();
        line.published.add(Own::Info, &info);
        line.publish(line.topics.info(), info, INFO).await
    }

    /// Publishes the replies that still wait, then `offline`. Returns whether the broker acknowledged it.
    async fn publish_offline(&mut self, line: Connected<'_>) -> Result<bool, PublishError> {
        let Connected { topics, publisher, conn, .. } = line;
        let offline = self.link.offline(Absence::Shutdown, conn);
        let last_messages = async {
            for _ in 0..OUTBOX {
                let Ok(reply) = self.replies.try_recv() else { break };
                publish_reply(reply, line).await?;
            }
            publisher
                .publish_surely(topics.status(), offline, STATUS)
                .await
                .map_err(|Disconnected| PublishError::Disconnected)
        };
        match timeout(FAREWELL, last_messages).await {
            Ok(published) => published.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

async fn publish_reply(message: OutboundMessage, line: Connected<'_>) -> Result<(), PublishError> {
    let left = REPLY_LIFE.saturating_sub(message.at.elapsed());
    if left.is_zero() {
        debug!("a message was too late to send");
        return Ok(());
    }
    let (topic, payload, correlation) = match message.content {
        OutboundContent::Reply(Addressed { viewer, payload, correlation }) => {
            (line.topics.reply(&viewer), payload, correlation)
        }
        OutboundContent::Event(payload) => (line.topics.events(), payload, None),
    };
    let seconds = u32::try_from(left.as_secs()).unwrap_or(0).max(1);
    let handling = Handling { retain: false, expiry: Some(seconds), correlation };
    line.publish(topic, payload, handling).await
}

/// Returns when the board knows other issuers. In the mode `broker` it knows none.
async fn issuers_changed(keys: &mut Option<LinkKeys>) {
    match keys {
        Some(keys) => changed(&mut keys.issuers).await,
        None => pending().await,
    }
}

/// Whether viewers have to look for this device elsewhere now.
fn moved(old: &config::Broker, new: &config::Broker) -> bool {
    (&old.host, old.port, &old.path, &old.root) != (&new.host, new.port, &new.path, &new.root)
}

fn spoken(version: MqttVersion) -> &'static str {
    match version {
        MqttVersion::V5 => "5",
        MqttVersion::V311 => "3.1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_no_move() {
        let old = config::Broker::default();
        let login = config::Login { user: "a".into(), password: config::Secret::new("b") };
        assert!(!moved(&old, &config::Broker { login: Some(login), ..old.clone() }));
        assert!(moved(&old, &config::Broker { root: "home/v1".into(), ..old.clone() }));
        assert!(moved(&old, &config::Broker { port: 1884, ..old.clone() }));
    }
}
