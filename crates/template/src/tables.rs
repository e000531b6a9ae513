//! The tables of a template, one a file: what was written to what is meant.

mod export;
mod file;
mod image;
mod machine;
mod provisioner;
mod root;
mod shell;
mod source;

pub(crate) use root::read;
