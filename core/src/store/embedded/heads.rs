//! What the writer knows of buckets without reading: it is the only one who changes them.

use super::tables::Table;
use crate::store::Statics;
use fjall::Slice;
use std::collections::HashMap;

/// Buckets that are known at most, at some 300 bytes each. A bucket that isn't known is read.
const MOST: usize = 4096;

/// The static columns of the buckets that were written last.
#[derive(Default)]
pub struct Heads(HashMap<Slice, Statics>);

impl Heads {
    /// A bucket's static columns, if they are known.
    pub fn get(&self, bucket: &Slice) -> Option<Statics> {
        self.0.get(bucket).copied()
    }

    /// Takes what a bucket's static columns are, or will be with the group that is being put together.
    pub fn put(&mut self, bucket: Slice, statics: Statics) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(bucket, statics);
    }

    /// Forgets what is deleted.
    pub fn forget(&mut self, table: Table, prefix: &[u8]) {
        if table == Table::Statics {
            self.0.retain(|bucket, _| !bucket.starts_with(prefix));
        }
    }
}
