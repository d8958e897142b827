//! The queue of log lines, and the thread that writes them to standard error.
//!
//! A terminal, a pipe or the journal may stop reading. Then the thread blocks and the queue fills. Lines that do not
//! fit are dropped and counted, so logging itself never blocks.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Most lines in the queue.
const LINES: usize = 1024;
/// Most bytes in the queue.
const BYTES: usize = 256 << 10;
/// How long to wait for a full pipe before the next attempt.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: u64,
    writing: bool,
}

/// The queue of lines.
#[derive(Debug, Default)]
pub(super) struct LineQueue {
    inner: Mutex<Inner>,
    filled: Condvar,
    emptied: Condvar,
}

impl LineQueue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, with its line end. If the queue is full, the line is dropped and counted. Never waits for the
    /// writer.
    pub(super) fn push(&self, line: String) {
        let mut inner = self.lock();
        if inner.lines.len() >= LINES || inner.bytes + line.len() > BYTES {
            inner.dropped += 1;
            return;
        }
        inner.bytes += line.len();
        inner.lines.push_back(line);
        drop(inner);
        self.filled.notify_one();
    }

    /// Waits for the next line and takes it. `None` after `patience`.
    fn take(&self, patience: Duration) -> Option<String> {
        let waited = self.filled.wait_timeout_while(self.lock(), patience, |inner| inner.lines.is_empty());
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        let line = inner.lines.pop_front()?;
        inner.bytes -= line.len();
        inner.writing = true;
        Some(line)
    }

    /// Reports that the taken line is written. Returns how many lines were dropped since the last call.
    fn written(&self) -> u64 {
        let mut inner = self.lock();
        inner.writing = false;
        if inner.lines.is_empty() {
            self.emptied.notify_all();
        }
        std::mem::take(&mut inner.dropped)
    }

    /// Takes all lines.
    #[cfg(test)]
    pub(super) fn drain(&self) -> Vec<String> {
        self.lock().lines.drain(..).collect()
    }

    /// Waits until all lines are written, at most for `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let waiting = |inner: &mut Inner| inner.writing || !inner.lines.is_empty();
        drop(self.emptied.wait_timeout_while(self.lock(), patience, waiting));
    }
}

/// Writes lines until the process ends. `dropped` formats the line about dropped ones. `tick` is called every `period`.
pub(super) fn run(
    queue: &Arc<LineQueue>,
    mut out: impl Write,
    period: Duration,
    dropped: impl Fn(u64) -> String,
    tick: impl Fn(),
) {
    let mut next = Instant::now() + period;
    loop {
        if let Some(line) = queue.take(next.saturating_duration_since(Instant::now())) {
            // A log that cannot be written cannot report this.
            drop(out.write_all(line.as_bytes()));
            let lost = queue.written();
            if lost > 0 {
                drop(out.write_all(dropped(lost).as_bytes()));
            }
        }
        if Instant::now() >= next {
            tick();
            next = Instant::now() + period;
        }
    }
}

/// Standard error without the lock of `std::io::stderr`, so a blocked writer does not block others.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stream = io::stderr();
        loop {
            match rustix::io::write(stream.as_fd(), bytes) {
                Ok(n) => return Ok(n),
                Err(Errno::INTR) => {}
                // Another process that shares the terminal may have made it non-blocking.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::new(&stream.as_fd(), PollFlags::OUT)], Some(&LOOK));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    /// A pipe whose reader reads one line for each message in `go`.
    struct Slow {
        go: mpsc::Receiver<()>,
        out: mpsc::Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.go.recv().map_err(io::Error::other)?;
            self.out.send(String::from_utf8_lossy(bytes).into_owned()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_blocked_reader_loses_lines_and_blocks_nothing() {
        let queue = Arc::new(LineQueue::default());
        let (go, tokens) = mpsc::channel();
        let (out, seen) = mpsc::channel();
        let theirs = Arc::clone(&queue);
        thread::spawn(move || {
            let slow = Slow { go: tokens, out };
            run(&theirs, slow, Duration::from_secs(3600), |n| format!("{n} dropped\n"), || {});
        });
        // All of these return, although nothing is read.
        (0..10_000).for_each(|n| queue.push(format!("line {n}\n")));
        queue.flush(Duration::from_millis(10));
        assert!(queue.lock().lines.len() <= LINES);
        for _ in 0..LINES + 2 {
            go.send(()).unwrap();
        }
        let patience = Duration::from_secs(20);
        assert_eq!(seen.recv_timeout(patience).unwrap(), "line 0\n");
        let summary = seen.recv_timeout(patience).unwrap();
        let lost: usize = summary.strip_suffix(" dropped\n").expect(&summary).parse().unwrap();
        assert!((10_000 - LINES - 1..=10_000 - LINES).contains(&lost), "{summary}");
        assert_eq!(seen.recv_timeout(patience).unwrap(), "line 1\n");
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let queue = LineQueue::default();
        (0..1000).for_each(|_| queue.push("x".repeat(2000)));
        let inner = queue.lock();
        assert!(inner.bytes <= BYTES && inner.lines.len() == BYTES / 2000, "{}", inner.lines.len());
        assert_eq!(inner.dropped, 1000 - (BYTES / 2000) as u64);
    }
}
