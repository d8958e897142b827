//! Commands to the board in a running session: by the broker, and by the data channel.

use tokio::time::timeout;
use tracing::debug;
use webrtc::data_channel::DataChannel;

use super::{EndReason, Session, Step, step::STEP};
use crate::{
    clock::Mono,
    commands::{BegunCommand, Caller, CommandPlace, Commands, FinishedCommand, LateCommand},
    message_limits::Admitted,
    protocol::{
        Correlation, ErrorName, Refusal, Reply, Rights,
        command::{BoardCommand, CommandMessage, ReadCommand, id_of},
        command_result::{CommandResult, SessionStats},
    },
    viewer::{
        channel::{ChannelMessage, ChannelReply, CommandChannel, ResultPermit, door::ChannelVerdict},
        peer::OpenedChannel,
    },
};

/// Where to send the result of a running command.
#[derive(Debug)]
pub(super) enum CommandContext {
    /// To the broker: the number of the message, and its Correlation Data.
    Broker { seq: u64, correlation: Option<Correlation> },
    /// To the data channel, which has room for it.
    Channel(ResultPermit),
}

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
    /// Does a command of the broker, and sends its result, or starts one that takes time. `seq`: its message's number.
    /// `rights`: what the viewer could do when the command was read.
    pub(super) async fn run_command(&mut self, seq: u64, read: ReadCommand, rights: Rights) {
        let correlation = self.replies.correlation();
        let done = match self.begin_command(read, rights).await {
            BegunCommand::Done(result) => Some(result),
            BegunCommand::Later(command) => self.start(command, Some(CommandContext::Broker { seq, correlation })),
        };
        if let Some(result) = done {
            self.replies.send(Reply::Result(result)).await;
        }
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
        let read = message.read();
        let reply = match self.viewer.message_limits.message(&self.viewer.from.who, Mono::now()) {
            Admitted::Yes => self.reply_to(read, message.permit()).await,
            Admitted::Refused(refusal) => ChannelReply::AboveRate(CommandResult::refused(id_of(&read), refusal).text()),
            Admitted::Dropped => ChannelReply::Ignored,
        };
        message.answer(reply);
    }

    /// `permit`: room in the channel for a result that comes later.
    async fn reply_to(&mut self, read: ReadCommand, permit: Option<ResultPermit>) -> ChannelReply {
        if let Ok(CommandMessage { id, command: BoardCommand::Snapshot(_) }) = &read {
            let refusal = Refusal::new(ErrorName::Unsupported, "snapshot: it comes by the broker only");
            return ChannelReply::Result(CommandResult::refused(Some(*id), refusal).text());
        }
        let done = match self.begin_command(read, self.viewer.from.rights).await {
            BegunCommand::Done(result) => Some(result),
            BegunCommand::Later(command) => self.start(command, permit.map(CommandContext::Channel)),
        };
        done.map_or(ChannelReply::Later, |result| ChannelReply::Result(result.text()))
    }

    /// Starts a command that takes time. `context`: where its result goes; `None` if there is no room for it. Returns
    /// the refusal of a command that is not started.
    fn start(&mut self, command: LateCommand, context: Option<CommandContext>) -> Option<CommandResult> {
        let busy = || Refusal::new(ErrorName::Busy, "the results of earlier commands were not accepted yet");
        let room = self.waiting.check_room().and_then(|()| context.ok_or_else(busy));
        let id = command.id();
        room.map(|context| self.waiting.start(command, context)).err().map(|e| CommandResult::refused(Some(id), e))
    }

    async fn begin_command(&mut self, read: ReadCommand, rights: Rights) -> BegunCommand {
        if let Some(id) = id_of(&read).filter(|id| self.waiting.has(*id)) {
            let refusal = Refusal::new(ErrorName::Conflict, format!("command {id} has no result yet"));
            return BegunCommand::Done(CommandResult::refused(Some(id), refusal));
        }
        let figures = match Commands::needs_figures(&read) {
            true => Some(self.figures().await),
            false => None,
        };
        let viewer = &*self.viewer;
        let caller = Caller { viewer: &viewer.from.who, name: viewer.name.as_deref(), rights };
        let place = CommandPlace::Session { figures, talker: self.peer.talker().map(|talker| &**talker) };
        viewer.commands.begin(caller, place, read, Mono::now())
    }

    /// A command that took time is done.
    pub(super) async fn finish_command(&mut self, context: CommandContext, finished: FinishedCommand) {
        match context {
            CommandContext::Broker { seq, correlation } => self.finish_by_broker(seq, correlation, finished).await,
            CommandContext::Channel(permit) => permit.send(finished.result.text()),
        }
    }

    /// The result is remembered, the parts of a snapshot are not.
    async fn finish_by_broker(&mut self, seq: u64, correlation: Option<Correlation>, finished: FinishedCommand) {
        self.replies.take_sent();
        self.replies.answers(correlation);
        let mut is_sent = self.replies.send(Reply::Result(finished.result.clone())).await;
        self.order.amend(seq, self.replies.take_sent());
        if is_sent && finished.is_snapshot() {
            self.viewer.audit.gave_snapshot();
        }
        for part in finished.parts() {
            is_sent = is_sent && self.replies.send(part).await;
        }
        self.replies.take_sent();
        self.replies.answers(None);
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
