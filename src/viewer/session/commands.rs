//! Commands to the board in a running session: by the broker, and by the data channel.

use tokio::time::timeout;
use tracing::debug;
use webrtc::data_channel::DataChannel;

use super::{EndReason, Session, Step, step::STEP};
use crate::{
    clock::Mono,
    commands::{Caller, CommandPlace, Commands},
    message_limits::Admitted,
    protocol::{
        Reply, Rights,
        command::{ReadCommand, id_of},
        command_result::{CommandResult, SessionStats},
    },
    viewer::{
        channel::{ChannelMessage, ChannelReply, CommandChannel, door::ChannelVerdict},
        peer::OpenedChannel,
    },
};

/// The next message of the data channel; `None` once it is closed. Without a channel it waits for ever.
pub(super) async fn next_message(channel: &mut Option<CommandChannel>) -> Option<ChannelMessage> {
    match channel {
        Some(channel) => channel.next().await,
        None => std::future::pending().await,
    }
}

/// Label and protocol of a channel, and whether it is ordered. `None`: it is gone.
async fn traits(channel: &dyn DataChannel) -> Option<(String, String, bool)> {
    Some((channel.label().await.ok()?, channel.protocol().await.ok()?, channel.ordered().await.ok()?))
}

impl Session<'_> {
    /// Does a command of the broker, and sends its result. `rights`: what the viewer could do when it was read.
    pub(super) async fn run_command(&mut self, read: ReadCommand, rights: Rights) {
        let result = self.result_of(read, rights).await;
        self.replies.send(Reply::Result(result)).await;
    }

    /// The viewer opened a data channel.
    pub(super) async fn take_channel(&mut self, opened: OpenedChannel) -> Step {
        let who = &self.viewer.from.who;
        let Ok(Some((label, protocol, is_ordered))) = timeout(STEP, traits(opened.0.as_ref())).await else {
            return Ok(());
        };
        match self.door.opened(&label, &protocol, is_ordered) {
            ChannelVerdict::Use => {
                debug!("viewer {who}: opened the data channel for commands");
                self.channel = Some(CommandChannel::serve(opened, self.peer.filter.clone(), who.to_string()));
            }
            ChannelVerdict::Close => {
                debug!("viewer {who}: opened another data channel, which is closed");
                let _ = timeout(STEP, opened.0.close()).await;
            }
            ChannelVerdict::Flood => return Err(EndReason::Flood),
        }
        Ok(())
    }

    /// Does a command of the data channel, unless the viewer sends more messages than it may.
    pub(super) async fn answer_channel(&mut self, message: ChannelMessage) {
        let reply = match self.viewer.message_limits.message(&self.viewer.from.who, Mono::now()) {
            Admitted::Yes => {
                let rights = self.viewer.from.rights;
                ChannelReply::Result(self.result_of(message.read(), rights).await.text())
            }
            Admitted::Refused(refusal) => {
                ChannelReply::AboveRate(CommandResult::refused(id_of(&message.read()), refusal).text())
            }
            Admitted::Dropped => ChannelReply::Ignored,
        };
        message.answer(reply);
    }

    async fn result_of(&mut self, read: ReadCommand, rights: Rights) -> CommandResult {
        let figures = match Commands::needs_figures(&read) {
            true => Some(self.figures().await),
            false => None,
        };
        let viewer = &*self.viewer;
        let caller = Caller { viewer: &viewer.from.who, name: viewer.name.as_deref(), rights };
        viewer.commands.run(caller, CommandPlace::Session(figures), read, Mono::now())
    }

    async fn figures(&mut self) -> SessionStats {
        let summary = timeout(STEP, self.peer.summary()).await.unwrap_or_default();
        SessionStats {
            seconds: Mono::now().since(self.viewer.began).as_secs(),
            route: self.route.clone(),
            estimate_bps: summary.carries.map(|bitrate| u64::from(bitrate.as_bps())),
            bytes: summary.bytes,
            retransmitted: self.peer.retransmitted(),
        }
    }
}
