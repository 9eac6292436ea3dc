//! The Rust client: attach, resume, and retry with the same id.
