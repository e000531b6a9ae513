//! `kiln export`: an image's or a snapshot's disk as a file.

use crate::{
    args::{Export, Global},
    commands::{events, json, open},
    failure::Failure,
};
use kiln_builder::{
    ExportOptions, Exported, Kiln,
    export::{Kind, Options, Target},
};
use kiln_types::ByteSize;
use serde::Serialize;
use std::{
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    exports: Vec<Exported>,
}

pub(crate) async fn run(global: &Global, args: &Export) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let options = Options {
        compression: args.compression.clone(),
        cluster_size: args.cluster_size,
        compat: args.compat.clone(),
        subformat: args.subformat.clone(),
        incremental: args.incremental.clone(),
        ..Options::default()
    };
    if args.output.as_os_str() == "-" {
        return stream(&kiln, global, args, options).await;
    }
    let chosen = ExportOptions { format: args.format.clone(), options, no_sha256: args.no_sha256 };
    let exported = kiln.export(&args.source, &args.output, chosen, &events(global)).await?;
    if args.json {
        return json(&Document { exports: vec![exported] });
    }
    Ok(line(&exported))
}

/// Standard output is the disk: nothing else may go there.
async fn stream(kiln: &Kiln, global: &Global, args: &Export, options: Options) -> Result<String, Failure> {
    let named = "name a file: -o FILE";
    if args.json || args.format.as_ref().is_some_and(|format| format != "raw") {
        return Err(Failure::usage("standard output takes a raw disk and nothing else").with_hint(named));
    }
    Target::new(Kind::Raw, options).map_err(kiln_builder::Error::from)?;
    if io::stdout().is_terminal() {
        return Err(Failure::usage("a disk does not belong on a terminal").with_hint(named));
    }
    // Not by way of the library's line buffer.
    let out = io::stdout().as_fd().try_clone_to_owned();
    let out = File::from(out.map_err(kiln_builder::Error::from)?);
    kiln.export_stream(&args.source, out, &events(global)).await?;
    Ok(String::new())
}

/// Says what was written.
pub(crate) fn line(exported: &Exported) -> String {
    let size = ByteSize::from_bytes(exported.size).approximate();
    let digest = exported.sha256.map(|digest| format!("  sha256:{digest}")).unwrap_or_default();
    format!("{}  {} {size}{digest}\n", exported.path.display(), exported.format)
}
