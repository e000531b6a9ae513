//! A Debian that boots under UEFI with a TPM, is rebooted by a step and configured by Ansible; what the firmware and the
//! TPM remember is in the image's record.

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use kiln_testkit::Kiln;

const TEMPLATE: &str = r#"
[template]
name = "under-uefi"

[source]
type = "bootstrap"
suite = "bookworm"
packages = ["openssh-server", "python3"]
disk_size = "2GiB"

[machine]
firmware = "uefi"
tpm = true

[communicator]
type = "ssh"

[[provisioner]]
type = "shell"
inline = [
    "cat /proc/sys/kernel/random/boot_id > /srv/boot-before",
    # Attributes, then the value.
    'printf "\007\000\000\000swordfish" > /sys/firmware/efi/efivars/KilnTried-6b1b0a2e-5d0f-4e4c-9f49-0d1a2b3c4d5e',
]

[[provisioner]]
type = "reboot"

[[provisioner]]
type = "shell"
inline = [
    "test \"$(cat /srv/boot-before)\" != \"$(cat /proc/sys/kernel/random/boot_id)\"",
    "grep -aq swordfish /sys/firmware/efi/efivars/KilnTried-6b1b0a2e-5d0f-4e4c-9f49-0d1a2b3c4d5e",
    "ls /sys/firmware/acpi/tables/TPM2",
]

[[provisioner]]
type = "ansible"
playbook = "playbook.yml"

[[provisioner]]
type = "download"
source = "/srv/by-ansible"
destination = "fetched/"
"#;

const PLAYBOOK: &str = "\
- hosts: all
  gather_facts: false
  tasks:
    - copy:
        content: \"{{ lookup('pipe', 'echo from the host') }}\"
        dest: /srv/by-ansible
";

#[test]
fn a_debian_under_uefi_is_rebooted_and_configured_by_ansible() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let folder = kiln.world.template("under-uefi", TEMPLATE)?;
    fs_err::write(folder.join("playbook.yml"), PLAYBOOK)?;
    let document = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let build = &document["Builds"][0];
    assert_eq!(build["StepsRun"], 5);
    assert_eq!(fs_err::read_to_string(folder.join("fetched/by-ansible"))?, "from the host");

    let id = build["ImageId"].as_str().context("an image")?;
    let image = &kiln.json(&["image", "show", id, "--json"])?["Images"][0];
    assert_eq!((&image["BootMode"], &image["TpmSupport"]), (&"uefi".into(), &"v2.0".into()));
    let variables = unpack(&image["Kiln"]["UefiData"])?;
    let name: Vec<u8> = "KilnTried".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for remembered in [&*name, b"swordfish"] {
        ensure!(
            variables.windows(remembered.len()).any(|bytes| bytes == remembered),
            "the variable is not there"
        );
    }
    let states = image["Kiln"]["TpmData"].as_object().context("the TPM's files")?;
    for state in states.values() {
        ensure!(!unpack(state)?.is_empty());
    }
    ensure!(states.keys().any(|name| name.contains("permall")), "{:?}", states.keys());
    Ok(())
}

fn unpack(text: &serde_json::Value) -> Result<Vec<u8>> {
    let packed = BASE64_STANDARD.decode(text.as_str().context("a text")?)?;
    Ok(zstd::decode_all(packed.as_slice())?)
}
