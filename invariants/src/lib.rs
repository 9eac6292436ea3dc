//! The invariants, once: observations in, verdicts out.
