//! Which objects are on disk: in RAM by key, and in a database by body, from which it is read at the start.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use caching::Variant;
use config::limits;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::arena::Buffer;

/// An object on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its key's hash.
    pub(crate) key: u128,
    pub(crate) variant: Variant,
    /// Its body's id.
    pub(crate) body: u64,
    /// Bytes of its body.
    pub(crate) length: u64,
    /// Bytes of it that are on disk.
    pub(crate) kept: u64,
}

/// What becomes of an object in the database.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// It is put there, or its head has changed.
    Put(Row, Vec<u8>),
    /// More of its body is there.
    Grown(Row),
    /// It goes.
    Remove,
}

/// The objects on disk.
#[derive(Debug)]
pub(crate) struct Index {
    rows: Cache<u128, Arc<Vec<Row>>>,
    path: PathBuf,
    /// None while it cannot be opened.
    database: RwLock<Option<Arc<Database>>>,
}

const ROWS: TableDefinition<'_, u64, (u128, u128, u128, u64, u64)> = TableDefinition::new("rows");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("heads");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
/// What files take on disk at least.
const BLOCK: u64 = 4_096;
/// What an object takes in RAM while it is on disk: its row, and its place in the index.
pub(crate) const ROW_BYTES: u64 = 320;
/// The database's own cache of pages.
const PAGES_BYTES: usize = 4 << 20;

impl Row {
    /// How many slices its body has.
    pub(crate) fn slices(&self) -> u32 {
        u32::try_from(self.length.div_ceil(limits::SLICE_BYTES as u64)).unwrap_or(u32::MAX)
    }

    /// Memory for each slice of its body.
    pub(crate) fn buffers(&self) -> Vec<Buffer> {
        let of_slices = (0..self.slices()).map(|number| self.length - u64::from(number) * limits::SLICE_BYTES as u64);
        let room = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(limits::SLICE_BYTES);
        of_slices.map(|left| Buffer::with_capacity(room(left))).collect()
    }
}

impl Index {
    /// An index of files that take so many bytes, and of so many objects, at most; what has to go is told to
    /// `evicted`.
    pub(crate) fn new(path: &Path, bytes: u64, most: u64, evicted: Sender<Vec<Row>>) -> Self {
        // An object counts for so much at least that there are never more than can be known in RAM.
        let least = (bytes / BLOCK / most.max(1)).max(1);
        let weigh = move |_: &u128, rows: &Arc<Vec<Row>>| {
            let blocks = |row: &Row| (row.kept.div_ceil(BLOCK) + 1).max(least);
            u32::try_from(rows.iter().map(blocks).sum::<u64>()).unwrap_or(u32::MAX)
        };
        let listen = move |_: Arc<u128>, rows: Arc<Vec<Row>>, cause: RemovalCause| {
            if cause == RemovalCause::Size {
                let _ = evicted.send(rows.to_vec());
            }
        };
        let rows = Cache::builder().max_capacity(bytes / BLOCK).weigher(weigh).eviction_listener(listen);
        // What is here was asked for twice: the one not asked for longest goes.
        let rows = rows.eviction_policy(EvictionPolicy::lru()).build();
        Self { rows, path: path.to_owned(), database: RwLock::new(None) }
    }

    /// Opens the database and reads what is there, if that was stored under the same log of purges. Returns
    /// the secret by which its variants are hashed.
    pub(crate) fn open(&self, identity: u64, seed: u64) -> Result<u64, redb::Error> {
        let mut builder = Database::builder();
        builder.set_cache_size(PAGES_BYTES);
        let database = builder.create(&self.path)?;
        let write = database.begin_write()?;
        let known = {
            let facts = write.open_table(FACTS)?;
            let fact = |name| facts.get(name).map(|fact| fact.map(|fact| fact.value()));
            (fact("purges")?, fact("seed")?)
        };
        let seed = match known {
            (Some(purges), Some(seed)) if purges == identity => {
                write.open_table(ROWS)?;
                write.open_table(HEADS)?;
                seed
            }
            _ => {
                write.delete_table(ROWS)?;
                write.delete_table(HEADS)?;
                write.open_table(ROWS)?;
                write.open_table(HEADS)?;
                let mut facts = write.open_table(FACTS)?;
                facts.insert("purges", identity)?;
                facts.insert("seed", seed)?;
                seed
            }
        };
        write.commit()?;
        let read = database.begin_read()?;
        for row in read.open_table(ROWS)?.iter()? {
            let (body, row) = row?;
            let (key, others, language, length, kept) = row.value();
            self.put(Row { key, variant: Variant { others, language }, body: body.value(), length, kept });
        }
        self.rows.run_pending_tasks();
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
        Ok(seed)
    }

