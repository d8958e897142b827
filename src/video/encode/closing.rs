//! Closes encoders in threads of their own. STREAMOFF and close() of a faulty device may take any time, and the video
//! thread must go on. These threads are watched like the video thread (`liveness::helper`).

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use crate::{clock::Mono, liveness};

/// How long the video thread waits for a working encoder to close. Most take less, so that no frame is left out.
pub(crate) const CLOSES: Duration = Duration::from_millis(100);

/// Encoders that are still closing: a number for each, and since when.
static CLOSING: Mutex<Vec<(u64, Mono)>> = Mutex::new(Vec::new());

/// Closes `encoder` in a new thread, and waits for it for at most `patience`.
pub(crate) fn close<T: Send + 'static>(encoder: T, patience: Duration) {
    let (done, closed) = mpsc::channel();
    let closing = Closing::new(done);
    let helper = liveness::helper("encoder");
    let close = move || {
        let _entered = helper.enter();
        drop(encoder);
        drop(closing);
    };
    // If no thread can be started, the closure and the encoder in it are dropped here.
    if thread::Builder::new().name("encoder".to_owned()).spawn(close).is_ok() {
        let _ = closed.recv_timeout(patience);
    }
}

/// Since when the oldest encoder in [`CLOSING`] is closing; `None` if none is.
pub(crate) fn since() -> Option<Mono> {
    CLOSING.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, since)| *since).min()
}

/// An encoder that is being closed.
struct Closing {
    number: u64,
    done: mpsc::Sender<()>,
}

impl Closing {
    fn new(done: mpsc::Sender<()>) -> Self {
        let mut all = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.iter().map(|(number, _)| *number).max().map_or(0, |last| last + 1);
        all.push((number, Mono::now()));
        Self { number, done }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        CLOSING.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != self.number);
        // The receiver may have stopped waiting.
        let _ = self.done.send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An encoder whose closing lasts until something is sent.
    struct Hangs(mpsc::Receiver<()>);

    impl Drop for Hangs {
        fn drop(&mut self) {
            liveness::during("VIDIOC_STREAMOFF", &"/dev/video-closing".into(), || self.0.recv().is_ok());
        }
    }

    #[test]
    fn one_that_hangs_holds_up_nobody_and_is_known_until_it_lets_go() {
        let helpers = liveness::Helpers::default();
        let activity = liveness::Activity::new("video", helpers.clone(), Mono::now());
        let _entered = activity.enter();
        assert_eq!(since(), None);
        let (go, gate) = mpsc::channel();
        let begin = Mono::now();
        // `close` returns, though the encoder is still closing.
        close(Hangs(gate), Duration::from_millis(1));
        assert!(since().is_some_and(|since| since >= begin));
        let first = since();
        let (other, gate) = mpsc::channel();
        close(Hangs(gate), Duration::ZERO);
        assert_eq!(since(), first, "the first of both counts");
        let until = |what: &str, is: &dyn Fn() -> bool| {
            let end = std::time::Instant::now() + Duration::from_secs(20);
            while !is() {
                assert!(std::time::Instant::now() < end, "{what}");
                thread::sleep(Duration::from_millis(5));
            }
        };
        let hanging = || helpers.running().iter().filter(|helper| helper.seen().operation.is_some()).count();
        until("both are watched", &|| hanging() == 2);
        assert_eq!(helpers.running()[0].seen().to_string(), "hangs in VIDIOC_STREAMOFF on /dev/video-closing");
        go.send(()).unwrap();
        until("the first lets go", &|| since() > first);
        drop(other);
        until("both have let go", &|| since().is_none() && helpers.running().is_empty());
    }

    #[test]
    fn one_that_closes_in_time_is_closed_when_this_returns() {
        struct Quick(mpsc::Sender<()>);
        impl Drop for Quick {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let (tell, told) = mpsc::channel();
        close(Quick(tell), Duration::from_secs(20));
        assert_eq!(told.try_recv(), Ok(()));
        assert_eq!(since(), None);
    }
}
