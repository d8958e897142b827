//! Waiting for nodes, always with an end.

use std::{io, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Node;

/// What there is after waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    /// A picture.
    pub(crate) picture: bool,
    /// An event.
    pub(crate) event: bool,
    /// The node is in trouble; the next call says which.
    pub(crate) error: bool,
}

impl Node {
    /// Waits for a picture or an event, at most that long, and no longer than until `beside` has something, too.
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

/// Waits that long, or until `beside` has something.
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
