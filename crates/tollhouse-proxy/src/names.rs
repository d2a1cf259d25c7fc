//! The tables of names: what clients call a thing, whose it is, and what its server calls it.
//!
//! Tables are made anew whenever a server lists something else than before, from what each server listed last: in the
//! order of the configuration, then in the server's own. So the same servers always lead to the same names. Calls only
//! read: a look-up neither waits nor allocates.
//!
//! Two things never share a name, and a name is never taken apart. A name that was listed goes on leading where it led
//! until something else is called so: whoever has just lost a tool still knows best what to say of it.
//!
//! Path: request → `router` → **`names`** → `dispatch`.

mod exposed;
mod seen;
mod template;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tollhouse_core::ids::ServerId;
use tollhouse_core::wire::Envelope;
use tracing::warn;

use self::exposed::Exposure;
use self::seen::Seen;
use crate::settings::Naming;

/// Names that lead where they led before, beside those of the last lists. At the limit all of them are forgotten.
const FORMER_MAX: usize = 10_000;
/// Names in one warning.
const TOLD_MAX: usize = 10;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tool,
    Prompt,
    Resource,
    Template,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/list",
            Self::Prompt => "prompts/list",
            Self::Resource => "resources/list",
            Self::Template => "resources/templates/list",
        }
    }

    /// The member of the result that holds the items.
    pub(crate) const fn items(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The member of an item that names it.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
        }
    }
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The place of its server.
    pub(crate) place: usize,
    /// What its server calls it.
    pub(crate) local: Arc<str>,
}

/// All names.
pub(crate) struct Names {
    tables: ArcSwap<Tables>,
    /// Held while tables are made.
    source: Mutex<Source>,
    seen: Seen,
}

/// The names at one moment.
#[derive(Default)]
pub(crate) struct Tables {
    kinds: [Arc<Table>; 4],
    /// The places of the servers, in the order of the configuration.
    order: Vec<usize>,
}

/// The names of one kind.
#[derive(Default)]
struct Table {
    targets: HashMap<Arc<str>, Target>,
    /// Under which name each server's things are listed, by what it calls them; `None`: not at all.
    exposed: HashMap<usize, HashMap<Arc<str>, Option<Arc<str>>>>,
    /// What is listed, in order.
    listed: Vec<Target>,
}

/// What tables are made of.
struct Source {
    naming: Naming,
    /// Places and ids, in the order of the configuration.
    servers: Vec<(usize, ServerId)>,
    /// What each server listed last, in its own order; by kind and place.
    offered: [HashMap<usize, Vec<Arc<str>>>; 4],
    /// Names that two servers have had at once: they keep their prefixes though one of them may go.
    shared: [HashSet<Arc<str>>; 4],
}

impl Names {
    /// No names yet of `servers`, which are in the order of the configuration.
    pub(crate) fn new(naming: Naming, servers: Vec<(usize, ServerId)>) -> Self {
        let order = servers.iter().map(|(place, _)| *place).collect();
        let source = Source { naming, servers, offered: Default::default(), shared: Default::default() };
        Self {
            tables: ArcSwap::from_pointee(Tables { kinds: Default::default(), order }),
            source: Mutex::new(source),
            seen: Seen::default(),
        }
    }

    /// Other servers, or another way to name their things. What left servers offered is forgotten.
    pub(crate) fn configure(&self, naming: Naming, servers: Vec<(usize, ServerId)>) {
        let mut source = self.source();
        let configured: HashSet<usize> = servers.iter().map(|(place, _)| *place).collect();
        for offered in &mut source.offered {
            offered.retain(|place, _| configured.contains(place));
        }
        source.shared = Default::default();
        source.naming = naming;
        source.servers = servers;
        self.seen.retain(|place| configured.contains(&place));
        self.rebuild(&mut source, &Kind::ALL);
    }

    /// Takes notice of what servers have just listed, each in its own order. The tables that show it.
    pub(crate) fn learn(&self, kind: Kind, lists: &[(usize, Vec<impl AsRef<str>>)]) -> Arc<Tables> {
        let mut source = self.source();
        let Source { servers, offered, .. } = &mut *source;
        let offered = &mut offered[kind as usize];
        let mut changed = false;
        // One may have been taken out while it was asked.
        for (place, list) in lists.iter().filter(|(place, _)| servers.iter().any(|(at, _)| at == place)) {
            let same = offered.get(place).is_some_and(|known| {
                known.len() == list.len() && known.iter().zip(list).all(|(known, listed)| **known == *listed.as_ref())
            });
            if !same {
                changed = true;
                offered.insert(*place, list.iter().map(|listed| Arc::from(listed.as_ref())).collect());
            }
        }
        if changed {
            self.rebuild(&mut source, &[kind]);
        }
        self.tables.load_full()
    }

