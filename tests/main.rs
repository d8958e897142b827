//! Tests against strangers: one binary, by theme. This file is the table of contents.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // helpers of tests may fail like tests

mod rig;

mod adapts;
mod broker;
mod daemon;
mod demo;
mod documents;
mod fuzz;
mod house;
mod links;
mod logging;
mod port;
mod process;
mod service;
mod setup;
mod shipped;
mod templates;
mod turn;
