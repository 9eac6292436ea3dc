//! The gRPC services. Each only checks its request, calls what does the work, and puts the outcome into words.
//!
//! - [`identity`]: who calls.

pub mod identity;
