//! A TCP proxy that can cut and restore its connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A running proxy.
pub struct TcpProxy {
    pub port: u16,
    /// Counts calls of `cut` and `mend`. Each call ends all connections. While the count is odd, new ones end at once.
    cuts: watch::Sender<usize>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl TcpProxy {
    /// Forwards a free port to the port `target` on loopback.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = watch::Sender::new(0);
        let accepted = Arc::new(AtomicUsize::new(0));
        let (following, counting) = (cuts.subscribe(), Arc::clone(&accepted));
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                counting.fetch_add(1, Ordering::SeqCst);
                let mut cuts = following.clone();
                if *cuts.borrow_and_update() % 2 == 1 {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { port, cuts, accepted, task }
    }

    /// Closes all connections, and all new ones until `mend`. Nothing is sent first.
    pub fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// Connections accepted so far, cut or not.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
