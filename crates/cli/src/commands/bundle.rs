//! `kiln bundle`: disks as instance-store bundles, and back.

use crate::{
    args::{
        Bundle as Args, BundleCreate, BundleExtract, BundleKeygen, BundleMigrate, BundleShow, BundleVerify,
        Global,
    },
    commands::{events, json, open},
    failure::Failure,
    table::details,
};
use kiln_builder::{
    BundleOf, BundleRequest, Error,
    bundle::{
        Certificate, Changes, Extracted, MachineConfiguration, Manifest, Mapping, PrivateKey, Secret,
        Settings, SignedManifest, extract as extract_bundle, generate, migrate as migrate_bundle,
        verify as verify_bundle,
    },
};
use kiln_types::ByteSize;
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

pub(crate) async fn run(global: &Global, args: &Args) -> Result<String, Failure> {
    match args {
        Args::Create(args) => create(global, args).await,
        Args::Extract(args) => extract(args),
        Args::Verify(args) => verify(args),
        Args::Show(args) => show(args),
        Args::Keygen(args) => keygen(args),
        Args::Migrate(args) => migrate(args),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    manifest: &'a Path,
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

fn document<'a>(path: &'a Path, manifest: &'a Manifest) -> Document<'a> {
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
    let settings = settings(args).map_err(Error::from)?;
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
        folder: args.output.clone(),
    };
    let kiln = open(global).await?;
    let (manifest, path) = kiln.bundle(request, &events(global)).await?;
    if args.json {
        return json(&document(&path, &manifest));
    }
    let size = ByteSize::from_bytes(manifest.bundled_size).approximate();
    Ok(format!("{}  {} parts, {size}\n", path.display(), manifest.parts.len()))
}

fn settings(args: &BundleCreate) -> Result<Settings, kiln_builder::bundle::Error> {
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

fn opened(args: &BundleVerify) -> Result<(PrivateKey, Option<Certificate>), Error> {
    Ok((PrivateKey::read(&args.key)?, args.cert.as_deref().map(Certificate::read).transpose()?))
}

fn extract(args: &BundleExtract) -> Result<String, Failure> {
    let (key, certificate) = opened(&args.bundle)?;
    let extracted = extract_bundle(&args.bundle.manifest, &key, certificate.as_ref(), &args.output);
    let extracted = extracted.map_err(Error::from)?;
    Ok(format!("{}  {}\n", args.output.display(), summary(&extracted)))
}

fn verify(args: &BundleVerify) -> Result<String, Failure> {
    let (key, certificate) = opened(args)?;
    let extracted = verify_bundle(&args.manifest, &key, certificate.as_ref()).map_err(Error::from)?;
    Ok(format!("{}  {}\n", args.manifest.display(), summary(&extracted)))
}

fn summary(extracted: &Extracted) -> String {
    let size = ByteSize::from_bytes(extracted.manifest.size).approximate();
    let signature = if extracted.signature_checked {
        "the signature is the certificate's"
    } else {
        "signature not checked: no --cert given"
    };
    format!("{size}, whole; {signature}")
}

fn show(args: &BundleShow) -> Result<String, Failure> {
    let manifest = SignedManifest::read(&args.manifest).map_err(Error::from)?.manifest;
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

fn migrate(args: &BundleMigrate) -> Result<String, Failure> {
    let migrated = (|| {
        let changes = Changes {
            kernel_id: args.kernel.clone(),
            ramdisk_id: args.ramdisk.clone(),
            ec2_certificate: args.ec2cert.as_deref().map(Certificate::read).transpose()?,
        };
        let output = args.output.as_deref().unwrap_or(&args.manifest);
        let (certificate, key) = (Certificate::read(&args.cert)?, PrivateKey::read(&args.key)?);
        migrate_bundle(&args.manifest, output, &certificate, &key, &changes)?;
        Ok::<_, kiln_builder::bundle::Error>(format!("{}\n", output.display()))
    })();
    Ok(migrated.map_err(Error::from)?)
}
