//! The status line that `systemctl status` shows (sd_notify(3), `STATUS=`).

use std::time::Duration;

use tokio::{sync::watch, time::sleep};

use crate::{broker, config::Id, media_source::MediaSource, protocol::Presence, systemd};

/// The shortest time between two updates.
const PACE: Duration = Duration::from_secs(1);

/// The sources of the line.
pub(super) struct StatusLine {
    pub(super) device: Id,
    pub(super) broker: watch::Receiver<broker::LinkState>,
    pub(super) presence: watch::Receiver<Presence>,
    pub(super) video: Option<MediaSource>,
    pub(super) audio: Option<MediaSource>,
    /// A remark, such as a configuration that was refused. Empty for none.
    pub(super) note: watch::Receiver<String>,
}

impl StatusLine {
    /// Sends each changed line to systemd, for ever.
    pub(super) async fn report(mut self) {
        let mut sent = String::new();
        loop {
            let line = self.text();
            if line != sent {
                systemd::status(&line);
                sent = line;
            }
            sleep(PACE).await;
            self.changed().await;
        }
    }

    fn text(&mut self) -> String {
        let broker = match &*self.broker.borrow_and_update() {
            broker::LinkState::Up { .. } => "online",
            broker::LinkState::Connecting => "connecting",
            broker::LinkState::Down(_) => "offline",
            broker::LinkState::Closed => "left",
        };
        let viewers = self.presence.borrow_and_update().viewers;
        let described = |source: &Option<MediaSource>| source.as_ref().map(MediaSource::described);
        let (video, audio) = (described(&self.video), described(&self.audio));
        let note = self.note.borrow_and_update();
        text(&self.device, broker, viewers, video.as_deref(), audio.as_deref(), &note)
    }

    /// Waits for a change of any source since the last `text`.
    async fn changed(&mut self) {
        tokio::select! {
            () = changed(&mut self.broker) => {}
            () = changed(&mut self.presence) => {}
            () = changed(&mut self.note) => {}
            () = source_changed(&mut self.video) => {}
            () = source_changed(&mut self.audio) => {}
        }
    }
}

async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn source_changed(source: &mut Option<MediaSource>) {
    match source {
        Some(source) => source.changed().await,
        None => std::future::pending().await,
    }
}

fn text(device: &Id, broker: &str, viewers: usize, video: Option<&str>, audio: Option<&str>, note: &str) -> String {
    let viewers = match viewers {
        0 => "no viewers".to_owned(),
        1 => "1 viewer".to_owned(),
        n => format!("{n} viewers"),
    };
    let mut line = format!("{device}: broker {broker}, {viewers}");
    for (what, how) in [("camera", video), ("microphone", audio)] {
        if let Some(how) = how {
            line += &format!(", {what} {how}");
        }
    }
    if note.is_empty() { line } else { format!("{line}; {note}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_device_broker_viewers_and_media() {
        let device = Id::new("front-door").unwrap();
        for (broker, viewers, video, audio, note, expected) in [
            (
                "online",
                2,
                Some("on"),
                Some("off"),
                "",
                "front-door: broker online, 2 viewers, camera on, microphone off",
            ),
            ("offline", 0, None, Some("off"), "", "front-door: broker offline, no viewers, microphone off"),
            (
                "online",
                1,
                Some("stalled (hangs in VIDIOC_STREAMON on /dev/video0)"),
                None,
                "the configuration was refused",
                "front-door: broker online, 1 viewer, camera stalled (hangs in VIDIOC_STREAMON on /dev/video0); \
                 the configuration was refused",
            ),
        ] {
            assert_eq!(text(&device, broker, viewers, video, audio, note), expected);
        }
    }
}
