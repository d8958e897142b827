//! One connection made to be looked at: each step from the name to a message that the broker took.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use crate::{
    broker::{
        client::{self, Handling, Inbound, Setup},
        inbound::who,
        link_error::{Kind, LinkError, Step},
        transport, url,
    },
    config::{self, Id},
    protocol::Topics,
};

/// What is said on `evt`: nobody has to understand it.
const WORDS: &[u8] = br#"{"v":1,"type":"check"}"#;

/// What follows at once, or not at all.
const SOON: Duration = Duration::from_millis(300);

/// What became of the steps.
#[derive(Debug, PartialEq, Eq)]
pub struct Checked {
    /// The broker.
    pub url: String,
    /// The steps that were done.
    pub done: Vec<&'static str>,
    /// Why the next one was not.
    pub link_error: Option<String>,
    /// What kind of trouble that is.
    pub kind: Option<Kind>,
}

/// Goes through the steps of a connection, as this user, with a client id of its own: a daemon that runs meanwhile is not
/// disturbed.
pub async fn check(config: &config::Broker, device: &Id) -> Checked {
    let config = Arc::new(config.clone());
    let link_error = run_steps(&config, device).await.err();
    let failed = link_error.as_ref().map(|link_error| link_error.step);
    let steps = Step::ALL.into_iter().filter(|step| *step != Step::Tls || config.transport.is_tls());
    let done = steps.take_while(|step| failed.is_none_or(|failed| *step < failed)).map(Step::name).collect();
    let kind = link_error.as_ref().map(|link_error| link_error.kind);
    Checked { url: url(&config), done, link_error: link_error.map(|link_error| link_error.to_string()), kind }
}

async fn run_steps(config: &Arc<config::Broker>, device: &Id) -> Result<(), LinkError> {
    let topics = Topics::new(&config.root, device);
    let short: String = device.as_str().chars().take(56).collect();
    let guise = Id::new(&format!("{short}-check")).unwrap_or_else(|| device.clone());
    let handling = Handling { retain: false, expiry: Some(60), correlation: None };
    let will = Bytes::from_static(WORDS);
    let setup =
        Setup { config, device: &guise, will_topic: topics.events(), will, will_expiry: 60, local: Arc::default() };
    let (publisher, mut incoming, _) = client::open(setup).map_err(|link_error| link_error.during(Step::Name))?;
    let (logged_in, (refuse, mut refused)) = (Notify::new(), mpsc::channel(1));
    let hear = async {
        loop {
            match incoming.poll().await {
                Ok(Inbound::LoggedIn { .. }) => logged_in.notify_one(),
                Ok(Inbound::Refused(said)) => drop(refuse.try_send(said)),
                Ok(Inbound::Message(message)) => {
                    // One that is not acknowledged is only sent again.
                    let _ = message.ack.is_none_or(|ack| publisher.acknowledge(&ack));
                }
                Ok(Inbound::Other) => {}
                Err(link_error) => return link_error,
            }
        }
    };
    let late = |step: Step| {
        LinkError::new(Kind::TimedOut, format!("{}: the broker does not answer", step.name())).during(step)
    };
    let mut hear = pin!(hear);
    tokio::select! {
        link_error = &mut hear => return Err(link_error),
        () = logged_in.notified() => {}
    }
    let filter = topics.requests();
    let granted = tokio::select! {
        link_error = &mut hear => return Err(link_error.during(Step::Subscribe)),
        granted = timeout(transport::DEADLINE, publisher.subscribe(std::slice::from_ref(&filter))) => granted,
    };
    match granted.map(|granted| granted.ok().and_then(|granted| granted.into_iter().next())) {
        Ok(Some(Ok(()))) => {}
        Ok(Some(Err(said))) => {
            let text = format!("subscribe to {filter}: {said}; let {} read it in the broker's ACL", who(config));
            return Err(LinkError::new(Kind::Subscription, text));
        }
        Ok(None) | Err(_) => return Err(late(Step::Subscribe)),
    }
    let topic = topics.events();
    let published = tokio::select! {
        link_error = &mut hear => return Err(link_error.during(Step::Publish)),
        published = timeout(transport::DEADLINE, publisher.publish_surely(topic.clone(), Bytes::from_static(WORDS), handling)) => published,
    };
    if !matches!(published, Ok(Ok(()))) {
        // The reason of a refusal is heard with it, or right after it.
        let said = tokio::select! {
            said = refused.recv() => said,
            _ = timeout(SOON, &mut hear) => refused.try_recv().ok(),
        };
        return Err(match said {
            Some(said) => LinkError::new(
                Kind::Publication,
                format!("publish to {topic}: {said}; let {} write it in the broker's ACL", who(config)),
            ),
            None => late(Step::Publish),
        });
    }
    publisher.disconnect();
    // Its answer is the end of the connection, in time or not.
    drop(timeout(SOON, hear).await);
    Ok(())
}
