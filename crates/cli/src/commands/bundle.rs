//! `kiln bundle`: disks as instance-store bundles, and back.

use crate::{
    args::{
        Bundle as Args, BundleCreate, BundleDelete, BundleExtract, BundleKeygen, BundleMigrate, BundleShow,
        BundleTransfer, BundleVerify, Global,
    },
    commands::{events, json, open},
    failure::Failure,
    settings,
    table::details,
};
use kiln_builder::{
    BundleOf, BundleRequest, Error, Phase,
    bundle::{
        Certificate, Changes, Copied, Extracted, MachineConfiguration, Manifest, Mapping, Place, PrivateKey,
        Secret, Settings, SignedManifest, Watch, copy, extract as extract_bundle, generate,
        migrate as migrate_bundle, remove, verify as verify_bundle,
    },
    bundle_manifest, bundle_place,
    store::S3Settings,
    watched,
};
use kiln_types::ByteSize;
use serde::Serialize;
use std::{io::Write, path::PathBuf};

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::Create(args) => create(global, args).await,
        Args::Extract(args) => extract(global, args).await,
        Args::Verify(args) => verify(global, args).await,
        Args::Show(args) => show(global, args).await,
        Args::Upload(args) | Args::Download(args) => transfer(global, args).await,
        Args::Delete(args) => delete(global, args).await,
        Args::Keygen(args) => keygen(args),
        Args::Migrate(args) => migrate(global, args).await,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    manifest: &'a str,
    name: &'a str,
    user_id: &'a str,
    architecture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ramdisk_id: Option<&'a str>,
    size: u64,
    bundled_size: u64,
    digest: &'a str,
    parts: Vec<&'a str>,
}

fn document<'a>(path: &'a str, manifest: &'a Manifest) -> Document<'a> {
    Document {
        manifest: path,
        name: &manifest.name,
        user_id: &manifest.user,
        architecture: &manifest.machine.architecture,
        kernel_id: manifest.machine.kernel_id.as_deref(),
        ramdisk_id: manifest.machine.ramdisk_id.as_deref(),
        size: manifest.size,
        bundled_size: manifest.bundled_size,
        digest: &manifest.digest,
        parts: manifest.parts.iter().map(|part| part.name.as_str()).collect(),
    }
}

async fn create(global: &Global, args: &BundleCreate) -> Result<String, Failure> {
    let settings = bundle_settings(args).map_err(Error::from)?;
    let of = match args.partition {
        Some(number) => BundleOf::Partition(number),
        None if args.kernel.is_some() && !args.whole_disk => BundleOf::Root,
        None => BundleOf::Disk,
    };
    let request = BundleRequest {
        source: args.source.clone(),
        format: args.format.clone(),
        of,
        settings,
        place: bundle_place(&args.output, &s3())?,
    };
    let kiln = open(global).await?;
    let (manifest, name) = kiln.bundle(request, &events(global)).await?;
    let path = format!("{}/{name}", args.output.trim_end_matches('/'));
    if args.json {
        return json(&document(&path, &manifest));
    }
    let size = ByteSize::from_bytes(manifest.bundled_size).approximate();
    Ok(format!("{path}  {} parts, {size}\n", manifest.parts.len()))
}

fn bundle_settings(args: &BundleCreate) -> Result<Settings, kiln_builder::bundle::Error> {
    let mapping =
        |(name, device): &(String, String)| Mapping { virtual_name: name.clone(), device: device.clone() };
    Ok(Settings {
        prefix: args.prefix.clone(),
        user: args.user,
        machine: MachineConfiguration {
            architecture: args.arch.clone(),
            mappings: args.mappings.iter().map(mapping).collect(),
            kernel_id: args.kernel.clone(),
            ramdisk_id: args.ramdisk.clone(),
            product_codes: Vec::new(),
        },
        certificate: Certificate::read(&args.cert)?,
        key: PrivateKey::read(&args.key)?,
        ec2_certificate: Certificate::read(&args.ec2cert)?,
        part_size: usize::try_from(args.part_size.bytes()).unwrap_or(usize::MAX),
        level: args.level,
        dense: args.dense,
        secret: if args.reproducible { Secret { key: [0; 16], iv: [0; 16] } } else { Secret::random()? },
    })
}

type Opened = (PrivateKey, Option<Certificate>, Place, String);

/// Reads the keys, and finds the bundle.
fn opened(args: &BundleVerify) -> Result<Opened, Error> {
    let certificate = args.cert.as_deref().map(Certificate::read).transpose()?;
    let (place, name) = found(&args.manifest)?;
    Ok((PrivateKey::read(&args.key)?, certificate, place, name))
}

fn found(manifest: &str) -> Result<(Place, String), Error> {
    bundle_manifest(manifest, &s3())
}

/// Returns how S3 is reached: as the environment says.
pub(super) fn s3() -> S3Settings {
    settings::environment().into_iter().collect()
}

