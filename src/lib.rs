//! fanlight: a camera peer for Linux boards.
//!
//! One camera and one microphone, one encode, many viewers by WebRTC, asked for over MQTT. This file is the map of the
//! house; `docs/design.md` tells why it is so.
//!
//! Floors; imports go down only:
//! ```text
//! 4  main → check, demo, run
//! 3  sessions   studio                 owners: they create and end
//! 2  broker   viewer   video   audio   threads of execution
//! 1  feed                              what travels between them
//! 0  clock config protocol demand meter leaves, pure
//! ```

pub mod audio;
pub mod broker;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demand;
pub mod demo;
pub mod feed;
pub mod grant;
pub mod ice;
pub mod log;
pub mod memory;
pub mod meter;
pub mod protocol;
pub mod run;
pub mod sessions;
pub mod studio;
pub mod systemd;
pub mod video;
pub mod viewer;
