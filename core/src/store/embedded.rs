//! The store in one process, on fjall.
