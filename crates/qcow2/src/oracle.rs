//! For tests: QEMU's own tools as the judge.

use crate::{BlockSource, PageBuffer};
use anyhow::{Context, Result, ensure};
use kiln_types::{BLOCK_SIZE, BlockIndex};
use std::{ffi::OsStr, path::Path, process::Command};

/// Runs a tool to success and returns what it printed.
pub(crate) fn run(tool: &str, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
    let output = Command::new(tool).args(arguments).output().with_context(|| format!("{tool} is missing"))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown: Vec<_> = arguments.iter().map(|argument| argument.as_ref().to_string_lossy()).collect();
    ensure!(output.status.success(), "{tool} {}: {errors}", shown.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs `qemu-img` with arguments split at spaces, in a folder.
pub(crate) fn qemu_img(folder: &Path, line: &str) -> Result<String> {
    let output = Command::new("qemu-img").current_dir(folder).args(line.split_whitespace()).output()?;
    ensure!(output.status.success(), "qemu-img {line}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs commands of `qemu-io` on a node, written as QEMU's JSON.
pub(crate) fn qemu_io(node: &str, commands: &[String]) -> Result<()> {
    let mut arguments = vec!["-d".to_owned(), "unmap".to_owned()];
    for command in commands {
        arguments.extend(["-c".to_owned(), command.clone()]);
    }
    arguments.push(format!("json:{node}"));
    let said = run("qemu-io", &arguments)?;
    ensure!(!said.contains("failed") && !said.contains("rror"), "qemu-io: {said}");
    Ok(())
}

/// A raw file of `size` bytes with pseudo-random, partly compressible data in about a third of its 64 KiB.
pub(crate) fn content(path: &Path, size: u64, seed: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs_err::File::create(path)?;
    file.set_len(size)?;
    let mut random = Random(seed);
    let mut offset = 0;
    while offset < size {
        if random.next().is_multiple_of(3) {
            let length = usize::try_from((size - offset).min(1 << 16))?;
            file.file().write_all_at(&random.bytes(length), offset)?;
        }
        offset += 1 << 16;
    }
    Ok(())
}

/// A small generator: tests must be the same every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let word = self.next().to_le_bytes();
        (0..length).map(|i| if i % 16 < 8 { word[i % 8] } else { self.next().to_le_bytes()[0] }).collect()
    }
}

/// Reads a whole volume block by block, into buffers that hold stale bytes.
pub(crate) fn read_all(source: &mut dyn BlockSource) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = PageBuffer::block();
    for index in 0..u32::try_from(source.size().div_ceil(BLOCK_SIZE))? {
        buffer.fill(0xa5);
        source.read_block(BlockIndex(index), &mut buffer)?;
        all.extend_from_slice(&buffer);
    }
    let size = usize::try_from(source.size())?;
    ensure!(all[size..].iter().all(|byte| *byte == 0), "bytes beyond the end are not zero");
    all.truncate(size);
    Ok(all)
}

/// Says where two volumes differ, without printing them.
pub(crate) fn same(ours: &[u8], theirs: &[u8]) -> Result<()> {
    ensure!(ours.len() == theirs.len(), "{} bytes and not {}", ours.len(), theirs.len());
    let differs = ours.iter().zip(theirs).position(|(a, b)| a != b);
    ensure!(differs.is_none(), "they differ at byte {}", differs.unwrap_or_default());
    Ok(())
}
