//! How much a log holds.

use super::Log;
use crate::{
    domain::Seq,
    store::{Read, StoreError},
};

/// Buckets of which it is known that they are there; a log that has more is taken to have as many.
const COUNTED: usize = 1000;

impl Log {
    /// Bytes of the log above its floor, about: of its newest buckets, at most `sample`, exactly, and of the others what
    /// these hold on average.
    pub async fn bytes(&self, floor: Seq, sample: usize) -> Result<u64, StoreError> {
        let mut rows = self.store.index(&self.place, Seq::MAX, COUNTED).await?;
        rows.retain(|row| row.first > floor);
        let (mut bytes, mut read) = (0_u64, 0);
        for row in rows.iter().take(sample.max(1)) {
            let statics = self.store.statics(&self.bucket(row.first), Read::Quorum).await?;
            bytes += statics.map_or(0, |statics| statics.bytes);
            read += 1;
        }
        let others = (rows.len() as u64).saturating_sub(read);
        Ok(bytes + bytes.checked_div(read).unwrap_or(0) * others)
    }
}
