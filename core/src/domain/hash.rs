//! Hashes that stored data depends on; their test vectors are committed and never change.

use super::{ClientId, ConversationId, Place, Tenant, User};
use sha2::{Digest as _, Sha256};
use std::hint::black_box;
use uuid::Uuid;

/// Number of lanes of the bus.
pub const LANES: u16 = 64;

/// A hash over length-prefixed fields after a kind byte, so that no two lists of fields collide.
pub struct Fields(Sha256);

impl Fields {
    /// Starts with the kind of what is hashed.
    pub fn new(kind: u8) -> Self {
        Self(Sha256::new().chain_update([kind]))
    }

    /// Adds a field.
    pub fn field(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number.
    pub fn number(self, n: u64) -> Self {
        self.field(&n.to_be_bytes())
    }

    /// The whole hash.
    pub fn digest(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    /// The first 16 bytes as a UUIDv8.
    pub fn uuid(self) -> Uuid {
        let digest = self.digest();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Whether two digests are the same, in a time that doesn't tell where they differ.
pub fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
    differ == 0
}

const KIND_DIRECT: u8 = 1;
const KIND_CREATED: u8 = 2;
const KIND_WELL_KNOWN: u8 = 3;

/// The id of the direct conversation of two users, whoever asks.
pub fn direct_id(tenant: &Tenant, a: &User, b: &User) -> ConversationId {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let id = Fields::new(KIND_DIRECT).field(tenant.as_str().as_bytes()).field(low.as_str().as_bytes());
    ConversationId(id.field(high.as_str().as_bytes()).uuid())
}

/// The id of a conversation that somebody created with a client id.
pub fn created_id(tenant: &Tenant, creator: &User, id: ClientId) -> ConversationId {
    let fields =
        Fields::new(KIND_CREATED).field(tenant.as_str().as_bytes()).field(creator.as_str().as_bytes());
    ConversationId(fields.field(id.0.as_bytes()).uuid())
}

/// The id of a conversation that the server itself makes under a fixed name, such as development's lobby.
pub fn well_known_id(tenant: &Tenant, name: &str) -> ConversationId {
    let fields = Fields::new(KIND_WELL_KNOWN).field(tenant.as_str().as_bytes());
    ConversationId(fields.field(name.as_bytes()).uuid())
}

/// The lane on which a conversation's hints travel.
pub fn lane_of(place: &Place) -> u16 {
    lane(&place.tenant, place.conversation.to_string().as_bytes())
}

/// The lane on which a user's hints travel.
pub fn lane_of_user(tenant: &Tenant, user: &User) -> u16 {
    lane(tenant, user.as_str().as_bytes())
}

fn lane(tenant: &Tenant, key: &[u8]) -> u16 {
    let mut bytes = Vec::with_capacity(16 + Tenant::MAX + key.len());
    for part in [tenant.as_str().as_bytes(), key] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    (xxhash_rust::xxh3::xxh3_64(&bytes) % u64::from(LANES)) as u16
}
