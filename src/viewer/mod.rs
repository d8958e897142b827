//! One remote viewer, from offer to bye: a task each.

mod engine;
mod feedback;
pub mod peer;
mod pump;
mod route;
mod track;
