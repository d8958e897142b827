//! The daemon: builds everything, waits, and takes it down in reverse.

mod status;

use std::{future::Future, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    addresses,
    broker::{self, EVENTS, Link},
    clock::Mono,
    config::Config,
    devices::Devices,
    grant::Grant,
    liveness::{Liveness, MAX_TURN},
    memory,
    protocol::{Presence, info::info as describe},
    sessions::Sessions,
    viewer::{
        MediaSources, Terms,
        peer::{PeerError, PeerFactory},
    },
};

/// How long after the start, or after the last device went off, everything has come to rest.
const REST: Duration = Duration::from_secs(3);
/// How often that is looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// Replies that wait for the link; the sessions never wait for it.
const REPLIES: usize = 64;
/// How long the last replies may take to reach the link.
const CLOSE: Duration = Duration::from_millis(300);
/// How long the whole way down may take.
const DOWN: Duration = Duration::from_millis(1900);

/// What ends the daemon by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel gave no random bytes.
    #[error("read random bytes: {0}")]
    Random(getrandom::Error),
    /// The media stack cannot be set up.
    #[error(transparent)]
    PeerFactory(#[from] PeerError),
    /// A part without which nobody can be served has ended; why was logged.
    #[error("{0} ended by itself; a new start is the way out")]
    Part(&'static str),
}

/// Serves until `shutdown` is done; then says goodbye to all, says `offline`, and closes the devices, within 2 s.
/// A new value in `reload` is taken over as far as that is possible without dropping anybody; what needs a
/// restart has been told by whoever put it there. `note` is shown in the service's status; empty is nothing.
pub async fn run(
    config: Config,
    mut reload: watch::Receiver<Config>,
    shutdown: impl Future<Output = ()>,
    liveness: &Liveness,
    note: watch::Receiver<String>,
) -> Result<(), Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(Error::Random)?;
    let mut epoch = [0; 16];
    getrandom::fill(&mut epoch).map_err(Error::Random)?;

    let peers = PeerFactory::new(&config.webrtc, config.audio.channels == 2)?;
    peers.set_need(config.video.bitrate, config.audio.bitrate);
    let devices = Devices::new(&config.video, &config.audio, liveness);
    if let Some(video) = &devices.video {
        video.set_floor(config.video.floor);
    }
    let sources = MediaSources { video: devices.video.clone(), audio: devices.audio.clone() };
    let terms = watch::Sender::new(Arc::new(Terms::new(&config)));
    let (out, mut replies) = mpsc::channel(REPLIES);
    let (sessions, presence) =
        Sessions::new(Grant::new(config.access, &secret), terms.subscribe(), Arc::clone(&peers), sources, out);

    let factory = Arc::clone(&peers);
    let mut keeping = tokio::spawn(async move { factory.keep().await });
    let lingers = config.video.linger.max(config.audio.linger);
    let housekeeper = tokio::spawn(keep_house(presence.clone(), lingers));
    let (events, heard) = mpsc::channel(EVENTS);
    let (brokers, broker_config) = watch::channel(config.broker.clone());
    let (infos, info_seen) = watch::channel(describe(&config));
    let (stop_sessions, sessions_stop) = watch::channel(false);
    let (stop_link, link_stop) = watch::channel(false);
    let (outbox, link) = broker::link(Link {
        config: broker_config,
        device: config.device.clone(),
        access: config.access,
        epoch: URL_SAFE_NO_PAD.encode(epoch),
        info: info_seen,
        presence: presence.clone(),
        events,
        stop: link_stop,
        heartbeat: liveness.register("broker link", broker::MAX_TURN, Mono::now()),
    });
    let (video, audio) = (devices.video.clone(), devices.audio.clone());
    let line = status::Line { device: config.device.clone(), broker: outbox.state(), presence, video, audio, note };
    let status = tokio::spawn(line.tell());
    let (over, mut ended) = mpsc::channel(1);
    let link = essential("the broker link", &over, link);
    let link_outbox = outbox.clone();
    let mouth = essential("replies", &over, async move {
        while let Some((viewer, payload)) = replies.recv().await {
            outbox.say(&viewer, payload).await;
        }
    });
    let heartbeat = liveness.register("sessions", MAX_TURN, Mono::now());
    let sessions = essential("sessions", &over, sessions.run(heard, sessions_stop, heartbeat));

    let follower = tokio::spawn(addresses::follow(peers.moved.clone()));
    let mut moved = peers.moved.subscribe();
    let mut present = moved.borrow_and_update().clone();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut fault = None;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(part) = ended.recv() => {
                fault = Some(Error::Part(part));
                break;
            }
            Ok(()) = moved.changed() => {
                let now = moved.borrow_and_update().clone();
                let before = std::mem::replace(&mut present, now.clone());
                match link_outbox.local() {
                    Some(local) if !now.has(local) => {
                        info!("the board's address {local} is gone: the broker link is made again");
                        brokers.send_modify(|_| {});
                    }
                    // It waits to try again; this is what it waits for.
                    None if now.gained(&before) => brokers.send_modify(|_| {}),
                    _ => {}
                }
            }
            changed = reload.changed() => {
                if changed.is_err() {
                    shutdown.await;
                    break;
                }
                let new = reload.borrow_and_update().clone();
                terms.send_replace(Arc::new(Terms::new(&new)));
                peers.configure(new.webrtc.clone());
                peers.set_need(new.video.bitrate, new.audio.bitrate);
                keeping.abort();
                let factory = Arc::clone(&peers);
                keeping = tokio::spawn(async move { factory.keep().await });
                infos.send_replace(describe(&new));
                brokers.send_if_modified(|now| std::mem::replace(now, new.broker.clone()) != new.broker);
                if let Some(video) = &devices.video {
                    video.set_linger(new.video.linger);
                    video.set_bitrate(new.video.bitrate);
                    video.set_floor(new.video.floor);
                }
                if let Some(audio) = &devices.audio {
                    audio.set_linger(new.audio.linger);
                }
            }
        }
    }

    info!("stopping");
    status.abort();
    housekeeper.abort();
    follower.abort();
    keeping.abort();
    let down = async {
        stop_sessions.send_replace(true);
        report("sessions", sessions.await);
        // The sessions are gone, so their replies end; the link sends what is left before it says `offline`.
        report("replies", timeout(CLOSE, mouth).await.unwrap_or(Ok(())));
        stop_link.send_replace(true);
        report("broker link", link.await);
        devices.close().await;
    };
    if timeout(DOWN, down).await.is_err() {
        warn!("not everything stopped within {DOWN:?}; the rest is left to the kernel");
    }
    fault.map_or(Ok(()), Err)
}

