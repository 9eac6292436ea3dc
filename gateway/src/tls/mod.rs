//! Certificates: where they come from, and how a new one takes the place of an old one under traffic.
//!
//! - `certificate.rs`: a chain and its key, read and checked
//! - `local_ca.rs`: the certificate authority of development
//! - `keeper.rs`: the certificate in use, renewed while it is used

mod certificate;
mod keeper;
mod local_ca;

pub(crate) use keeper::Keeper;
pub use keeper::TlsError;