async fn extract(global: &Global, args: &BundleExtract) -> Result<String, Failure> {
    let (key, certificate, place, name) = opened(&args.bundle)?;
    let output = args.output.clone();
    let events = events(global);
    let phase = events.begin(Phase::Bundle { prefix: name.clone() });
    let extracted = watched(&events, move |watch| {
        Ok(extract_bundle(&place, &name, &key, certificate.as_ref(), &output, watch)?)
    });
    let extracted = extracted.await?;
    phase.done(ByteSize::from_bytes(extracted.manifest.size).approximate());
    Ok(format!("{}  {}\n", args.output.display(), summary(&extracted)))
}

async fn verify(global: &Global, args: &BundleVerify) -> Result<String, Failure> {
    let (key, certificate, place, name) = opened(args)?;
    let work = move |watch: &Watch| Ok(verify_bundle(&place, &name, &key, certificate.as_ref(), watch)?);
    let extracted = watched(&events(global), work).await?;
    Ok(format!("{}  {}\n", args.manifest, summary(&extracted)))
}

async fn transfer(global: &Global, args: &BundleTransfer) -> Result<String, Failure> {
    let (from, name) = found(&args.manifest)?;
    let to = bundle_place(&args.to, &s3())?;
    let shown = format!("{}/{name}", args.to.trim_end_matches('/'));
    let work = move |watch: &Watch| Ok(copy(&from, &to, &name, watch)?);
    let Copied { manifest, kept } = watched(&events(global), work).await?;
    let there = if kept == 0 { String::new() } else { format!(", {kept} of them there already") };
    Ok(format!("{shown}  {} parts{there}\n", manifest.parts.len()))
}

async fn delete(global: &Global, args: &BundleDelete) -> Result<String, Failure> {
    let (place, name) = found(&args.manifest)?;
    let manifest = watched(&events(global), move |_| Ok(remove(&place, &name)?)).await?;
    Ok(format!("{}  removed, and {} parts\n", args.manifest, manifest.parts.len()))
}

fn summary(extracted: &Extracted) -> String {
    let size = ByteSize::from_bytes(extracted.manifest.size).approximate();
    let signature = if extracted.signature_checked {
        "the signature is the user's"
    } else {
        "signature not checked: neither --cert nor the user's key was given"
    };
    format!("{size}, whole; {signature}")
}

async fn show(global: &Global, args: &BundleShow) -> Result<String, Failure> {
    let (place, name) = found(&args.manifest)?;
    let read = move |_: &Watch| Ok(SignedManifest::read(&place, &name)?.manifest);
    let manifest = watched(&events(global), read).await?;
    if args.json {
        return json(&document(&args.manifest, &manifest));
    }
    let machine = &manifest.machine;
    let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "none".to_owned());
    let mappings = machine.mappings.iter().map(|one| format!("{}={}", one.virtual_name, one.device));
    let mut rows = vec![
        ("name", manifest.name.clone()),
        ("made by", manifest.bundler.join(" ")),
        ("type", manifest.kind.as_str().to_owned()),
        ("owner", manifest.user.clone()),
        ("architecture", machine.architecture.clone()),
        ("kernel", or_none(&machine.kernel_id)),
        ("ramdisk", or_none(&machine.ramdisk_id)),
        ("size", format!("{} bytes", manifest.size)),
        ("bundled", format!("{} bytes in {} parts", manifest.bundled_size, manifest.parts.len())),
        ("digest", format!("sha1:{}", manifest.digest)),
    ];
    if !machine.mappings.is_empty() {
        rows.push(("devices", mappings.collect::<Vec<_>>().join(", ")));
    }
    // A manifest is anybody's text: nothing in it may speak to the terminal.
    let rows: Vec<_> = rows.iter().map(|(name, text)| (*name, text.escape_debug().to_string())).collect();
    Ok(details(&rows))
}

fn keygen(args: &BundleKeygen) -> Result<String, Failure> {
    let (certificate, key) = generate("kiln").map_err(Error::from)?;
    let (certificate_path, key_path) = (args.output.join("cert.pem"), args.output.join("key.pem"));
    let write = |path: &PathBuf, text: &str, mode: u32| {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        options.open(path)?.write_all(text.as_bytes())
    };
    let written = fs_err::create_dir_all(&args.output)
        .and_then(|()| write(&key_path, &key, 0o600))
        .and_then(|()| write(&certificate_path, &certificate, 0o644));
    written.map_err(Error::from)?;
    Ok(format!("{}\n{}\n", certificate_path.display(), key_path.display()))
}

async fn migrate(global: &Global, args: &BundleMigrate) -> Result<String, Failure> {
    let (place, old) = found(&args.manifest)?;
    let new = args.name.clone().unwrap_or_else(|| old.clone());
    let args = args.clone();
    let work = move |_: &Watch| {
        let changes = Changes {
            kernel_id: args.kernel,
            ramdisk_id: args.ramdisk,
            ec2_certificate: args.ec2cert.as_deref().map(Certificate::read).transpose()?,
        };
        let (certificate, key) = (Certificate::read(&args.cert)?, PrivateKey::read(&args.key)?);
        migrate_bundle(&place, &old, &new, &certificate, &key, &changes)?;
        Ok(format!("{new}\n"))
    };
    Ok(watched(&events(global), work).await?)
}
