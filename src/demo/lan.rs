//! `fanlight demo --lan`: the page and the embedded broker over HTTPS, for as long as the demo runs. The certificate is
//! a temporary one. Only who has the link gets anything: all paths are below a secret.

use std::net::{Ipv4Addr, SocketAddr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::task::JoinHandle;

use super::{DemoError, TRIES};
use crate::{
    config::Id,
    home::{self, Credentials, HomeServer, ServerLimits, Site, links, listen_everywhere, settings::PAGE_PORT},
    page::VIEWER,
};

/// The server for other machines. Dropping it ends it.
#[derive(Debug)]
pub struct LanServer {
    /// The links, the best first. Who has one can watch.
    pub links: Vec<String>,
    task: JoinHandle<()>,
}

/// Serves the page on the first free port from that of home mode on. `broker` is the port of the embedded broker.
pub fn serve(device: &Id, root: &str, broker: u16) -> Result<LanServer, DemoError> {
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|e| DemoError::Random(e.to_string()))?;
    let prefix = format!("/{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
    let what = "page for other machines";
    let last = PAGE_PORT + TRIES - 1;
    let mut free = (PAGE_PORT..=last).filter_map(|port| Some((listen_everywhere(port).ok()?, port)));
    let (listener, port) = free.next().ok_or(DemoError::PortsInUse { what, first: PAGE_PORT, last })?;
    let names = links::certificate_names(&home::host_name(), &[]);
    let credentials = Credentials::open(None, &names).map_err(DemoError::Certificate)?;
    let site = Site::new(VIEWER, &prefix, root, device, false, None);
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, broker));
    let server = HomeServer::new(listener, credentials, site, broker, ServerLimits::default());
    let task = tokio::spawn(async move {
        let Err(error) = server.run().await;
        tracing::error!("page for other machines: {error}");
    });
    let page = |host: &String| format!("{}{}/", links::page(host, port), prefix.trim_start_matches('/'));
    Ok(LanServer { links: home::hosts().iter().map(page).collect(), task })
}

impl Drop for LanServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
