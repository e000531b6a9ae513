//! `kiln validate`: every mistake of a template, and nothing else.

use crate::{args::Validate, commands::request, failure::Failure};
use kiln_types::Timestamp;

pub(crate) fn run(args: &Validate) -> Result<String, Failure> {
    let loaded = request(&args.template).load(Timestamp::now())?;
    let steps = loaded.template.provisioners.len();
    let plural = if steps == 1 { "" } else { "s" };
    Ok(format!("{}: valid, {steps} step{plural}\n", loaded.template.name))
}
