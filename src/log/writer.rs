//! The queue of log lines, and the thread that writes them to standard error.
//!
//! A terminal, a pipe or the journal may stop reading. Then the thread blocks and the queue fills. Lines that do not
//! fit are dropped and counted, so logging itself never blocks.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::writer_queue::WriterQueue;

/// Most lines in the queue.
const LINES: usize = 1024;
/// Most bytes in the queue.
const BYTES: usize = 256 << 10;
/// How long to wait for a full pipe before the next attempt.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The queue of lines, each with its line end.
pub(super) type LineQueue = WriterQueue<String>;

/// An empty queue.
pub(super) fn line_queue() -> Arc<LineQueue> {
    Arc::new(WriterQueue::new(LINES, BYTES, String::len))
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
        let queue = line_queue();
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
}
