//! Feeds one of the functions that parse what anybody may send, named by `NEXUS_FUZZ_TARGET`. See `soak.sh`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{env, fs, path::PathBuf, process, sync::LazyLock};

// The program has no library; its configuration needs nothing but this.
#[allow(dead_code)]
#[path = "../../../src/config/mod.rs"]
mod config;
#[allow(dead_code)]
#[path = "../../../src/logging.rs"]
mod logging;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = env::var("NEXUS_FUZZ_TARGET").unwrap_or_default();
    let all = nexus_gateway::fuzzing::TARGETS.iter().chain(nexus_core::fuzzing::TARGETS);
    let found = all.chain(&[("configuration", configuration as fn(&[u8]))]).find(|(known, _)| *known == name);
    let Some((_, target)) = found else { panic!("NEXUS_FUZZ_TARGET: there is no {name:?}") };
    *target
});

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| env::temp_dir().join(format!("nexus-fuzz-{}.toml", process::id())));

fuzz_target!(|data: &[u8]| TARGET(data));

/// A file is a configuration, or every mistake in it is told.
fn configuration(text: &[u8]) {
    fs::write(&*FILE, text).expect("the folder for temporary files can be written");
    if let Err(mistakes) = config::Config::read(Some(&FILE), config::Role::All) {
        assert!(mistakes.to_string().contains("\n  - "), "{mistakes}");
    }
}
