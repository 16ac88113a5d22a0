//! A disk in memory, with a volatile and a durable part: a power cut drops what was not synced.
//!
//! Bytes of a file are durable after its sync, names after the sync of their directory. Of the writes
//! that were not synced a power cut keeps a part that is drawn from the seed, because a real disk may
//! have written any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kenger_cluster::env::{Disk, DiskFile, DiskLock};

/// Of so many power cuts one keeps nothing that was not synced; the others keep a part.
const CLEAN_CUT_ONCE_IN: u32 = 2;
/// One of so many syncs takes long.
const SLOW_SYNC_ONCE_IN: u32 = 60;
/// How long a sync takes, in milliseconds.
const SYNC_MS: std::ops::RangeInclusive<u64> = 0..=6;
const SLOW_SYNC_MS: std::ops::RangeInclusive<u64> = 50..=300;

/// The disk of one member. Clones are the same one. It outlives the member, which uses it by a
/// [`Session`] that ends when the power is cut.
#[derive(Debug, Clone)]
pub(crate) struct ModelDisk(Arc<Mutex<Content>>);

#[derive(Debug)]
struct Content {
    rng: fastrand::Rng,
    /// How many sessions have ended.
    cuts: u64,
    /// Names as they are, and as they would be after a power cut.
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    files: BTreeMap<u64, FileContent>,
    next_file: u64,
    locked: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory,
    File(u64),
}

#[derive(Debug, Default)]
struct FileContent {
    bytes: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, new: Vec<u8>, old: Vec<u8>, old_len: usize },
    Resize { len: usize, cut_off: Vec<u8>, old_len: usize },
}

impl FileContent {
    fn write(&mut self, offset: usize, new: &[u8]) {
        let old_len = self.bytes.len();
        let end = offset + new.len();
        if end > old_len {
            self.bytes.resize(end, 0);
        }
        let old = self.bytes[offset..end].to_vec();
        self.bytes[offset..end].copy_from_slice(new);
        self.unsynced.push(Change::Write { offset, new: new.to_vec(), old, old_len });
    }

    fn resize(&mut self, len: usize) {
        let old_len = self.bytes.len();
        let cut_off = self.bytes.get(len..).unwrap_or_default().to_vec();
        self.bytes.resize(len, 0);
        self.unsynced.push(Change::Resize { len, cut_off, old_len });
    }

    /// What a power cut leaves: all that was synced, and of the rest what `keeps` says.
    fn cut(&mut self, mut keeps: impl FnMut() -> bool) {
        let changes = std::mem::take(&mut self.unsynced);
        for change in changes.iter().rev() {
            match change {
                Change::Write { offset, old, old_len, .. } => {
                    self.bytes[*offset..offset + old.len()].copy_from_slice(old);
                    self.bytes.truncate(*old_len);
                }
                Change::Resize { len, cut_off, old_len } => {
                    self.bytes.resize(*old_len, 0);
                    if len < old_len {
                        self.bytes[*len..].copy_from_slice(cut_off);
                    }
                }
            }
        }
        for change in changes {
            if !keeps() {
                continue;
            }
            match change {
                Change::Write { offset, new, .. } => self.write(offset, &new),
                Change::Resize { len, .. } => self.resize(len),
            }
        }
        self.unsynced.clear();
    }
}

impl ModelDisk {
    /// An empty disk.
    pub(crate) fn new(rng: fastrand::Rng) -> Self {
        Self(Arc::new(Mutex::new(Content {
            rng,
            cuts: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            files: BTreeMap::new(),
            next_file: 0,
            locked: BTreeSet::new(),
        })))
    }

    /// For one life of the member.
    pub(crate) fn session(&self) -> Arc<Session> {
        Arc::new(Session { disk: self.clone(), cuts: self.lock().cuts })
    }

    /// Cuts the power. Whoever still holds the session gets errors from now on and changes nothing.
    /// Answers how many writes had not been synced.
    pub(crate) fn cut_power(&self) -> usize {
        let mut content = self.lock();
        let content = &mut *content;
        content.cuts += 1;
        content.locked.clear();
        content.names = content.durable_names.clone();
        let names = &content.names;
        let is_reachable =
            |path: &Path| path.ancestors().skip(1).all(|above| is_root(above) || names.contains_key(above));
        let lost: Vec<_> = names.keys().filter(|path| !is_reachable(path)).cloned().collect();
        for path in lost {
            content.names.remove(&path);
            content.durable_names.remove(&path);
        }
        let named: BTreeSet<u64> = content.names.values().filter_map(Entry::file).collect();
        content.files.retain(|id, _| named.contains(id));
        let unsynced = content.files.values().map(|file| file.unsynced.len()).sum();
        let is_clean = content.rng.u32(..CLEAN_CUT_ONCE_IN) == 0;
        for file in content.files.values_mut() {
            file.cut(|| !is_clean && content.rng.bool());
        }
        unsynced
    }

