//! The servers behind the gateway, each at its place.
//!
//! A place is a server's number for as long as the gateway runs. Sessions and tables keep places, so none is ever given
//! to another server, and a server that was taken out keeps its own: whoever still holds it finds a server that is
//! stopped, not another one.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::upstream::Upstream;

/// All servers, changed as a whole.
pub(crate) struct Fleet {
    roster: ArcSwap<Roster>,
}

/// The servers at one moment.
pub(crate) struct Roster {
    /// By place, those that were taken out included.
    all: Vec<Arc<Upstream>>,
    /// The places of those that are configured, in the order of the configuration.
    pub(crate) order: Vec<usize>,
}

impl Fleet {
    /// The servers the gateway starts with, in the order of the configuration.
    pub(crate) fn new(servers: Vec<Arc<Upstream>>) -> Self {
        let order = (0..servers.len()).collect();
        Self { roster: ArcSwap::from_pointee(Roster { all: servers, order }) }
    }

    /// The server at `place`.
    pub(crate) fn at(&self, place: usize) -> Arc<Upstream> {
        self.roster.load().all[place].clone()
    }

    /// The servers as they are configured at this moment.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }
}

impl Roster {
    /// Places and servers, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Arc<Upstream>)> {
        self.order.iter().map(|place| (*place, &self.all[*place]))
    }

    /// The place of the only server, if there is but one.
    pub(crate) fn sole(&self) -> Option<usize> {
        match self.order[..] {
            [sole] => Some(sole),
            _ => None,
        }
    }

    /// The place of the server that is configured as `id`.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.iter().find(|(_, server)| server.id.as_str() == id).map(|(place, _)| place)
    }
}
