//! Commands to the board in a running session.

use tokio::time::timeout;

use super::{Session, step::STEP};
use crate::{
    clock::Mono,
    commands::{BegunCommand, Caller, CommandPlace, Commands, FinishedCommand},
    protocol::{
        Correlation, ErrorName, Refusal, Reply, Rights,
        command::{ReadCommand, id_of},
        command_result::{CommandResult, SessionStats},
    },
};

/// Which request a command without a result yet came in.
#[derive(Debug)]
pub(super) struct CommandContext {
    seq: u64,
    correlation: Option<Correlation>,
}

impl Session<'_> {
    /// Does a command, and sends its result, or starts one that takes time. `seq`: the number of its message.
    /// `rights`: what the viewer could do when the command was read.
    pub(super) async fn run_command(&mut self, seq: u64, read: ReadCommand, rights: Rights) {
        if let Some(id) = id_of(&read).filter(|id| self.waiting.has(*id)) {
            let refusal = Refusal::new(ErrorName::Conflict, format!("command {id} has no result yet"));
            return self.send_result(CommandResult::refused(Some(id), refusal)).await;
        }
        let figures = match Commands::needs_figures(&read) {
            true => Some(self.figures().await),
            false => None,
        };
        let viewer = &*self.viewer;
        let caller = Caller { viewer: &viewer.from.who, name: viewer.name.as_deref(), rights };
        let place = CommandPlace::Session { figures, talker: self.peer.talker().map(|talker| &**talker) };
        match viewer.commands.begin(caller, place, read, Mono::now()) {
            BegunCommand::Done(result) => self.send_result(result).await,
            BegunCommand::Later(command) => match self.waiting.check_room() {
                Ok(()) => {
                    let correlation = self.replies.correlation();
                    self.waiting.start(command, CommandContext { seq, correlation });
                }
                Err(refusal) => self.send_result(CommandResult::refused(Some(command.id()), refusal)).await,
            },
        }
    }

    async fn send_result(&mut self, result: CommandResult) {
        self.replies.send(Reply::Result(result)).await;
    }

    /// A command that took time is done. Its result is remembered, the parts of a snapshot are not.
    pub(super) async fn finish_command(&mut self, context: CommandContext, finished: FinishedCommand) {
        self.replies.take_sent();
        self.replies.answers(context.correlation);
        let mut is_sent = self.replies.send(Reply::Result(finished.result.clone())).await;
        self.order.amend(context.seq, self.replies.take_sent());
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
