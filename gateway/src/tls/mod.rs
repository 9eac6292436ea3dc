//! Certificates: where they come from, and how a new one takes the place of an old one under traffic.
//!
//! - `certificate.rs`: a chain and its key, read and checked
//! - `local_ca.rs`: the certificate authority of development
//! - `keeper.rs`: the certificate towards clients, renewed while it is used
//! - `towards.rs`: the certificate towards chat nodes on other machines, likewise

mod certificate;
mod keeper;
mod local_ca;
mod towards;

pub(crate) use keeper::Keeper;
pub use keeper::TlsError;
pub(crate) use towards::{Credentials, Towards};
