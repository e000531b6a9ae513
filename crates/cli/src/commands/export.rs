//! `kiln export`: an image's or a snapshot's disk as a file.

use crate::{
    args::{Export, Global},
    commands::{events, json, open},
    failure::Failure,
};
use kiln_builder::Exported;
use kiln_types::ByteSize;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    exports: Vec<Exported>,
}

pub(crate) async fn run(global: &Global, args: &Export) -> Result<String, Failure> {
    let kiln = open(global).await?;
    let exported = kiln.export(&args.source, &args.output, args.format.as_deref(), &events(global)).await?;
    if args.json {
        return json(&Document { exports: vec![exported] });
    }
    Ok(line(&exported))
}

/// Says what was written.
pub(crate) fn line(exported: &Exported) -> String {
    let size = ByteSize::from_bytes(exported.size).approximate();
    format!("{}  {} {size}  sha256:{}\n", exported.path.display(), exported.format, exported.sha256)
}
