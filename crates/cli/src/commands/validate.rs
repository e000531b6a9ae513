//! `kiln validate`: every mistake of templates, and nothing else.

use crate::{args::Validate, commands::requests, failure::Failure};

pub(crate) fn run(args: &Validate) -> Result<String, Failure> {
    let lines = requests(&args.templates)?.into_iter().map(|(_, loaded)| {
        let steps = loaded.template.provisioners.len();
        let plural = if steps == 1 { "" } else { "s" };
        format!("{}: valid, {steps} step{plural}\n", loaded.template.label())
    });
    Ok(lines.collect())
}
