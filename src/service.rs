//! `fanlight run`: reads the configuration, waits while there is none, reads it again on SIGHUP, and feeds the
//! watchdog.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, time::timeout};
use tracing::{error, info, warn};

use crate::{
    check,
    clock::Mono,
    config::{self, Config, ConfigError, Loaded, Surroundings},
    lastgood::{Kept, Refused},
    liveness::{Liveness, MAX_TICK, TICK},
    log, meter, run,
    signals::Signals,
    state_folder::StateFolder,
    systemd,
};

/// How long reading the configuration may take.
const READ: Duration = Duration::from_secs(10);

/// Why the service ends without a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceEnd {
    /// The configuration cannot be used. A restart would not help.
    Refused(String),
    /// Another fault. A restart may help.
    Failed(String),
}

/// Runs the service until SIGTERM or SIGINT.
pub async fn serve(file: &Path) -> Result<(), ServiceEnd> {
    // This comes first: from here on, no signal is lost, and none kills the process.
    let signals = Signals::listen(false).map_err(ServiceEnd::Failed)?;
    let kept = Kept::new(StateFolder::of_process());
    let mut stop = signals.clone();
    let (text, read) = tokio::select! {
        read = read(file) => read.map_err(ServiceEnd::Failed)?,
        // A file system that hangs keeps the reading thread, and nothing else.
        () = stop.stopped() => return Ok(()),
    };
    let start = Start::new(file, text, read, &kept).map_err(ServiceEnd::Refused)?;
    let settings = start.loaded.as_ref().map(|loaded| loaded.config.log.clone()).unwrap_or_default();
    let log = log::start(&settings).map_err(|e| ServiceEnd::Failed(format!("start the log: {e}")))?;
    meter::set_period(settings.meter_period);
    start.remarks.iter().for_each(|remark| warn!("{remark}"));
    let liveness = Liveness::default();
    let heartbeat = liveness.register("runtime", MAX_TICK, Mono::now());
    let ticking = async {
        loop {
            heartbeat.tick(Mono::now());
            tokio::time::sleep(TICK).await;
        }
    };
    let _watchdog = systemd::Watchdog::start(liveness.clone(), Handle::current())
        .map_err(|e| ServiceEnd::Failed(format!("start the watchdog's thread: {e}")))?;
    let mut service = Service { file, log, kept, signals, note: watch::Sender::new(start.note) };
    let served = async {
        let loaded = match start.loaded {
            Some(loaded) => Some(loaded),
            None => service.wait_for_setup().await,
        };
        match loaded {
            Some(loaded) => service.serve(loaded, start.text, liveness.clone()).await.map_err(ServiceEnd::Failed),
            None => Ok(()),
        }
    };
    tokio::select! {
        ended = served => ended,
        () = ticking => Ok(()),
    }
}

/// The configuration with which the service starts.
struct Start {
    /// `None`: the board is not set up yet.
    loaded: Option<Loaded>,
    /// The text to keep as the last that worked. `None` if the configuration is not the file's.
    text: Option<String>,
    /// Warnings for the log.
    remarks: Vec<String>,
    /// A remark for the status line. Empty for none.
    note: String,
}

impl Start {
    /// Selects the configuration to start with. An error ends the service with exit code 78.
    fn new(file: &Path, text: Option<String>, read: Result<Loaded, ConfigError>, kept: &Kept) -> Result<Self, String> {
        let error = match read {
            Ok(loaded) => {
                let remarks = kept.read().1;
                return Ok(Self { loaded: Some(loaded), text, remarks, note: String::new() });
            }
            Err(error) => error,
        };
        if error.blank {
            let (copy, mut remarks) = kept.read();
            remarks.extend(copy.and_then(|_| kept.place()).map(|place| {
                let file = file.display();
                format!("{file} is empty now; the last configuration that worked is kept in {}", place.display())
            }));
            return Ok(Self { loaded: None, text: None, remarks, note: String::new() });
        }
        match kept.instead(text.as_deref(), file, &Surroundings::of_process(false), &error) {
            Refused::Continue { loaded, message } => {
                let remarks = vec![error.to_string(), message.clone()];
                Ok(Self { loaded: Some(*loaded), text: None, remarks, note: message })
            }
            Refused::End { hint } => Err(format!("{error}\n{hint}").trim_end().to_owned()),
        }
    }
}

/// Reads the configuration on a thread of its own, so a file system that hangs does not block signals and the watchdog.
/// An error if the file system does not answer within 10 s.
async fn read(file: &Path) -> Result<(Option<String>, Result<Loaded, ConfigError>), String> {
    static READING: AtomicBool = AtomicBool::new(false);
    if READING.swap(true, Ordering::AcqRel) {
        return Err(format!("read {}: the last attempt still hangs", file.display()));
    }
    let path = file.to_owned();
    /// Also if the parser panics.
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            READING.store(false, Ordering::Release);
        }
    }
    let reading = tokio::task::spawn_blocking(move || {
        let _done = Done;
        match config::text(&path) {
            Ok(text) => {
                let parsed = config::parse(&text, &path, &Surroundings::of_process(false));
                (Some(text), parsed)
            }
            Err(error) => (None, Err(error)),
        }
    });
    match timeout(READ, reading).await {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(e)) => Err(format!("read {}: {e}", file.display())),
        Err(_) => Err(format!("read {}: the file system does not answer within {} s", file.display(), READ.as_secs())),
    }
}

