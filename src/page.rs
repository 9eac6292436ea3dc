//! The files of the web page, which are part of this program.

use nexus_gateway::Assets;

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The page as it was built into this program; none if it was built without.
pub fn assets() -> Assets {
    FILES.iter().fold(Assets::none(), |assets, (path, bytes)| assets.with(path, *bytes))
}

/// Whether there is a page.
pub fn present() -> bool {
    !FILES.is_empty()
}