    /// The program ends, and the machine goes on: nothing is lost. Whoever still holds the session gets
    /// errors from now on and changes nothing.
    pub(crate) fn end_session(&self) {
        let mut content = self.lock();
        content.cuts += 1;
        content.locked.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn file(&self) -> Option<u64> {
        match self {
            Entry::File(id) => Some(*id),
            Entry::Directory => None,
        }
    }
}

fn is_root(path: &Path) -> bool {
    path.as_os_str().is_empty() || path == Path::new("/")
}

/// A disk as one life of a member has it: useless when that has ended.
#[derive(Debug)]
pub(crate) struct Session {
    disk: ModelDisk,
    cuts: u64,
}

impl Session {
    fn content(&self) -> io::Result<MutexGuard<'_, Content>> {
        let content = self.disk.lock();
        if content.cuts == self.cuts { Ok(content) } else { Err(io::Error::other("the power is off")) }
    }

    fn file(&self, id: u64) -> Arc<dyn DiskFile> {
        Arc::new(OpenFile { session: Session { disk: self.disk.clone(), cuts: self.cuts }, id })
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Content {
    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if is_root(parent) || self.names.get(parent) == Some(&Entry::Directory) => Ok(()),
            _ => Err(not_found()),
        }
    }

    fn file_at(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).and_then(Entry::file).ok_or_else(not_found)
    }
}

impl Disk for Session {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.content()?.file_at(path)?;
        Ok(self.file(id))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.content()?;
        content.check_parent(path)?;
        let id = match content.names.get(path) {
            Some(Entry::Directory) => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
            Some(Entry::File(id)) => *id,
            None => {
                content.next_file += 1;
                let id = content.next_file;
                content.names.insert(path.to_owned(), Entry::File(id));
                id
            }
        };
        content.files.entry(id).or_default().resize(0);
        drop(content);
        Ok(self.file(id))
    }

    fn exists(&self, path: &Path) -> bool {
        self.content().is_ok_and(|content| is_root(path) || content.names.contains_key(path))
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.content()
            .is_ok_and(|content| is_root(path) || content.names.get(path) == Some(&Entry::Directory))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content()?;
        content.check_parent(path)?;
        if content.names.contains_key(path) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        content.names.insert(path.to_owned(), Entry::Directory);
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content()?;
        let content = &mut *content;
        let within = |name: &PathBuf| name.parent() == Some(path);
        content.durable_names.retain(|name, _| !within(name));
        let now = content.names.iter().filter(|(name, _)| within(name));
        content.durable_names.extend(now.map(|(name, entry)| (name.clone(), *entry)));
        Ok(())
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let content = self.content()?;
        if !is_root(directory) && content.names.get(directory) != Some(&Entry::Directory) {
            return Err(not_found());
        }
        let within = content.names.keys().filter(|name| name.parent() == Some(directory));
        Ok(within.filter_map(|name| name.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.content()?;
        content.check_parent(to)?;
        if !content.names.contains_key(from) {
            return Err(not_found());
        }
        let moved: Vec<_> = content.names.keys().filter(|name| name.starts_with(from)).cloned().collect();
        for name in moved {
            let Some(entry) = content.names.remove(&name) else { continue };
            let rest = name.strip_prefix(from).map_err(io::Error::other)?;
            let renamed = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            content.names.insert(renamed, entry);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content()?;
        content.file_at(path)?;
        content.names.remove(path);
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content()?;
        if content.names.get(path) != Some(&Entry::Directory) {
            return Err(not_found());
        }
        content.names.retain(|name, _| !name.starts_with(path));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let mut content = self.content()?;
        if !content.locked.insert(path.to_owned()) {
            return Ok(None);
        }
        let session = Session { disk: self.disk.clone(), cuts: self.cuts };
        Ok(Some(Box::new(Unlock { session, path: path.to_owned() })))
    }

    fn sync_takes(&self) -> Duration {
        let mut content = self.disk.lock();
        let range = if content.rng.u32(..SLOW_SYNC_ONCE_IN) == 0 { SLOW_SYNC_MS } else { SYNC_MS };
        Duration::from_millis(content.rng.u64(range))
    }
}

/// Unlocks when it is dropped, unless the power was cut meanwhile.
struct Unlock {
    session: Session,
    path: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        if let Ok(mut content) = self.session.content() {
            content.locked.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct OpenFile {
    session: Session,
    id: u64,
}

impl OpenFile {
    fn with<T>(&self, work: impl FnOnce(&mut FileContent) -> T) -> io::Result<T> {
        let mut content = self.session.content()?;
        content.files.get_mut(&self.id).map(work).ok_or_else(not_found)
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl DiskFile for OpenFile {
    fn bytes(&self) -> io::Result<u64> {
        self.with(|file| file.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| {
            let rest = file.bytes.get(place(offset)..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|file| file.write(place(offset), bytes))
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        self.with(|file| file.resize(place(bytes)))
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|file| file.unsynced.clear())
    }
}

#[cfg(test)]
mod tests;
