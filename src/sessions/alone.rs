//! Commands that stand alone: with a session that does not exist, and begins none.

use super::Sessions;
use crate::{
    audit::AuditRecord,
    clock::Mono,
    commands::{BegunCommand, Caller, CommandPlace, FinishedCommand},
    grant::WallClock,
    protocol::{
        ErrorName, IncomingRequest, Refusal, Reply, Request,
        command::id_of,
        command_result::{CommandOutcome, CommandResult},
    },
};

impl Sessions {
    /// Does a command whose session does not exist. Signalling remembers those with the number 0, so that none of them
    /// is done twice. Any other number belongs to a session that was, and may come from a broker that held it back.
    pub(super) fn run_alone(&mut self, request: IncomingRequest, now: Mono) {
        let Request::Command(read) = &request.request else { return };
        if request.head.seq != 0 {
            let refusal = Refusal::new(
                ErrorName::NoSession,
                "there is no such session: a command that stands alone has a new session and seq 0",
            );
            return self.refuse_command(&request, id_of(read), refusal);
        }
        let name = self.grant.name_of(&request.from);
        let caller = Caller { viewer: &request.from.who, name: name.as_deref(), rights: request.from.rights };
        match self.commands.begin(caller, CommandPlace::Alone, read.clone(), now) {
            BegunCommand::Done(result) => self.send_result(&request, result),
            BegunCommand::Later(command) => match self.waiting.check_room() {
                Ok(()) => self.waiting.start(command, request),
                Err(refusal) => self.refuse_command(&request, Some(command.id()), refusal),
            },
        }
    }

    /// A command that took time is done. Its viewer may have lost its rights meanwhile.
    pub(super) fn finish_alone(&mut self, request: &IncomingRequest, finished: FinishedCommand, now: Mono) {
        if !self.grant.still_permits(&request.from, now, WallClock::now()) {
            let refusal = Refusal::new(ErrorName::Forbidden, "this viewer may no longer do this");
            return self.refuse_command(request, finished.result.id, refusal);
        }
        if finished.is_snapshot() {
            let (who, name) = (request.from.who.clone(), self.grant.name_of(&request.from));
            self.audit.record(AuditRecord::snapshot(who, name));
        }
        self.send_result(request, finished.result.clone());
        for part in finished.parts() {
            self.send(request.addressee(), Some(request.head.session.clone()), part);
        }
    }

    /// Refuses a command outside of a running session.
    pub(super) fn refuse_command(&mut self, request: &IncomingRequest, id: Option<u64>, refusal: Refusal) {
        self.send_result(request, CommandResult::refused(id, refusal));
    }

    fn send_result(&mut self, request: &IncomingRequest, result: CommandResult) {
        if let CommandOutcome::Error(refusal) = &result.outcome {
            let (who, name) = (request.from.who.clone(), self.grant.name_of(&request.from));
            self.audit.record(AuditRecord::refused(who, name, refusal.name));
        }
        self.send(request.addressee(), Some(request.head.session.clone()), Reply::Result(result));
    }
}
