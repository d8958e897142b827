//! A test connection: each step from the name to a message that the broker acknowledged.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use crate::{
    broker::{
        client::{self, ClientEvent, ClientSetup, Handling, Publisher, Retained},
        inbound::who,
        link_error::{LinkError, LinkErrorKind, Step},
        transport, url,
    },
    config::{self, Id},
    protocol::Topics,
};

/// The message on `evt`. No program needs to understand it.
const WORDS: &[u8] = br#"{"v":1,"type":"check"}"#;

/// How long to wait for something that comes at once or never.
const SOON: Duration = Duration::from_millis(300);

/// The result of the steps.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokerCheck {
    /// The broker.
    pub url: String,
    /// The steps that were done.
    pub done: Vec<&'static str>,
    /// Why the next one failed.
    pub link_error: Option<String>,
    /// The kind of that failure.
    pub kind: Option<LinkErrorKind>,
}

/// Goes through the steps of a connection, as this user. It has its own client id, so that it does not disturb a daemon
/// that runs.
pub async fn check(config: &config::Broker, device: &Id) -> BrokerCheck {
    let config = Arc::new(config.clone());
    let link_error = run_steps(&config, device).await.err();
    let failed = link_error.as_ref().map(|link_error| link_error.step);
    let steps = Step::ALL.into_iter().filter(|step| *step != Step::Tls || config.transport.is_tls());
    let done = steps.take_while(|step| failed.is_none_or(|failed| *step < failed)).map(Step::name).collect();
    let kind = link_error.as_ref().map(|link_error| link_error.kind);
    BrokerCheck { url: url(&config), done, link_error: link_error.map(|link_error| link_error.to_string()), kind }
}

/// Connects, subscribes and publishes.
async fn run_steps(config: &Arc<config::Broker>, device: &Id) -> Result<(), LinkError> {
    let topics = Topics::new(&config.root, device);
    let short: String = device.as_str().chars().take(56).collect();
    let guise = Id::new(&format!("{short}-check")).unwrap_or_else(|| device.clone());
    let will = Bytes::from_static(WORDS);
    let setup = ClientSetup {
        config,
        device: &guise,
        will_topic: topics.events(),
        will,
        will_expiry: 60,
        local: Arc::default(),
    };
    let (publisher, mut incoming, _) = client::open(setup).map_err(|link_error| link_error.during(Step::Name))?;
    let (logged_in, (refuse, mut refused)) = (Notify::new(), mpsc::channel(1));
    let hear = async {
        loop {
            match incoming.poll().await {
                Ok(ClientEvent::LoggedIn { .. }) => logged_in.notify_one(),
                Ok(ClientEvent::Refused(said)) => drop(refuse.try_send(said)),
                Ok(ClientEvent::Message(message)) => {
                    // A message that is not acknowledged is sent again.
                    let _ = message.ack.is_none_or(|ack| publisher.acknowledge(&ack));
                }
                Ok(ClientEvent::Other) => {}
                Err(link_error) => return link_error,
            }
        }
    };
    let mut hear = pin!(hear);
    tokio::select! {
        link_error = &mut hear => return Err(link_error),
        () = logged_in.notified() => {}
    }
    subscribe(config, &publisher, topics.requests(), &mut hear).await?;
    publish(config, &publisher, topics.events(), &mut hear, &mut refused).await?;
    publisher.disconnect();
    // The broker answers by closing the connection, in time or not.
    drop(timeout(SOON, hear).await);
    Ok(())
}

/// Subscribes as the daemon does. `hear` ends if the connection does.
async fn subscribe(
    config: &config::Broker,
    publisher: &Publisher,
    filter: String,
    hear: &mut Pin<&mut impl Future<Output = LinkError>>,
) -> Result<(), LinkError> {
    let granted = tokio::select! {
        link_error = hear => return Err(link_error.during(Step::Subscribe)),
        granted = timeout(transport::DEADLINE, publisher.subscribe(std::slice::from_ref(&filter), Retained::Unwanted)) => granted,
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
    topic: String,
    hear: &mut Pin<&mut impl Future<Output = LinkError>>,
    refused: &mut mpsc::Receiver<String>,
) -> Result<(), LinkError> {
    let handling = Handling { retain: false, expiry: Some(60), correlation: None };
    let published = publisher.publish_surely(topic.clone(), Bytes::from_static(WORDS), handling);
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
