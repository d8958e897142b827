//! Collects the log lines of one test, on its own thread.

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::Once,
};

thread_local! {
    static CAUGHT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Catches the log of this thread until dropped: for tests on a current-thread runtime.
pub struct Log(());

/// One subscriber for all threads: subscribers that come and go would switch log lines of other threads on and off.
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAUGHT.with_borrow_mut(|caught| caught.as_mut().map(|text| text.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn catch() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO).with_writer(|| Sink).init();
        });
        CAUGHT.set(Some(Vec::new()));
        Self(())
    }

    /// The lines that contain `words`.
    pub fn lines(&self, words: &str) -> Vec<String> {
        let text = CAUGHT.with_borrow(|text| String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned());
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        CAUGHT.take();
    }
}
