//! Encoders are closed by threads of their own: STREAMOFF and close() of a device that is in trouble may take any time, and
//! the video thread has pictures to code. Whoever watches the video thread watches these, too (`liveness::helper`).

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use crate::{clock::Mono, liveness};

/// How long an encoder that works is waited for while it is closed: most take less, and no picture is left out then.
pub(crate) const CLOSES: Duration = Duration::from_millis(100);

/// Those that have not let go of their device yet: a number of each, and since when.
static CLOSING: Mutex<Vec<(u64, Mono)>> = Mutex::new(Vec::new());

/// Has `encoder` closed by a thread of its own, and waits for that so long.
pub(crate) fn close<T: Send + 'static>(encoder: T, patience: Duration) {
    let (done, closed) = mpsc::channel();
    let closing = Closing::new(done);
    let helper = liveness::helper("encoder");
    let close = move || {
        let _entered = helper.enter();
        drop(encoder);
        drop(closing);
    };
    // Where no thread is to be had, the closure is dropped here, with the encoder in it.
    if thread::Builder::new().name("encoder".to_owned()).spawn(close).is_ok() {
        let _ = closed.recv_timeout(patience);
    }
}

/// Since when the first encoder is being closed that has not let go of its device yet.
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
        // Nobody may be waiting any more.
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
        // It returns, though the encoder does not.
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
