//! Implementations of the core's ports against the real parts behind them. What a machine lacks is said, and its
//! checks are listed as ignored.
//!
//! - [`store_port`]: what the store port promises, of every implementation.
//! - [`cql`]: the store in Cassandra; [`encrypted`]: over TLS.
//! - [`hold`]: a connection that can be held back.
//! - [`page`]: what a page of history costs; a measurement, run by name only.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cql;
mod encrypted;
mod hold;
mod page;
mod redis;
#[path = "../../../../core/tests/it/store_port/mod.rs"]
mod store_port;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // Each starts processes of its own, and measures time.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let cassandra = cql::Parts::default();
    let trials: Vec<Trial> =
        redis::trials().into_iter().chain(cql::trials(&cassandra)).chain([page::trial()]).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Before the process ends without further ado: nodes die with their handles.
    cassandra.end();
    conclusion.exit();
}

/// A check that runs in a runtime of its own; ignored if the machine lacks something.
fn trial(
    name: &str,
    missing: Option<&str>,
    run: impl AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let shown = missing.map_or(name.to_owned(), |missing| format!("{name} ({missing})"));
    let ignored = missing.is_some();
    Trial::test(shown, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(run()).map_err(|error| format!("{error:#}").into())
    })
    .with_ignored_flag(ignored)
}