/// The state of the service.
struct Service<'a> {
    file: &'a Path,
    log: log::LogGuard,
    kept: Kept,
    signals: Signals,
    /// The remark at the end of the status line. Empty for none.
    note: watch::Sender<String>,
}

impl Service<'_> {
    /// Waits until the board is set up: until a SIGHUP after which the file can be used. `None` on SIGTERM or SIGINT.
    async fn wait_for_setup(&mut self) -> Option<Loaded> {
        const STATUS: &str = "not set up yet: sudo fanlight setup";
        let file = self.file;
        info!("{}: not set up yet; waiting for `fanlight setup`, or for SIGHUP", file.display());
        systemd::status(STATUS);
        loop {
            systemd::ready();
            let mut stop = self.signals.clone();
            tokio::select! {
                () = stop.stopped() => return None,
                () = self.signals.hung_up() => {}
            }
            systemd::reloading();
            let read = tokio::select! {
                read = read(file) => read,
                () = stop.stopped() => return None,
            };
            match read {
                Ok((text, Ok(loaded))) => {
                    self.log.apply(&loaded.config.log);
                    meter::set_period(loaded.config.log.meter_period);
                    self.keep(text);
                    return Some(loaded);
                }
                Ok((_, Err(e))) => {
                    error!("configuration read again and refused, still waiting:\n{e}");
                    systemd::status(&if e.blank { STATUS.to_owned() } else { format!("not set up yet: {e}") });
                }
                Err(e) => error!("configuration: {e}"),
            }
        }
    }

    /// Serves viewers until SIGTERM or SIGINT.
    async fn serve(&mut self, loaded: Loaded, text: Option<String>, liveness: Liveness) -> Result<(), String> {
        loaded.warnings.iter().for_each(|w| warn!("{w}"));
        let config = loaded.config;
        info!("fanlight {} as {}", env!("CARGO_PKG_VERSION"), config.device);
        // On a thread of its own, because a file system may hang.
        let checked = config.clone();
        tokio::task::spawn_blocking(move || check::missing(&checked).iter().for_each(|missing| info!("{missing}")));
        let (reload, reloads) = watch::channel(config.clone());
        self.keep(text);
        systemd::ready();
        let mut stop = self.signals.clone();
        let stop = async move { stop.stopped().await };
        let note = self.note.subscribe();
        tokio::select! {
            ended = run::run(config, reloads, stop, &liveness, note) => ended.map_err(|e| e.to_string()),
            () = self.reread(reload) => Ok(()),
        }
    }

    /// Reads the file again on each SIGHUP. Passes on what can change now, and reports what needs a restart.
    async fn reread(&mut self, reload: watch::Sender<Config>) {
        loop {
            self.signals.hung_up().await;
            systemd::reloading();
            let note = match read(self.file).await {
                Ok((text, Ok(loaded))) => {
                    loaded.warnings.iter().for_each(|w| warn!("{w}"));
                    let old = reload.borrow().clone();
                    let changes = Config::difference(&old, &loaded.config);
                    if changes.is_empty() {
                        info!("configuration read again: nothing changed");
                    }
                    if !changes.live.is_empty() {
                        info!("configuration read again: changed at once: {}", changes.live.join(", "));
                    }
                    if !changes.restart.is_empty() {
                        warn!("configuration read again: needs a restart: {}", changes.restart.join(", "));
                    }
                    self.log.apply(&loaded.config.log);
                    meter::set_period(loaded.config.log.meter_period);
                    reload.send_replace(old.reloaded(&loaded.config));
                    self.keep(text);
                    match changes.restart.as_slice() {
                        [] => String::new(),
                        keys => format!("a restart is needed for {}", keys.join(", ")),
                    }
                }
                Ok((_, Err(e))) => {
                    error!("configuration read again and refused, the old one stays in force:\n{e}");
                    format!("the configuration was refused, the old one is in force: {e}")
                }
                Err(e) => {
                    error!("configuration: {e}; the old one stays in force");
                    format!("the old configuration is in force: {e}")
                }
            };
            self.note.send_replace(note);
            systemd::ready();
        }
    }

    /// Keeps a configuration that works, on a thread of its own.
    fn keep(&self, text: Option<String>) {
        let (Some(text), kept) = (text, self.kept.clone()) else { return };
        tokio::task::spawn_blocking(move || {
            if let Err(e) = kept.keep(&text, env!("CARGO_PKG_VERSION")) {
                warn!("{e}");
            }
        });
    }
}
