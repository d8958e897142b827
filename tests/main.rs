//! Integration tests: one test program with a module for each theme. tests/README.md says what each one promises.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // helpers may panic, as tests may

mod rig;

mod audit;
mod broker;
mod code_rules;
mod demo_command;
mod documents;
mod fuzz;
mod home;
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