    /// Where the name of a tool or prompt leads.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<Target> {
        self.tables.load().kinds[kind as usize].targets.get(name).cloned()
    }

    /// The server of a resource: the one that listed it, else whose template it fits, else whose results named it.
    pub(crate) fn owner(&self, uri: &str) -> Option<usize> {
        let tables = self.tables.load();
        let listed = tables.of(Kind::Resource).targets.get(uri).map(|target| target.place);
        let templates = &tables.of(Kind::Template).listed;
        let fits = || templates.iter().find(|template| template::fits(&template.local, uri)).map(|it| it.place);
        listed.or_else(fits).or_else(|| self.seen.owner(uri))
    }

    /// The server of a template, by the template itself.
    pub(crate) fn template(&self, template: &str) -> Option<usize> {
        self.find(Kind::Template, template).map(|target| target.place)
    }

    /// Takes notice of the resources that a result names: a client may read them though no list has them.
    pub(crate) fn see(&self, place: usize, answer: &Envelope) {
        if !seen::may_name_resources(answer) {
            return;
        }
        let tables = self.tables.load();
        seen::resources(answer, |uri| {
            if !tables.of(Kind::Resource).targets.contains_key(uri) {
                self.seen.note(uri, place, &tables.order);
            }
        });
    }

    /// Makes the tables of these kinds anew.
    fn rebuild(&self, source: &mut Source, kinds: &[Kind]) {
        let before = self.tables.load_full();
        let order = source.servers.iter().map(|(place, _)| *place).collect();
        let made = Kind::ALL.map(|kind| {
            let former = before.of(kind);
            if kinds.contains(&kind) { Arc::new(source.table(kind, former)) } else { former.clone() }
        });
        self.tables.store(Arc::new(Tables { kinds: made, order }));
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// The name under which a server's thing is listed; `None` if it is left out.
    pub(crate) fn exposed(&self, kind: Kind, place: usize, local: &str) -> Option<&Arc<str>> {
        self.of(kind).exposed.get(&place)?.get(local)?.as_ref()
    }

    fn of(&self, kind: Kind) -> &Arc<Table> {
        &self.kinds[kind as usize]
    }
}

impl Source {
    /// The table of what all servers list, beside names that lead where they led before.
    fn table(&mut self, kind: Kind, former: &Table) -> Table {
        let offered = &self.offered[kind as usize];
        let in_order = || self.servers.iter().filter_map(|(place, id)| Some((*place, id, offered.get(place)?)));
        let shared = &mut self.shared[kind as usize];
        if Exposure::of(kind, self.naming) == Exposure::OnCollision {
            let mut owners: HashMap<&Arc<str>, usize> = HashMap::new();
            for (place, _, names) in in_order() {
                for name in names {
                    if *owners.entry(name).or_insert(place) != place {
                        shared.insert(name.clone());
                    }
                }
            }
        }
        let mut table = Table::default();
        for (place, id, names) in in_order() {
            let mut exposed = HashMap::with_capacity(names.len());
            let mut left_out = Vec::new();
            for local in names {
                if exposed.contains_key(local) {
                    continue;
                }
                let free = |name: &str| {
                    table.targets.get(name).is_none_or(|other| other.place == place && other.local == *local)
                };
                let exposure = Exposure::of(kind, self.naming);
                let name = exposure.name(id, local, shared.contains(local), self.naming.max_length, free);
                let name: Option<Arc<str>> = name.map(|name| if name == **local { local.clone() } else { name.into() });
                let target = Target { place, local: local.clone() };
                if let Some(name) = &name {
                    table.targets.insert(name.clone(), target.clone());
                    table.listed.push(target);
                } else if former.exposed.get(&place).and_then(|names| names.get(local)).is_none_or(Option::is_some) {
                    left_out.push(&**local);
                }
                exposed.insert(local.clone(), name);
            }
            tell_left_out(kind, id, &left_out);
            table.exposed.insert(place, exposed);
        }
        let configured = |target: &Target| self.servers.iter().any(|(place, _)| *place == target.place);
        let lost = former.targets.iter().filter(|(name, to)| !table.targets.contains_key(*name) && configured(to));
        let lost: Vec<_> = lost.map(|(name, to)| (name.clone(), to.clone())).collect();
        if lost.len() <= FORMER_MAX {
            table.targets.extend(lost);
        }
        table
    }
}

/// Says, once, which of a server's things are left out because an earlier server has the same.
fn tell_left_out(kind: Kind, server: &ServerId, names: &[&str]) {
    if names.is_empty() {
        return;
    }
    let (count, kind) = (names.len(), kind.word());
    let names = names[..count.min(TOLD_MAX)].join(", ");
    warn!(target: "tollhouse.server", %server, kind, count, names, "left out of the lists: a server before it has the same");
}

#[cfg(test)]
mod tests;
