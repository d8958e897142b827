//! Commands that stand alone: with a session that does not exist, and begins none.

use super::Sessions;
use crate::{
    audit::AuditRecord,
    clock::Mono,
    commands::{Caller, CommandPlace},
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
        let result = self.commands.run(caller, CommandPlace::Alone, read.clone(), now);
        self.send_result(&request, result);
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
