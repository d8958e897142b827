//! Commands to the board in a running session.

use tokio::time::timeout;

use super::{Session, step::STEP};
use crate::{
    clock::Mono,
    commands::{Caller, CommandPlace, Commands},
    protocol::{Reply, Rights, command::ReadCommand, command_result::SessionStats},
};

impl Session<'_> {
    /// Does a command, and sends its result. `rights`: what the viewer could do when the command was read.
    pub(super) async fn run_command(&mut self, read: ReadCommand, rights: Rights) {
        let figures = match Commands::needs_figures(&read) {
            true => Some(self.figures().await),
            false => None,
        };
        let viewer = &*self.viewer;
        let caller = Caller { viewer: &viewer.from.who, name: viewer.name.as_deref(), rights };
        let result = viewer.commands.run(caller, CommandPlace::Session(figures), read, Mono::now());
        self.replies.send(Reply::Result(result)).await;
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
