//! Implementations of the core's ports against the real parts behind them. What a machine lacks is said, and its
//! checks are listed as ignored.

#![allow(clippy::unwrap_used, clippy::expect_used)]

fn main() {
    libtest_mimic::run(&libtest_mimic::Arguments::from_args(), Vec::new()).exit();
}
