//! Waits for nodes, always with a timeout.

use std::{io, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Node;

/// The result of a wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// A frame is ready.
    pub(crate) picture: bool,
    /// An event is pending.
    pub(crate) event: bool,
    /// The node reports an error; the next call returns it.
    pub(crate) error: bool,
}

impl Node {
    /// Waits for a frame or an event, for at most `time`. It also returns when `beside` has something.
    pub(crate) fn wait(&self, time: Duration, beside: Option<&Self>) -> io::Result<Ready> {
        let own = PollFd::new(self.fd.owned(), PollFlags::IN | PollFlags::PRI);
        let [seen, _] = self.fd.during("poll", || wait([Some(own), beside.map(Self::picture)], time))?;
        Ok(Ready {
            picture: seen.contains(PollFlags::IN),
            event: seen.contains(PollFlags::PRI),
            error: seen.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL),
        })
    }

    fn picture(&self) -> PollFd<'_> {
        PollFd::new(self.fd.owned(), PollFlags::IN)
    }
}

/// Waits for `time`, or until `beside` has something.
pub(crate) fn pause(time: Duration, beside: Option<&Node>) {
    match beside {
        Some(node) if !time.is_zero() => drop(node.fd.during("poll", || wait([Some(node.picture()), None], time))),
        _ => std::thread::sleep(time),
    }
}

fn wait<const N: usize>(nodes: [Option<PollFd<'_>>; N], time: Duration) -> io::Result<[PollFlags; N]> {
    let mut fds: Vec<PollFd<'_>> = nodes.into_iter().flatten().collect();
    let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    let mut seen = [PollFlags::empty(); N];
    seen.iter_mut().zip(&fds).for_each(|(seen, fd)| *seen = fd.revents());
    Ok(seen)
}
