//! The servers behind the gateway, each at its place.
//!
//! A place is a server's number for as long as the gateway runs. Sessions and tables keep places, so none is ever given
//! to another server, and a server that was taken out keeps its own: whoever still holds it finds a server that is
//! stopped, not another one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tollhouse_core::ids::ServerId;

use crate::settings::{Naming, Prefix};
use crate::upstream::Upstream;

/// All servers, changed as a whole.
pub(crate) struct Fleet {
    roster: ArcSwap<Roster>,
    /// How often the servers, or what their things are called, have changed. Who has told clients of lists waits here
    /// to tell them that there are others.
    pub(crate) generation: watch::Sender<u64>,
}

/// The servers at one moment.
pub(crate) struct Roster {
    /// By place, those that were taken out included.
    all: Vec<Arc<Upstream>>,
    /// The places of those that are configured, in the order of the configuration.
    pub(crate) order: Vec<usize>,
    /// What their things are called.
    pub(crate) naming: Naming,
}

/// A server of the roster to come.
pub(crate) enum Member {
    /// One that is at this place and goes on there.
    Kept(usize),
    /// One that gets a place.
    Joining(Arc<Upstream>),
}

impl Fleet {
    /// The servers the gateway starts with, in the order of the configuration.
    pub(crate) fn new(servers: Vec<Arc<Upstream>>, naming: Naming) -> Self {
        let order = (0..servers.len()).collect();
        Self {
            roster: ArcSwap::from_pointee(Roster { all: servers, order, naming }),
            generation: watch::Sender::new(0),
        }
    }

    /// Puts other servers in the place of these. `generation` is not told yet: names come first.
    pub(crate) fn replace(&self, roster: Roster) {
        self.roster.store(Arc::new(roster));
    }

    /// The server at `place`.
    pub(crate) fn at(&self, place: usize) -> Arc<Upstream> {
        self.roster.load().all[place].clone()
    }

    /// The place of the server that alone answers at the endpoint of all; see [`Roster::sole`].
    pub(crate) fn sole(&self) -> Option<usize> {
        self.roster.load().sole()
    }

    /// The servers as they are configured at this moment.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }
}

impl Roster {
    /// The roster of `servers`, in this order: such as keep their place, and others that get one.
    pub(crate) fn followed_by(&self, servers: &[Member], naming: Naming) -> Self {
        let mut all = self.all.clone();
        let place = |server: &Member| match server {
            Member::Kept(place) => *place,
            Member::Joining(server) => {
                all.push(server.clone());
                all.len() - 1
            }
        };
        let order = servers.iter().map(place).collect();
        Self { all, order, naming }
    }

    /// Places and servers, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<Upstream>)> {
        self.order.iter().map(|place| (*place, &self.all[*place]))
    }

    /// The place of the only server, if there is but one and its things keep their names.
    pub(crate) fn sole(&self) -> Option<usize> {
        match self.order[..] {
            [sole] if self.naming.prefix != Prefix::Always => Some(sole),
            _ => None,
        }
    }

    /// Places and ids, in the order of the configuration.
    pub(crate) fn ids(&self) -> Vec<(usize, ServerId)> {
        self.iter().map(|(place, server)| (place, server.id.clone())).collect()
    }

    /// The place of the server that is configured as `id`.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.iter().find(|(_, server)| server.id.as_str() == id).map(|(place, _)| place)
    }
}
