//! fanlight: a camera peer for Linux boards.
//!
//! One camera, one microphone and one encode serve many viewers by WebRTC. Signalling runs over MQTT.
//! `docs/design/design.md` describes the modules, and `docs/design/decisions.md` gives the reasons.
//!
//! Modules are on floors. A module imports only from lower floors; `tests/code_rules.rs` checks this.
//! ```text
//! 9  main fuzz                      – the process; hostile bytes for the parts below
//! 8  service                        – lives as long as the service
//! 7  run check demo setup manage    – the commands
//! 6  sessions signalling devices owner home – owners: they create and end; messages become requests
//! 5  broker viewer video audio grant – threads of execution; who may watch
//! 4  trust audit message_limits ice signals commands – what a session needs: keys, records, limits, paths, commands
//! 3  protocol media_source rate systemd    – messages; a device as its viewers see it; what serves all of them
//! 2  feed demand privacy talk gpio meter log liveness addresses lastgood tls page rate_limit – feeds; demand; reports
//! 1  clock config cli idle level memory picture state_folder writer_queue – leaves
//! 0  units rights jose              – what a number counts; what a viewer may do; signed and sealed texts
//! ```

pub mod addresses;
pub mod audio;
pub mod audit;
pub mod broker;
pub mod check;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod demand;
pub mod demo;
pub mod devices;
pub mod feed;
#[doc(hidden)]
pub mod fuzz;
pub mod gpio;
pub mod grant;
pub mod home;
pub mod ice;
pub mod idle;
pub mod jose;
pub mod lastgood;
pub mod level;
pub mod liveness;
pub mod log;
pub mod manage;
pub mod media_source;
pub mod memory;
pub mod message_limits;
pub mod meter;
pub mod owner;
pub mod page;
pub mod picture;
pub mod privacy;
pub mod protocol;
pub mod rate;
pub mod rate_limit;
pub mod rights;
pub mod run;
pub mod service;
pub mod sessions;
pub mod setup;
pub mod signalling;
pub mod signals;
pub mod state_folder;
pub mod systemd;
pub mod talk;
pub mod tls;
pub mod trust;
pub mod units;
pub mod video;
pub mod viewer;
pub mod writer_queue;
