//! Clocks that are wrong, by libfaketime (Debian's package `faketime`).

use std::path::PathBuf;

/// The library, if this machine has it.
pub fn library() -> Option<PathBuf> {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
    let found = places.iter().map(|place| PathBuf::from(place).join("faketime/libfaketimeMT.so.1"));
    found.into_iter().find(|path| path.exists())
}