    /// Whether the database is open.
    pub(crate) fn is_open(&self) -> bool {
        self.database().is_some()
    }

    fn database(&self) -> Option<Arc<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The objects of a key.
    pub(crate) fn rows(&self, key: u128) -> Option<Arc<Vec<Row>>> {
        self.rows.get(&key)
    }

    /// Puts an object among those of its key.
    pub(crate) fn put(&self, row: Row) {
        self.rows.entry(row.key).and_upsert_with(|before| {
            let others = before.iter().flat_map(|entry| entry.value().iter());
            let others = others.filter(|other| other.body != row.body).copied();
            Arc::new(others.chain([row]).collect())
        });
    }

    /// Takes objects of a key away, and returns them.
    pub(crate) fn take(&self, key: u128, is_meant: impl Fn(&Row) -> bool) -> Vec<Row> {
        let mut taken = Vec::new();
        if !self.rows.contains_key(&key) {
            return taken;
        }
        self.rows.entry(key).and_compute_with(|before| {
            let Some(before) = before else {
                return moka::ops::compute::Op::Nop;
            };
            let (gone, stay): (Vec<Row>, Vec<Row>) = before.value().iter().partition(|row| is_meant(row));
            taken = gone;
            match (taken.is_empty(), stay.is_empty()) {
                (true, _) => moka::ops::compute::Op::Nop,
                (false, true) => moka::ops::compute::Op::Remove,
                (false, false) => moka::ops::compute::Op::Put(Arc::new(stay)),
            }
        });
        taken
    }

    /// A head as it was written; `None` if it is not there or cannot be read.
    pub(crate) fn head(&self, body: u64) -> Option<Vec<u8>> {
        let read = self.database()?.begin_read().ok()?;
        let heads = read.open_table(HEADS).ok()?;
        heads.get(body).ok()?.map(|head| head.value().to_vec())
    }

    /// Writes changes down, all or none, and waits until they are on the medium.
    ///
    /// # Errors
    /// The database is closed: it is opened anew before the next.
    pub(crate) fn commit(&self, changes: impl Iterator<Item = (u64, Change)>) -> Result<(), redb::Error> {
        let Some(database) = self.database() else {
            return Ok(());
        };
        let written = write(&database, changes);
        if written.is_err() {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        written
    }

    /// Puts a damaged database aside, for another to be opened in its place.
    pub(crate) fn abandon(&self) {
        // What panicked once may panic again when it is dropped.
        std::mem::forget(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
        let _ = std::fs::rename(&self.path, self.path.with_extension("broken"));
    }

    /// Lets go of the database, and forgets what is in it; whether nobody has it any more by then.
    pub(crate) fn close(&self, end: Instant) -> bool {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        self.clear();
        while let Some(shared) = database.take() {
            match Arc::try_unwrap(shared) {
                // A bit of it that has flipped may be met by a panic.
                Ok(last) => drop(catch_unwind(AssertUnwindSafe(|| drop(last)))),
                // Somebody reads.
                Err(shared) if Instant::now() < end => {
                    database = Some(shared);
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Bytes of blocks and objects, as of now.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.rows.run_pending_tasks();
        (self.rows.weighted_size().saturating_mul(BLOCK), self.rows.entry_count())
    }

    /// Forgets everything: what is in the database can't be read.
    pub(crate) fn clear(&self) {
        self.rows.invalidate_all();
    }

    /// Whether an object of this body is there.
    pub(crate) fn bodies(&self) -> std::collections::HashSet<u64> {
        self.rows.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.body).collect::<Vec<_>>()).collect()
    }
}

fn write(database: &Database, changes: impl Iterator<Item = (u64, Change)>) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut rows = write.open_table(ROWS)?;
        let mut heads = write.open_table(HEADS)?;
        for (body, change) in changes {
            match change {
                Change::Put(row, head) => {
                    rows.insert(body, (row.key, row.variant.others, row.variant.language, row.length, row.kept))?;
                    heads.insert(body, head.as_slice())?;
                }
                Change::Grown(row) => {
                    rows.insert(body, (row.key, row.variant.others, row.variant.language, row.length, row.kept))?;
                }
                Change::Remove => {
                    rows.remove(body)?;
                    heads.remove(body)?;
                }
            }
        }
    }
    write.commit()?;
    Ok(())
}
