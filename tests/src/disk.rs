//! Disks of their own: a small one in memory for a test, which can be filled, emptied and made read-only;
//! and one in a file for a bench, which counts what is written to it.
//!
//! Invariant: mounting needs root, as in CI; whoever is not root is told so.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// A mounted file system in memory; gone with its value.
#[derive(Debug)]
pub struct SmallDisk {
    dir: PathBuf,
}

fn run(program: &str, arguments: &[&str], dir: &Path) -> anyhow::Result<()> {
    let done = Command::new(program)
        .args(arguments)
        .arg(dir)
        .output()
        .with_context(|| format!("starting {program}"))?;
    ensure!(
        done.status.success(),
        "{program} {}: {} (run these tests as root)",
        dir.display(),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

impl SmallDisk {
    /// Mounts a disk of this many megabytes at `dir`, which is made.
    pub fn mount(dir: &Path, megabytes: u32) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let size = format!("size={megabytes}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], dir)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Writes until nothing more fits.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut ballast = std::fs::File::create(self.dir.join("ballast"))?;
        for bytes in [1 << 16, 1 << 10, 1] {
            let piece = vec![0x5a; bytes];
            while ballast.write_all(&piece).is_ok() {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn empty(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(self.dir.join("ballast"))?)
    }

    /// Nothing can be written any more; no file may be open for writing.
    pub fn freeze(&self) -> anyhow::Result<()> {
        run("mount", &["-o", "remount,ro"], &self.dir)
    }

    /// It can be written again.
    pub fn thaw(&self) -> anyhow::Result<()> {
        run("mount", &["-o", "remount,rw"], &self.dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.dir);
    }
}

/// Lazily: something of a failed test may still hold a file.
fn unmount(dir: &Path) {
    drop(Command::new("umount").arg("-l").arg(dir).status());
}

/// A mounted ext4 file system with pages of 4 kB, in a file; unmounted with its value.
#[derive(Debug)]
pub struct CountedDisk {
    dir: PathBuf,
    device: u64,
}

impl CountedDisk {
    /// Makes `image` and mounts it at `dir`, which is made.
    pub fn mount(image: &Path, dir: &Path, megabytes: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        std::fs::File::create(image)?.set_len(megabytes << 20)?;
        run("mkfs.ext4", &["-q", "-F", "-b", "4096"], image)?;
        let path = image.to_str().context("a path of plain characters")?;
        run("mount", &["-o", "loop", path], dir)?;
        Ok(Self {
            device: std::fs::metadata(dir)?.dev(),
            dir: dir.to_owned(),
        })
    }

    /// Bytes the device was told to write until now, the file system's journal with them.
    pub fn written(&self) -> anyhow::Result<u64> {
        let (major, minor) = (
            rustix::fs::major(self.device),
            rustix::fs::minor(self.device),
        );
        let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
        let sectors = stat.split_whitespace().nth(6).context("sectors written")?;
        Ok(sectors.parse::<u64>()? * 512)
    }
}

impl Drop for CountedDisk {
    fn drop(&mut self) {
        unmount(&self.dir);
    }
}
