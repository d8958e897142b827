//! Home mode: the viewer page and MQTT over HTTPS from the board itself, without a server of anybody else.
//!
//! `fanlight home` is a process of its own beside the daemon. It has the only port that the network can reach, and none
//! of the board's secrets: neither the camera nor the board's identity nor the list of viewers. Behind it is a broker
//! on loopback, mosquitto with a configuration of its own. The mode `keys` makes sure that neither of the two can
//! watch.

pub mod broker_files;
pub mod certificates;
pub mod check;
mod credentials;
pub mod files;
pub mod firewall;
mod first_packet;
pub(crate) mod fuzz;
pub mod links;
mod plain;
pub mod ports;
mod requests;
mod server;
pub mod settings;
mod site;
mod slots;
mod tunnel;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use tokio::time::sleep;
use tracing::info;

pub use self::{
    credentials::Credentials,
    server::{HomeServer, ServerLimits, listen, listen_everywhere},
    site::Site,
    tunnel::TunnelLimits,
};
use crate::{
    addresses::BoardAddresses,
    config::{self, read_bounded, text_of},
    page::VIEWER,
    signals::Signals,
    state_folder::StateFolder,
    systemd,
};
use settings::HomeSettings;

/// The largest settings file, in bytes.
const SETTINGS_MAX: u64 = 16 << 10;
/// How often the host name is looked at.
const NAME_PERIOD: Duration = Duration::from_secs(60);

/// Why `fanlight home` ends.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Its settings cannot be used.
    #[error("{0}; sudo fanlight setup --home writes this file")]
    Settings(String),
    /// It cannot do its work.
    #[error("{0}")]
    Failed(String),
}

/// Reads the settings.
pub fn read_settings(file: &Path) -> Result<HomeSettings, String> {
    let about = |said: &dyn std::fmt::Display| format!("read {}: {said}", file.display());
    let (bytes, _) = read_bounded(file, SETTINGS_MAX).map_err(|e| about(&e))?;
    let text = text_of(bytes).map_err(|e| about(&e))?;
    HomeSettings::parse(&text).map_err(|e| about(&e))
}

/// This machine's host name: the one that is set, else that of the kernel. A service in its own namespace
/// (`ProtectHostname=` in systemd.exec(5)) learns only of changes of the first.
pub fn host_name() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let set = read("/etc/hostname");
    if set.is_empty() || set == "localhost" { read("/proc/sys/kernel/hostname") } else { set }
}

/// Whether avahi announces this machine's name by mDNS.
pub fn is_announced() -> bool {
    Path::new("/run/avahi-daemon/socket").exists()
}

/// The hosts by which a browser at home reaches this board now, the best first.
pub fn hosts() -> Vec<String> {
    let name = host_name();
    let addresses = BoardAddresses::now();
    links::hosts(is_announced().then_some(name.as_str()), addresses.iter())
}

/// The command that lets the first viewer in. `fanlight pair` takes the page and the broker from the configuration;
/// with `host`, the link has this host instead.
pub fn first_pairing(host: Option<&str>, port: u16) -> String {
    match host {
        None => "sudo fanlight pair".to_owned(),
        Some(host) => {
            format!("sudo fanlight pair --page {} --broker {}", links::page(host, port), links::broker(host, port))
        }
    }
}

/// The service: serves the page and the browsers' MQTT until it is stopped.
pub async fn serve(file: &Path, listening: impl FnOnce(SocketAddr)) -> Result<(), HomeError> {
    let failed = |e: String| HomeError::Failed(e);
    let settings = read_settings(file).map_err(HomeError::Settings)?;
    let device = settings.id().map_err(HomeError::Settings)?;
    let mut signals = Signals::listen(false).map_err(failed)?;
    let host = host_name();
    let names = links::certificate_names(&host, &settings.names);
    let credentials = Credentials::open(StateFolder::of_process(), &names).map_err(failed)?;
    let listener = listen_everywhere(settings.port).map_err(|e| failed(ports::fault(settings.port, &e)))?;
    if let Ok(address) = listener.local_addr() {
        listening(address);
    }
    let site = Site::new(VIEWER, "", &settings.root, &device, true, Some(credentials.authority()));
    let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.broker_port));
    let server = HomeServer::new(listener, credentials, site, broker, ServerLimits::default());
    info!("the page is at {}", links::page(names.first().map_or("localhost", String::as_str), settings.port));
    systemd::ready();
    systemd::status(&format!("{device}: the page is on port {}", settings.port));
    tokio::select! {
        () = signals.stopped() => {}
        // The certificate is for the name. systemd starts this service again.
        () = renamed(&host) => info!("this machine has another name now: new certificates are needed"),
        Err(error) = server.run() => return Err(failed(format!("accept connections: {error}"))),
    }
    systemd::stopping();
    Ok(())
}

/// Returns when the host name is another one.
async fn renamed(host: &str) {
    while links::first_label(&host_name()) == links::first_label(host) {
        sleep(NAME_PERIOD).await;
    }
}

/// The log of `fanlight home`, which has no configuration of its own.
pub fn log() -> config::Log {
    config::Log::default()
}
