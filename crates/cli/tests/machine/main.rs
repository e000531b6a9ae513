//! Builds in real machines, from a base that is made in seconds, judged by tools that are not ours.

mod build;
mod death;
mod failures;
#[path = "../support/mod.rs"]
mod support;
