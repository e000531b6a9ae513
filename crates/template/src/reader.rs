//! A walk over what TOML's parser found, value by value, that goes on after a mistake.
//!
//! What is written is TOML's own tree with its spans; each table of a template has a function that asks a
//! [`Table`] for the keys it knows and a [`Field`] for a value of the type it wants. Deserialising through serde
//! would stop at the first mistake, and lose spans inside tagged tables.

mod check;
mod field;
mod table;
mod value;

pub(crate) use check::{Kind, account, no_spaces};
pub(crate) use field::Field;
pub(crate) use table::Table;
pub(crate) use value::{all, one_line, quoted, scalar};
