//! A test connection: each step from the name to a message that the broker acknowledged.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::{
    broker::{
        client::{self, ClientEvent, ClientSetup, Handling, MessageStream, Publisher, Retained},
        inbound::who,
        link_error::{LinkError, LinkErrorKind, Step},
        transport, url,
    },
    config::{self, Id},
    protocol::{Topics, status},
};

/// The message on `evt` and `rsp`. No program needs to understand it.
const WORDS: &[u8] = br#"{"v":1,"type":"check"}"#;
/// The message on `status` and `info`. Viewers leave other versions alone, so they keep what they know of the board.
const NO_NEWS: &[u8] = br#"{"v":0,"type":"check"}"#;

/// How long to wait for something that comes at once or never.
const SOON: Duration = Duration::from_millis(300);

/// The result of the steps.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokerCheck {
    /// The broker.
    pub url: String,
    /// The steps that were done.
    pub done: Vec<&'static str>,
    /// What was not tried, and why.
    pub untried: Option<&'static str>,
    /// Why the next one failed.
    pub link_error: Option<String>,
    /// The kind of that failure.
    pub kind: Option<LinkErrorKind>,
}

impl BrokerCheck {
    /// What works, and what was not tried.
    pub fn works(&self) -> String {
        let done = self.done.join(", ");
        self.untried.map_or_else(|| done.clone(), |untried| format!("{done}; not tried: {untried}"))
    }
}

/// Goes through the steps of a connection, as this user. It has its own client id, so that it does not disturb a daemon
/// that runs.
pub async fn check(config: &config::Broker, device: &Id) -> BrokerCheck {
    let config = Arc::new(config.clone());
    let (untried, link_error) = match run_steps(&config, device).await {
        Ok(untried) => (untried, None),
        Err(link_error) => (None, Some(link_error)),
    };
    let failed = link_error.as_ref().map(|link_error| link_error.step);
    let steps = Step::ALL.into_iter().filter(|step| *step != Step::Tls || config.transport.is_tls());
    let done = steps.take_while(|step| failed.is_none_or(|failed| *step < failed)).map(Step::name).collect();
    let kind = link_error.as_ref().map(|link_error| link_error.kind);
    let link_error = link_error.map(|link_error| link_error.to_string());
    BrokerCheck { url: url(&config), done, untried, link_error, kind }
}

/// Connects, subscribes, and publishes on each topic of the board, never retained. Returns what it did not try.
async fn run_steps(config: &Arc<config::Broker>, device: &Id) -> Result<Option<&'static str>, LinkError> {
    let topics = Topics::new(&config.root, device);
    let short: String = device.as_str().chars().take(56).collect();
    let guise = Id::new(&format!("{short}-check")).unwrap_or_else(|| device.clone());
    let (publisher, mut incoming) = open(config, &topics, &guise)?;
    let ((login, mut logged_in), (refuse, mut refused)) = (mpsc::channel(1), mpsc::channel(1));
    let (found, mut presence) = watch::channel(None);
    let hear = async {
        loop {
            match incoming.poll().await {
                Ok(ClientEvent::LoggedIn { retains }) => drop(login.try_send(retains)),
                Ok(ClientEvent::Refused(said)) => drop(refuse.try_send(said)),
                Ok(ClientEvent::Message(message)) => {
                    if message.retain && message.topic == topics.status() {
                        found.send_replace(Some(message.payload));
                    }
                    // A message that is not acknowledged is sent again.
                    let _ = message.ack.is_none_or(|ack| publisher.acknowledge(&ack));
                }
                Ok(ClientEvent::Other) => {}
                Err(link_error) => return link_error,
            }
        }
    };
    let mut hear = pin!(hear);
    let retains = tokio::select! {
        link_error = &mut hear => return Err(link_error),
        retains = logged_in.recv() => retains.unwrap_or_default(),
    };
    subscribe(config, &publisher, (topics.requests(), Retained::Unwanted), &mut hear).await?;
    let reads = match subscribe(config, &publisher, (topics.status(), Retained::Wanted), &mut hear).await {
        Ok(()) => retains,
        // Without its own status a board works. Here it hides whether the board is online.
        Err(link_error) if link_error.kind == LinkErrorKind::Subscription => false,
        Err(link_error) => return Err(link_error),
    };
    for topic in [topics.events(), topics.reply(&guise)] {
        publish(config, &publisher, (topic, Bytes::from_static(WORDS)), &mut hear, &mut refused).await?;
    }
    let standing = tokio::select! {
        link_error = &mut hear => return Err(link_error.during(Step::Publish)),
        found = timeout(SOON, presence.wait_for(Option::is_some)) => found.ok().and_then(|found| found.ok()?.clone()),
    };
    let untried = keep_off(reads, standing.as_ref());
    if untried.is_none() {
        // What stands there is repeated, which changes nothing for viewers.
        let status = standing.unwrap_or(Bytes::from_static(NO_NEWS));
        publish(config, &publisher, (topics.status(), status), &mut hear, &mut refused).await?;
        publish(config, &publisher, (topics.info(), Bytes::from_static(NO_NEWS)), &mut hear, &mut refused).await?;
    }
    publisher.disconnect();
    // The broker answers by closing the connection, in time or not.
    drop(timeout(SOON, hear).await);
    Ok(untried)
}

