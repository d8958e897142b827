//! One remote viewer, from offer to bye: a task each.

pub mod peer;
