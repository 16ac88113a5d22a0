//! Bits that turn over in a store, as on a disk that is dying.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Parts of a data directory that hold what was replicated. What says who the member is lies beside
/// them and is not touched: a member with another identity is another fault.
const PARTS: [&str; 3] = ["sled", "redb", "snapshots"];
/// How often a byte is looked for that is not zero: most zeros of a store are room that nobody reads.
const LOOKS_MAX: u32 = 2_000;

/// One bit that was turned over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// In which file.
    pub file: PathBuf,
    /// At which byte.
    pub offset: u64,
    /// What it was.
    pub before: u8,
    /// What the file says there after it was written.
    pub after: u8,
}

/// Turns `count` bits over in the store in `data_dir`, whose member does not run.
///
/// # Errors
/// There is nothing in it yet, or it cannot be written.
pub fn flip_bits(data_dir: &Path, rng: &mut fastrand::Rng, count: u32) -> Result<Vec<Flip>, String> {
    let mut files = Vec::new();
    for part in PARTS {
        collect(&data_dir.join(part), &mut files);
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("there is no store in {}", data_dir.display()));
    }
    let flips = (0..count).map(|_| {
        let file = &files[rng.usize(..files.len())];
        flip(file, rng).map_err(|error| format!("{}: {error}", file.display()))
    });
    flips.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.metadata() else { continue };
        if kind.is_dir() {
            collect(&entry.path(), files);
        } else if kind.len() > 0 {
            files.push(entry.path());
        }
    }
}

fn flip(path: &Path, rng: &mut fastrand::Rng) -> std::io::Result<Flip> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let at = |file: &File, offset| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).map(|()| byte[0])
    };
    let mut offset = rng.u64(..length);
    for _ in 0..LOOKS_MAX {
        if at(&file, offset)? != 0 {
            break;
        }
        offset = rng.u64(..length);
    }
    let before = at(&file, offset)?;
    file.write_all_at(&[before ^ (1 << rng.u32(..8))], offset)?;
    file.sync_all()?;
    Ok(Flip { file: path.to_path_buf(), offset, before, after: at(&file, offset)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_bit_of_each_flip_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("sled");
        assert!(flip_bits(folder.path(), &mut fastrand::Rng::with_seed(1), 1).is_err());
        fs::create_dir(&store).unwrap();
        fs::write(store.join("db"), vec![5; 4_096]).unwrap();
        fs::write(folder.path().join("identity.json"), "{}").unwrap();
        let flips = flip_bits(folder.path(), &mut fastrand::Rng::with_seed(1), 1).unwrap();
        let found = fs::read(store.join("db")).unwrap();
        let other: Vec<_> = (0..).zip(&found).filter(|(_, byte)| **byte != 5).collect();
        let [(offset, byte)] = other[..] else { panic!("{other:?}") };
        assert_eq!((flips[0].offset, flips[0].before, flips[0].after), (offset, 5, *byte));
        assert_eq!((byte ^ 5).count_ones(), 1);
        assert_eq!(fs::read_to_string(folder.path().join("identity.json")).unwrap(), "{}");
    }
}
