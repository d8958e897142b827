//! fanlight: a camera peer for Linux boards.
//!
//! One camera and one microphone, one encode, many viewers by WebRTC, asked for over MQTT. This file is the map of the
//! house; `docs/design/decisions.md` tells why it is so.
//!
//! Floors; imports go down only:
//! ```text
//! 8  main fuzz                      – the process; what feeds hostile bytes to the parts below
//! 7  service                        – what lives as long as the service
//! 6  run check demo setup           – what it can be told to do
//! 5  sessions devices                – owners: they create and end
//! 4  broker viewer video audio      – threads of execution
//! 3  grant ice signals              – what a session needs: a right, and ways; what the process is told
//! 2  protocol media_source rate systemd    – what is said; a device as its viewers know it; what serves all of them
//! 1  feed demand meter log liveness addresses lastgood tls – what travels; when to be on; what is told
//! 0  clock config cli memory    – leaves
//! ```

pub mod addresses;
pub mod audio;
pub mod broker;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demand;
pub mod demo;
pub mod devices;
pub mod feed;
#[doc(hidden)]
pub mod fuzz;
pub mod grant;
pub mod ice;
pub mod lastgood;
pub mod liveness;
pub mod log;
pub mod media_source;
pub mod memory;
pub mod meter;
pub mod protocol;
pub mod rate;
pub mod run;
pub mod service;
pub mod sessions;
pub mod setup;
pub mod signals;
pub mod systemd;
pub mod tls;
pub mod video;
pub mod viewer;