/// A connection that disturbs nobody.
fn open(config: &Arc<config::Broker>, topics: &Topics, guise: &Id) -> Result<(Publisher, MessageStream), LinkError> {
    let will = Bytes::from_static(WORDS);
    let setup = ClientSetup {
        config,
        device: guise,
        will_topic: topics.events(),
        will,
        will_expiry: 60,
        local: Arc::default(),
    };
    let (publisher, incoming, _) = client::open(setup).map_err(|link_error| link_error.during(Step::Name))?;
    Ok((publisher, incoming))
}

/// Why nothing may be published on the topics that viewers read: the board is online, or may be. `standing` is the
/// retained
/// `status`.
fn keep_off(reads: bool, standing: Option<&Bytes>) -> Option<&'static str> {
    match standing {
        _ if !reads => Some("publish to status and info: this login does not see whether the board is online"),
        Some(status) if !status::says_offline(status) => Some("publish to status and info: the board is online"),
        _ => None,
    }
}

/// Subscribes as the daemon does. `hear` ends if the connection does.
async fn subscribe(
    config: &config::Broker,
    publisher: &Publisher,
    (filter, retained): (String, Retained),
    hear: &mut Pin<&mut impl Future<Output = LinkError>>,
) -> Result<(), LinkError> {
    let granted = tokio::select! {
        link_error = hear => return Err(link_error.during(Step::Subscribe)),
        granted = timeout(transport::DEADLINE, publisher.subscribe(std::slice::from_ref(&filter), retained)) => granted,
    };
    match granted.map(|granted| granted.ok().and_then(|granted| granted.into_iter().next())) {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(said))) => {
            let text = format!("subscribe to {filter}: {said}; let {} read it in the broker's ACL", who(config));
            Err(LinkError::new(LinkErrorKind::Subscription, text))
        }
        Ok(None) | Err(_) => Err(late(Step::Subscribe)),
    }
}

/// Publishes a message that the broker has to acknowledge. `hear` ends if the connection does; `refused` receives the
/// reason of a refusal.
async fn publish(
    config: &config::Broker,
    publisher: &Publisher,
    (topic, payload): (String, Bytes),
    hear: &mut Pin<&mut impl Future<Output = LinkError>>,
    refused: &mut mpsc::Receiver<String>,
) -> Result<(), LinkError> {
    let handling = Handling { retain: false, expiry: Some(60), correlation: None };
    let published = publisher.publish_surely(topic.clone(), payload, handling);
    let published = tokio::select! {
        link_error = &mut *hear => return Err(link_error.during(Step::Publish)),
        published = timeout(transport::DEADLINE, published) => published,
    };
    if matches!(published, Ok(Ok(()))) {
        return Ok(());
    }
    // The reason of a refusal comes with it or right after it.
    let said = tokio::select! {
        said = refused.recv() => said,
        _ = timeout(SOON, hear) => refused.try_recv().ok(),
    };
    Err(match said {
        Some(said) => LinkError::new(
            LinkErrorKind::Publication,
            format!("publish to {topic}: {said}; let {} write it in the broker's ACL", who(config)),
        ),
        None => late(Step::Publish),
    })
}

/// The broker did not answer in time.
fn late(step: Step) -> LinkError {
    LinkError::new(LinkErrorKind::TimedOut, format!("{}: the broker does not answer", step.name())).during(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_published_for_viewers_of_a_board_that_may_be_online() {
        let [online, offline] = ["online", "offline"].map(|state| Bytes::from(format!(r#"{{"state":"{state}"}}"#)));
        let rows = [
            (true, None, None),
            (true, Some(&offline), None),
            (true, Some(&online), Some("the board is online")),
            (false, None, Some("does not see whether")),
            (false, Some(&offline), Some("does not see whether")),
        ];
        for (reads, standing, expected) in rows {
            let untried = keep_off(reads, standing);
            assert_eq!(untried.is_some(), expected.is_some(), "{reads} {standing:?}");
            assert!(untried.unwrap_or_default().contains(expected.unwrap_or_default()), "{reads}: {untried:?}");
        }
    }
}
