//! `[bundle]`.

use crate::{
    model::{Bundle, RootDeviceType},
    reader::{Field, Kind, Table},
    report::{Checked, Diagnostic},
};
use kiln_types::ByteSize;

/// Part numbers have two digits in what readers expect: smaller parts would be too many. Larger ones no reader takes.
const PART_SIZES: [ByteSize; 2] = [ByteSize::from_mib(1), ByteSize::from_mib(32)];
/// The largest partition number of a GPT that anyone makes.
const PARTITIONS: i64 = 128;

/// Reads the bundle, which belongs to a root of this type and to no other.
pub(crate) fn read(table: &mut Table<'_>, root: Checked<RootDeviceType>) -> Checked<Option<Bundle>> {
    let field = table.get("bundle");
    match (field, root?) {
        (None, RootDeviceType::Ebs) => Ok(None),
        (Some(field), RootDeviceType::InstanceStore) => bundle(&field).map(Some),
        (None, RootDeviceType::InstanceStore) => {
            let title = "missing table `[bundle]`: the root of the image is made from a bundle";
            Err(table
                .report(table.mistake(title).help("add `[bundle]` with `user`, `cert`, `key` and `ec2cert`")))
        }
        (Some(field), RootDeviceType::Ebs) => {
            let diagnostic =
                Diagnostic::at(field.key.clone(), "`[bundle]` is for an image whose root is made from it");
            Err(field
                .context
                .report(diagnostic.help("add `root_device_type = \"instance-store\"` to `[image]`")))
        }
    }
}

fn bundle(field: &Field<'_>) -> Checked<Bundle> {
    let mut table = field.table("`[bundle]`")?;
    let file = |field: &Field<'_>| field.host_path(Kind::File);
    let user = table.required("user", "\"123456789012\"", Field::parse);
    let cert = table.required("cert", "\"keys/cert.pem\"", file);
    let key = table.required("key", "\"keys/key.pem\"", file);
    let ec2cert = table.required("ec2cert", "\"keys/cert-ec2.pem\"", file);
    let prefix = table.optional("prefix", |field| field.checked("the name of a bundle", a_file_name));
    let part_size = table.or("part_size", ByteSize::from_mib(10), part_size);
    let level = table.or("level", 6, |field| number(field, 1, 9));
    let partition = table.optional("partition", |field| number(field, 1, PARTITIONS));
    let kernel = table.optional("kernel", Field::string);
    let ramdisk = table.optional("ramdisk", Field::string);
    table.finish()?;
    Ok(Bundle {
        user: user?,
        cert: cert?,
        key: key?,
        ec2cert: ec2cert?,
        prefix: prefix?,
        part_size: part_size?,
        level: level?,
        partition: partition?,
        kernel: kernel?,
        ramdisk: ramdisk?,
    })
}

fn part_size(field: &Field<'_>) -> Checked<ByteSize> {
    let size = field.size(PART_SIZES[0])?;
    if size <= PART_SIZES[1] {
        return Ok(size);
    }
    let expected = format!("expected {} to {}", PART_SIZES[0], PART_SIZES[1]);
    Err(field.wrong(format!("`{}` is out of range", field.name), expected))
}

fn number(field: &Field<'_>, least: i64, most: i64) -> Checked<u32> {
    let number = field.integer(least..=most)?;
    Ok(u32::try_from(number).expect("the range fits"))
}

/// Parts and the manifest lie beside each other under it.
fn a_file_name(text: &str) -> Result<(), String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if text.is_empty() || text.starts_with('.') || !text.chars().all(fits) {
        return Err("expected letters, digits, `.`, `_` and `-`, and no `.` at the start".to_owned());
    }
    Ok(())
}
