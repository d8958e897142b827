//! Commands that take time: the work of each, and those that have no result yet.

use std::{
    collections::HashMap,
    fmt,
    future::{Future, pending},
    pin::Pin,
    time::Duration,
};

use tokio::{
    task::{Id as TaskId, JoinSet},
    time::timeout,
};
use tracing::{debug, error};

use crate::{
    config::Id,
    protocol::{
        ErrorName, Refusal, Reply,
        command::WAITING_MAX,
        command_result::{CommandOk, CommandOutcome, CommandResult, SnapshotPart},
    },
};

/// The longest time for a command.
const COMMAND_TIME: Duration = Duration::from_secs(10);
/// When to try again if too many commands wait.
const PAUSE: Duration = Duration::from_secs(1);

/// What the work of a command returns, and the JPEG that follows it. Empty unless the command is `snapshot`.
pub(super) type Worked = Result<(CommandOk, Vec<u8>), Refusal>;
/// The work of a command. Nothing happens before it is polled.
pub(super) type Work = Pin<Box<dyn Future<Output = Worked> + Send>>;

/// A command that takes time.
pub struct LateCommand {
    id: u64,
    work: Pin<Box<dyn Future<Output = FinishedCommand> + Send>>,
}

impl fmt::Debug for LateCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateCommand").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LateCommand {
    /// The command `name` of a viewer, with the number `id`.
    pub(super) fn new(id: u64, viewer: Id, name: &'static str, work: Work) -> Self {
        let work = async move {
            let late = || Refusal::new(ErrorName::Timeout, format!("{name}: not done within {COMMAND_TIME:?}"));
            match timeout(COMMAND_TIME, work).await.unwrap_or_else(|_| Err(late())) {
                Ok((ok, jpeg)) => {
                    FinishedCommand { result: CommandResult { id: Some(id), outcome: CommandOutcome::Ok(ok) }, jpeg }
                }
                Err(refusal) => {
                    debug!("viewer {viewer}: {name} was refused: {}", refusal.message);
                    FinishedCommand::refused(id, refusal)
                }
            }
        };
        Self { id, work: Box::pin(work) }
    }

    /// Its number.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// A command that was done or refused.
#[derive(Debug)]
pub struct FinishedCommand {
    /// Its result.
    pub result: CommandResult,
    /// The JPEG of a snapshot; empty for all others.
    jpeg: Vec<u8>,
}

impl FinishedCommand {
    fn refused(id: u64, refusal: Refusal) -> Self {
        Self { result: CommandResult::refused(Some(id), refusal), jpeg: Vec::new() }
    }

    /// Whether it is a picture for the viewer.
    pub fn is_snapshot(&self) -> bool {
        !self.jpeg.is_empty()
    }

    /// What follows the result: the parts of a snapshot, in order.
    pub fn parts(&self) -> impl Iterator<Item = Reply> {
        SnapshotPart::all(self.result.id.unwrap_or_default(), &self.jpeg).map(Reply::Part)
    }
}

/// Commands that have no result yet, with what their owner needs to send it. Dropping this ends their work.
#[derive(Debug)]
pub struct WaitingCommands<C> {
    tasks: JoinSet<FinishedCommand>,
    waiting: HashMap<TaskId, (u64, C)>,
}

impl<C> Default for WaitingCommands<C> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), waiting: HashMap::new() }
    }
}

impl<C> WaitingCommands<C> {
    /// Whether a command with this number waits.
    pub fn has(&self, id: u64) -> bool {
        self.waiting.values().any(|(waiting, _)| *waiting == id)
    }

    /// Refuses another command if too many wait.
    pub fn check_room(&self) -> Result<(), Refusal> {
        if self.waiting.len() < WAITING_MAX {
            return Ok(());
        }
        let message = format!("{WAITING_MAX} commands wait for their results: no other is begun before one is done");
        Err(Refusal::new(ErrorName::Busy, message).retry_after(PAUSE))
    }

    /// Begins the work of a command. The caller has asked [`check_room`](Self::check_room).
    pub fn start(&mut self, command: LateCommand, context: C) {
        let task = self.tasks.spawn(command.work);
        self.waiting.insert(task.id(), (command.id, context));
    }

    /// The next command that is done. Cancel safe. While none waits, it waits for ever.
    pub async fn next(&mut self) -> (C, FinishedCommand) {
        loop {
            let (task, finished) = match self.tasks.join_next_with_id().await {
                None => pending().await,
                Some(Ok((task, finished))) => (task, Some(finished)),
                Some(Err(e)) => {
                    error!("a command: its task panicked: {e}");
                    (e.id(), None)
                }
            };
            if let Some((id, context)) = self.waiting.remove(&task) {
                let failed = || Refusal::new(ErrorName::Internal, "a fault of this device: its log says more");
                return (context, finished.unwrap_or_else(|| FinishedCommand::refused(id, failed())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(id: u64, work: impl Future<Output = Worked> + Send + 'static) -> LateCommand {
        LateCommand::new(id, Id::new("anna").unwrap(), "snapshot", Box::pin(work))
    }

    fn error_of(finished: &FinishedCommand) -> Option<ErrorName> {
        match &finished.result.outcome {
            CommandOutcome::Ok(_) => None,
            CommandOutcome::Error(refusal) => Some(refusal.name),
        }
    }

    #[tokio::test]
    async fn commands_wait_up_to_their_number_and_each_gets_its_result() {
        let mut waiting = WaitingCommands::default();
        for id in 0..WAITING_MAX as u64 {
            waiting.check_room().unwrap();
            let work = async move {
                match id {
                    3 => Ok((CommandOk::Done {}, vec![1; 20_000])),
                    4 => Err(Refusal::new(ErrorName::NoMedia, "no camera")),
                    5 => panic!("a fault"),
                    _ => pending().await,
                }
            };
            waiting.start(command(id, work), format!("context {id}"));
        }
        let refusal = waiting.check_room().unwrap_err();
        assert_eq!((refusal.name, refusal.retry_after_ms), (ErrorName::Busy, Some(1000)));
        assert!(waiting.has(0) && !waiting.has(8));
        let mut done = Vec::new();
        for _ in 0..3 {
            let (context, finished) = waiting.next().await;
            done.push((context, error_of(&finished), finished.parts().count()));
        }
        done.sort_by_key(|(context, ..)| context.clone());
        let expected = [
            ("context 3".to_owned(), None, 2),
            ("context 4".to_owned(), Some(ErrorName::NoMedia), 0),
            ("context 5".to_owned(), Some(ErrorName::Internal), 0),
        ];
        assert_eq!(done, expected);
        assert!(waiting.check_room().is_ok() && !waiting.has(4) && waiting.has(0));
    }

    #[tokio::test]
    async fn nothing_is_done_before_the_start_and_dropping_ends_the_work() {
        let (begun, mut seen) = tokio::sync::mpsc::channel::<()>(1);
        let work = async move {
            let _ = begun.send(()).await;
            pending::<Worked>().await
        };
        let late = command(1, work);
        assert!(seen.try_recv().is_err());
        let mut waiting = WaitingCommands::default();
        waiting.start(late, ());
        assert_eq!(seen.recv().await, Some(()));
        drop(waiting);
        assert_eq!(seen.recv().await, None, "its sender is gone");
    }
}
