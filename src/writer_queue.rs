//! The queue to a thread that writes: to standard error, or to the journal. Nobody waits for room in it: what finds
//! none is lost, and counted.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    /// The sizes of all items that wait.
    bytes: usize,
    /// Items for which there was no room, since the last report.
    lost: u64,
    /// Whether an item was taken and is not written yet.
    writing: bool,
    /// Whether the process ends.
    closing: bool,
}

/// A bounded queue with one reader.
#[derive(Debug)]
pub struct WriterQueue<T> {
    max_items: usize,
    max_bytes: usize,
    size: fn(&T) -> usize,
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    emptied: Condvar,
}

impl<T> WriterQueue<T> {
    /// A queue of at most `max_items`, whose sizes are at most `max_bytes` together.
    pub const fn new(max_items: usize, max_bytes: usize, size: fn(&T) -> usize) -> Self {
        let inner = Inner { items: VecDeque::new(), bytes: 0, lost: 0, writing: false, closing: false };
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Self { max_items, max_bytes, size, inner: Mutex::new(inner), filled, emptied }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item. If there is no room, it is lost and counted.
    pub fn push(&self, item: T) {
        let mut inner = self.lock();
        let bytes = inner.bytes + (self.size)(&item);
        if inner.items.len() >= self.max_items || bytes > self.max_bytes {
            inner.lost += 1;
            return;
        }
        inner.bytes = bytes;
        inner.items.push_back(item);
        drop(inner);
        self.filled.notify_one();
    }

    /// Waits for the next item and takes it. `None` after `patience`, or if the queue is closed and empty.
    pub fn take(&self, patience: Duration) -> Option<T> {
        let waiting = |inner: &mut Inner<T>| inner.items.is_empty() && !inner.closing;
        let waited = self.filled.wait_timeout_while(self.lock(), patience, waiting);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        let item = inner.items.pop_front()?;
        inner.bytes -= (self.size)(&item);
        inner.writing = true;
        Some(item)
    }

    /// Reports that the taken item is written. Returns how many items were lost since the last call.
    pub fn written(&self) -> u64 {
        let mut inner = self.lock();
        inner.writing = false;
        if inner.items.is_empty() {
            self.emptied.notify_all();
        }
        std::mem::take(&mut inner.lost)
    }

    /// The reader waits before it tries an item again: at most for `patience`, and not once the queue is closed.
    /// Returns whether it is closed.
    pub fn pause(&self, patience: Duration) -> bool {
        let waited = self.filled.wait_timeout_while(self.lock(), patience, |inner| !inner.closing);
        waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// Waits until all items are written, at most for `patience`.
    pub fn flush(&self, patience: Duration) {
        let waiting = |inner: &mut Inner<T>| inner.writing || !inner.items.is_empty();
        drop(self.emptied.wait_timeout_while(self.lock(), patience, waiting));
    }

    /// The process ends: the reader no longer pauses. Then like `flush`.
    pub fn close(&self, patience: Duration) {
        self.lock().closing = true;
        self.filled.notify_all();
        self.flush(patience);
    }

    /// Whether the queue is closed and empty.
    pub fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.closing && inner.items.is_empty()
    }

    /// Takes all items.
    #[cfg(test)]
    pub fn drain(&self) -> Vec<T> {
        let mut inner = self.lock();
        inner.bytes = 0;
        inner.items.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_loses_and_counts_and_blocks_nobody() {
        let queue = WriterQueue::new(100, usize::MAX, |_| 0);
        (0..107).for_each(|n| queue.push(n));
        assert_eq!(queue.take(Duration::ZERO), Some(0));
        assert_eq!((queue.written(), queue.written()), (7, 0));
        assert_eq!(queue.drain().len(), 99);
        assert_eq!(queue.take(Duration::ZERO), None);
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let queue = WriterQueue::new(100, 1000, String::len);
        (0..10).for_each(|_| queue.push("x".repeat(300)));
        assert_eq!(queue.take(Duration::ZERO).map(|item| item.len()), Some(300));
        assert_eq!(queue.written(), 7);
        (0..2).for_each(|_| queue.push("x".repeat(300)));
        assert_eq!((queue.written(), queue.drain().len()), (1, 3));
    }

    #[test]
    fn the_end_of_the_process_ends_every_pause() {
        let queue = WriterQueue::new(100, usize::MAX, |_| 0);
        assert!(!queue.pause(Duration::ZERO));
        queue.push(1);
        queue.close(Duration::ZERO);
        assert!(queue.pause(Duration::from_secs(3600)) && !queue.is_over());
        assert_eq!((queue.take(Duration::ZERO), queue.take(Duration::from_secs(3600))), (Some(1), None));
        assert!(queue.is_over());
    }
}
