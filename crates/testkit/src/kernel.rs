//! The kernel that appliances boot, for tests that make one by hand.

use anyhow::Result;
use kiln_disk::fetch_kernel;
use std::path::Path;

/// A kernel and some of its modules.
#[derive(Debug)]
pub struct CloudKernel {
    /// The kernel image, as its package holds it.
    pub vmlinuz: Vec<u8>,
    /// Names and uncompressed modules, in load order.
    pub modules: Vec<(String, Vec<u8>)>,
}

/// Fetches the cloud kernel into `cache`, or finds it there; `modules` as `kiln_disk::KernelTree::modules` takes them.
///
/// # Errors
/// When it cannot be fetched or has no such module.
pub fn cloud_kernel(cache: &Path, modules: &[&str]) -> Result<CloudKernel> {
    let tree = fetch_kernel(cache, &mut |_| {})?;
    let modules = tree.modules(modules)?.into_iter().map(|module| (module.name, module.bytes));
    Ok(CloudKernel { vmlinuz: tree.read_vmlinuz()?, modules: modules.collect() })
}
