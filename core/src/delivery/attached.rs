//! The attached streams of a node by user, and how many there may be.

use super::{settings::Settings, stream::Stream};
use crate::domain::{Tenant, User};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Users = BTreeMap<(Tenant, User), BTreeMap<u64, Arc<Stream>>>;

/// The attached streams of a node.
#[derive(Default)]
pub struct Attached(Mutex<All>);

#[derive(Default)]
struct All {
    users: Users,
    count: usize,
    /// Why nobody is let in any more.
    closed: bool,
}

/// Why a stream is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The device has as many as it may.
    Device,
    /// The user has.
    User,
    /// The node has.
    Node,
    /// The node goes away.
    Closed,
}

impl Full {
    /// The limit that was met, as metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Full::Device => "streams_per_device",
            Full::User => "streams_per_user",
            Full::Node => "streams",
            Full::Closed => "shutdown",
        }
    }
}

impl Attached {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a stream in.
    pub fn add(&self, stream: &Arc<Stream>, settings: &Settings) -> Result<(), Full> {
        let all = &mut *self.all();
        if all.closed {
            return Err(Full::Closed);
        }
        if all.count >= settings.streams {
            return Err(Full::Node);
        }
        let caller = &stream.caller;
        let user = (caller.tenant.clone(), caller.user.clone());
        if let Some(streams) = all.users.get(&user) {
            let of_device = streams.values().filter(|other| other.caller.device == caller.device).count();
            if of_device >= settings.streams_per_device {
                return Err(Full::Device);
            }
            if streams.len() >= settings.streams_per_user {
                return Err(Full::User);
            }
        }
        all.users.entry(user).or_default().insert(stream.key, stream.clone());
        all.count += 1;
        Ok(())
    }

    /// Lets a stream out. `false` if it was out already.
    pub fn remove(&self, stream: &Stream) -> bool {
        let all = &mut *self.all();
        let user = (stream.caller.tenant.clone(), stream.caller.user.clone());
        let Some(streams) = all.users.get_mut(&user) else { return false };
        let removed = streams.remove(&stream.key).is_some();
        if streams.is_empty() {
            all.users.remove(&user);
        }
        all.count -= usize::from(removed);
        removed
    }

    /// A user's streams, in order of attaching.
    pub fn of(&self, tenant: &Tenant, user: &User) -> Vec<Arc<Stream>> {
        let all = self.all();
        let streams = all.users.get(&(tenant.clone(), user.clone()));
        streams.map(|streams| streams.values().cloned().collect()).unwrap_or_default()
    }

    /// Every stream, in the order of users.
    pub fn every(&self) -> Vec<Arc<Stream>> {
        self.all().users.values().flat_map(|streams| streams.values().cloned()).collect()
    }

    /// Lets nobody in any more; gives who is.
    pub fn close(&self) -> Vec<Arc<Stream>> {
        self.all().closed = true;
        self.every()
    }
}
