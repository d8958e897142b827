//! Tests against strangers: one binary, by theme. This file is the table of contents.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // helpers of tests may fail like tests

mod rig;

mod broker;
mod code_rules;
mod demo_command;
mod documents;
mod fuzz;
mod hostile_packets;
mod link_adaptation;
mod links;
mod log_is_bounded;
mod process_lifecycle;
mod service;
mod setup_command;
mod shipped_files;
mod templates;
mod turn;
mod wire_contract;
