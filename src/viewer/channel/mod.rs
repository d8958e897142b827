//! The data channel for commands of one session. Its task reads a message, waits for the result, and sends it. While
//! the viewer accepts no results, no message is read. The results of commands that take time come later; each has its
//! place before its command begins. The session does the commands.
//!
//! - `door`: which channel is used; `window`: when a result may be sent; `message`: what a message is. All are pure.
//!
//! What the stack keeps of messages that are not read is limited by `sockets/channel_budget.rs`.

pub(crate) mod door;
pub(crate) mod message;
mod window;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    sync::{
        mpsc::{self, OwnedPermit},
        oneshot,
    },
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::debug;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use self::window::{SendStep, SendWindow};
use crate::{
    clock::Mono,
    protocol::{
        command::{ReadCommand, WAITING_MAX},
        sdp::channel::CHANNEL_MESSAGE_MAX,
    },
    viewer::{peer::OpenedChannel, sockets::filter::SharedFilter},
};

/// The pause between two looks at what the viewer accepted.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the stack may take to close a channel.
const CLOSE: Duration = Duration::from_secs(1);
const SESSION_ENDED: &str = "the session ended";
const GONE: &str = "it is gone";

/// What the session makes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChannelReply {
    /// The result of a command, or why it was not done.
    Result(String),
    /// The command takes time: its result comes later.
    Later,
    /// The refusal of a message above the rate.
    AboveRate(String),
    /// Nothing: it is above the rate, and the viewer knows that already.
    Ignored,
}

/// Room for the result of a command that takes time.
#[derive(Debug)]
pub(crate) struct ResultPermit(OwnedPermit<String>);

impl ResultPermit {
    /// Sends the result. If the channel is gone, nobody waits for it.
    pub(crate) fn send(self, result: String) {
        self.0.send(result);
    }
}

/// A message of the viewer.
#[derive(Debug)]
pub(crate) struct ChannelMessage {
    is_text: bool,
    data: BytesMut,
    reply: oneshot::Sender<ChannelReply>,
    late: mpsc::Sender<String>,
}

impl ChannelMessage {
    /// The command in it, or what is wrong with it.
    pub(crate) fn read(&self) -> ReadCommand {
        message::read(self.is_text, &self.data)
    }

    /// Room for a result that comes later. `None`: the viewer has not accepted those of earlier commands.
    pub(crate) fn permit(&self) -> Option<ResultPermit> {
        self.late.clone().try_reserve_owned().ok().map(ResultPermit)
    }

    /// Answers it. If the channel is gone, nobody waits for that.
    pub(crate) fn answer(self, reply: ChannelReply) {
        drop(self.reply.send(reply));
    }
}

/// The channel of a session. Its task ends with this value.
#[derive(Debug)]
pub(crate) struct CommandChannel {
    messages: mpsc::Receiver<ChannelMessage>,
    task: JoinHandle<()>,
}

impl CommandChannel {
    /// Serves a channel that the viewer opened. `filter` learns what was read.
    pub(crate) fn serve(OpenedChannel(channel): OpenedChannel, filter: Arc<SharedFilter>, viewer: String) -> Self {
        let (tell, messages) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            let why = run(channel.as_ref(), &tell, &filter).await;
            debug!("viewer {viewer}: its data channel is closed: {why}");
            let _ = timeout(CLOSE, channel.close()).await;
        });
        Self { messages, task }
    }

    /// The next message; `None` once the channel is closed.
    pub(crate) async fn next(&mut self) -> Option<ChannelMessage> {
        self.messages.recv().await
    }
}

impl Drop for CommandChannel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads and answers messages until the channel is closed, or must be. Returns why.
async fn run(channel: &dyn DataChannel, tell: &mpsc::Sender<ChannelMessage>, filter: &SharedFilter) -> &'static str {
    let mut window = SendWindow::default();
    let (late, mut results) = mpsc::channel::<String>(WAITING_MAX);
    loop {
        let event = tokio::select! {
            biased;
            Some(result) = results.recv() => match send(channel, &mut window, &result).await {
                Ok(()) => continue,
                Err(why) => return why,
            },
            event = channel.poll() => event,
        };
        let message = match event {
            Some(DataChannelEvent::OnMessage(message)) => message,
            None | Some(DataChannelEvent::OnClose) => return "by the viewer, or with the connection",
            Some(_) => continue,
        };
        let length = message.data.len();
        if length > CHANNEL_MESSAGE_MAX {
            return "a message is longer than 64 KiB";
        }
        let (reply, replied) = oneshot::channel();
        if tell
            .send(ChannelMessage { is_text: message.is_string, data: message.data, reply, late: late.clone() })
            .await
            .is_err()
        {
            return SESSION_ENDED;
        }
        let result = match replied.await {
            Ok(ChannelReply::Result(result)) => {
                filter.lock().channel_read(length, Instant::now());
                result
            }
            Ok(ChannelReply::Later) => {
                filter.lock().channel_read(length, Instant::now());
                continue;
            }
            Ok(ChannelReply::AboveRate(refusal)) => refusal,
            Ok(ChannelReply::Ignored) => continue,
            Err(_) => return SESSION_ENDED,
        };
        if let Err(why) = send(channel, &mut window, &result).await {
            return why;
        }
    }
}

/// Sends a result as soon as the viewer has accepted enough of those before. An error: why the channel must be closed.
async fn send(channel: &dyn DataChannel, window: &mut SendWindow, result: &str) -> Result<(), &'static str> {
    loop {
        let unsent = channel.outstanding_bytes().await.map_err(|_| GONE)?;
        match window.step(unsent, result.len(), Mono::now()) {
            SendStep::Send => return channel.send_text(result).await.map_err(|_| GONE),
            SendStep::Wait => sleep(PAUSE).await,
            SendStep::Close => return Err("the viewer accepted nothing for 10 s"),
        }
    }
}
