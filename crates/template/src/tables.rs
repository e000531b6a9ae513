//! The tables of a template, one a file: what was written to what is meant.

mod bundle;
mod cache_mount;
mod communicator;
mod condition;
mod export;
mod image;
mod lifecycle;
mod machine;
mod matrix;
mod provisioner;
mod root;
mod source;
mod sysprep;
mod test;

pub(crate) use matrix::{combinations, distinct};
pub(crate) use root::read;
