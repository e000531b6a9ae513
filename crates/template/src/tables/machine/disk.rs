//! `[[machine.disk]]`: disks beside the root.

use crate::{
    model::ExtraDisk,
    reader::Field,
    report::{Checked, Diagnostic},
};
use kiln_types::{ByteSize, DeviceName};
use std::{collections::BTreeMap, ops::Range};

/// Disks that a machine can have beside its root; the bus has places for a few more.
const MOST: usize = 16;

/// Characters of a name. A virtio disk's serial number takes 20, and overlays are called after it.
const LONGEST_NAME: usize = 14;

/// Where each name is used first.
type Taken = BTreeMap<String, Range<usize>>;

/// Reads the disks. `root` is the root's device name.
pub(super) fn read(field: &Field<'_>, root: Option<&DeviceName>) -> Checked<Vec<ExtraDisk>> {
    if !field.is_array() {
        let diagnostic = Diagnostic::at(field.span(), "`disk` must be an array of tables")
            .help("write `[[machine.disk]]`, once for each disk");
        return Err(field.context.report(diagnostic));
    }
    let items = field.items()?;
    if items.len() > MOST {
        let title = format!("a machine can have at most {MOST} disks beside its root");
        return Err(field.wrong(title, format!("these are {}", items.len())));
    }
    let (mut names, mut devices) = (Taken::new(), Taken::new());
    // A mistake in one does not keep the others from being looked at.
    let disks: Vec<_> = items.iter().map(|item| disk(item, root, &mut names, &mut devices)).collect();
    let disks: Vec<_> = disks.into_iter().collect::<Checked<_>>()?;
    let mut free = ('b'..='z').map(device).filter(|device| !devices.contains_key(&letter(device)));
    let mut free = free.by_ref().filter(|device| root.is_none_or(|root| letter(root) != letter(device)));
    let named = disks.into_iter().map(|(name, size, device)| {
        let device_name = device.or_else(|| free.next()).expect("there are more letters than disks");
        ExtraDisk { name, size, device_name }
    });
    Ok(named.collect())
}

type Written = (String, ByteSize, Option<DeviceName>);

fn disk(
    field: &Field<'_>,
    root: Option<&DeviceName>,
    names: &mut Taken,
    devices: &mut Taken,
) -> Checked<Written> {
    let mut table = field.table("`[[machine.disk]]`")?;
    let name = table.required("name", "\"data\"", |field| {
        let name = field.checked("a disk's name", disk_name)?;
        claim(field, &name, &format!("two disks are named `{name}`"), names)?;
        Ok(name)
    });
    let size = table.required("size", "\"1GiB\"", |field| field.size(ByteSize::from_mib(1)));
    let device = table.optional("device_name", |field| {
        let device: DeviceName = field.parse()?;
        if root.is_some_and(|root| letter(root) == letter(&device)) {
            return Err(field.wrong(format!("`{device}` is the root's"), "taken"));
        }
        claim(field, &letter(&device), &format!("two disks are `{device}`"), devices)?;
        Ok(device)
    });
    table.finish()?;
    Ok((name?, size?, device?))
}

fn disk_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("is empty".to_owned()),
        _ if name.len() > LONGEST_NAME => Err(format!("expected at most {LONGEST_NAME} characters")),
        _ if name.starts_with("kiln-") => Err("names that start with `kiln-` are Kiln's own".to_owned()),
        _ if name.starts_with('-') => Err("starts with `-`".to_owned()),
        _ if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') => Ok(()),
        _ => Err("expected letters, digits and hyphens".to_owned()),
    }
}

fn claim(field: &Field<'_>, name: &str, title: &str, taken: &mut Taken) -> Checked<()> {
    if let Some(first) = taken.get(name) {
        let diagnostic =
            Diagnostic::at(field.span(), title).label("the same").context(first.clone(), "the first");
        return Err(field.context.report(diagnostic));
    }
    taken.insert(name.to_owned(), field.span());
    Ok(())
}

/// Returns the name without the partition: `/dev/sda1` is the disk `/dev/sda`.
fn letter(device: &DeviceName) -> String {
    device.as_str().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

fn device(letter: char) -> DeviceName {
    format!("/dev/sd{letter}").parse().expect("a letter makes a device name")
}