/// Runs a part that has to last; its name goes to `over` when it ends, however it does.
fn essential(
    name: &'static str,
    over: &mpsc::Sender<&'static str>,
    part: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    struct End(&'static str, mpsc::Sender<&'static str>);
    impl Drop for End {
        fn drop(&mut self) {
            // Only the first one matters, and on the way down none does.
            let _ = self.1.try_send(self.0);
        }
    }
    let end = End(name, over.clone());
    tokio::spawn(async move {
        let _end = end;
        part.await;
    })
}

/// Gives free heap back while nobody watches: what the start needed, or sessions that are over, and once a minute what a message to
/// the broker needed.
async fn keep_house(mut presence: watch::Receiver<Presence>, lingers: Duration) {
    let mut rest = REST;
    loop {
        if presence.wait_for(|presence| presence.viewers == 0).await.is_err() {
            return;
        }
        while timeout(rest, presence.wait_for(|presence| presence.viewers > 0)).await.is_err() {
            memory::give_back();
            rest = HOUSEKEEPING;
        }
        rest = lingers + REST;
        if presence.wait_for(|presence| presence.viewers > 0).await.is_err() {
            return;
        }
    }
}

/// A part that panicked has been logged by the panic itself; this says which part it was.
fn report(part: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(e) = ended {
        warn!("{part}: ended badly: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_is_told_however_it_ends() {
        let (over, mut ended) = mpsc::channel(1);
        let one = essential("one", &over, async {});
        assert_eq!(ended.recv().await, Some("one"));
        let other = essential("other", &over, async { panic!("of this test") });
        assert_eq!(ended.recv().await, Some("other"));
        assert!(one.await.is_ok() && other.await.is_err());
    }
}
