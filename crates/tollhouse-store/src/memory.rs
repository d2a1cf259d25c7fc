//! An engine that keeps calls in memory: to hold the other one against, and for a demonstration, which ends with its
//! program. It keeps the newest [`CALLS_MAX`] and what is summed up of all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollhouse_core::ids::CallId;

use crate::call::Call;
use crate::engine::{Error, Read, Write};
use crate::event::{Event, Listed, Listing};
use crate::figures::Figures;
use crate::question::{Bounds, ErrorGroup, Figure, Filter, Happened, Numbers, Page, Range, Session, Sum, Width};
use crate::roll::{ErrorKey, Group, Rolls};

/// Calls that are kept; older ones are given up.
pub const CALLS_MAX: usize = 100_000;
/// Events that are kept.
const EVENTS_MAX: usize = 10_000;

/// Opens an empty store: its writer, and as many readers as are wanted by cloning the one.
pub fn open() -> (Writer, Reader) {
    let kept = Arc::<Mutex<Kept>>::default();
    (Writer { kept: kept.clone(), rolls: Rolls::default() }, Reader { kept })
}

#[derive(Default)]
struct Kept {
    calls: BTreeMap<CallId, Call>,
    cells: BTreeMap<(Width, u64, Group), Sum>,
    sessions: HashMap<(Box<str>, Box<str>), Session>,
    errors: BTreeMap<ErrorKey, ErrorGroup>,
    events: BTreeMap<u64, Event>,
    tools: BTreeMap<(Box<str>, Box<str>), Listed>,
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See [`open`].
pub struct Writer {
    kept: Arc<Mutex<Kept>>,
    rolls: Rolls,
}

/// See [`open`].
#[derive(Clone)]
pub struct Reader {
    kept: Arc<Mutex<Kept>>,
}

impl Write for Writer {
    fn append(&mut self, calls: &[Call]) -> Result<(), Error> {
        let mut kept = lock(&self.kept);
        for call in calls {
            if kept.calls.insert(call.id, call.clone()).is_none() {
                self.rolls.fold(call);
            }
        }
        Ok(())
    }

    fn note(&mut self, events: &[Event]) -> Result<(), Error> {
        let mut kept = lock(&self.kept);
        for event in events {
            let number = kept.events.last_key_value().map_or(1, |(last, _)| last + 1);
            kept.events.insert(number, Event { number, ..event.clone() });
            if let Some((server, name)) = event.server.clone().zip(event.subject.clone()) {
                let key = (server, name);
                let known = kept.tools.get(&key);
                match event.listing(known) {
                    Listing::Is(listed) => _ = kept.tools.insert(key, listed),
                    Listing::Gone => _ = kept.tools.remove(&key),
                    Listing::Untouched => {}
                }
            }
        }
        while kept.events.len() > EVENTS_MAX {
            kept.events.pop_first();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let delta = self.rolls.take();
        let mut kept = lock(&self.kept);
        for (key, sum) in delta.cells {
            kept.cells.entry(key).or_default().merge(&sum);
        }
        for session in delta.sessions {
            let key = (session.principal.clone(), session.id.clone());
            kept.sessions.entry(key).and_modify(|known| known.merge(&session)).or_insert(session);
        }
        for (key, group) in delta.errors {
            kept.errors.entry(key).and_modify(|known| known.merge(&group)).or_insert(group);
        }
        Ok(())
    }

    fn retain(&mut self, _: u64) -> Result<(), Error> {
        let mut kept = lock(&self.kept);
        while kept.calls.len() > CALLS_MAX {
            kept.calls.pop_first();
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

impl Read for Reader {
    fn call(&mut self, id: CallId) -> Result<Option<Call>, Error> {
        Ok(lock(&self.kept).calls.get(&id).cloned())
    }

    fn latest(&mut self, filter: &Filter, before: Option<CallId>, bounds: Bounds) -> Result<Page, Error> {
        let kept = lock(&self.kept);
        let older = kept.calls.values().rev().filter(|call| before.is_none_or(|before| call.id < before));
        let mut page = Page { calls: Vec::new(), next: None, cut_short: false };
        let mut last = None;
        for (looked_at, call) in older.enumerate() {
            if page.calls.len() == bounds.limit || looked_at == bounds.scan {
                page.next = last;
                page.cut_short = page.calls.len() < bounds.limit;
                break;
            }
            last = Some(call.id);
            if filter.wants(call) {
                page.calls.push(call.clone());
            }
        }
        Ok(page)
    }

    fn trace(&mut self, trace: [u8; 16], limit: usize) -> Result<Vec<Call>, Error> {
        let kept = lock(&self.kept);
        let mut calls: Vec<_> =
            kept.calls.values().rev().filter(|call| call.trace == trace).take(limit).cloned().collect();
        calls.reverse();
        Ok(calls)
    }

    fn timeline(
        &mut self,
        principal: &str,
        session: &str,
        before: Option<CallId>,
        limit: usize,
    ) -> Result<Page, Error> {
        let kept = lock(&self.kept);
        let older = kept.calls.values().rev().filter(|call| before.is_none_or(|before| call.id < before));
        let mut calls: Vec<_> = older
            .filter(|call| (&*call.principal, &*call.session) == (principal, session))
            .take(limit + 1)
            .cloned()
            .collect();
        let more = calls.len() > limit;
        calls.truncate(limit);
        let next = if more { calls.last().map(|call| call.id) } else { None };
        Ok(Page { calls, next, cut_short: false })
    }

    fn sessions(&mut self, range: Range, limit: usize) -> Result<Vec<Session>, Error> {
        let kept = lock(&self.kept);
        let within = |session: &&Session| session.last_us >= range.from_us && session.first_us < range.to_us;
        let mut sessions: Vec<_> = kept.sessions.values().filter(within).cloned().collect();
        sessions.sort_unstable_by(|a, b| b.last_us.cmp(&a.last_us).then_with(|| a.id.cmp(&b.id)));
        sessions.truncate(limit);
        Ok(sessions)
    }

    fn numbers(&mut self, numbers: &Numbers) -> Result<Vec<Figure>, Error> {
        let kept = lock(&self.kept);
        let mut figures = Figures::new(numbers);
        for ((width, slot, group), sum) in &kept.cells {
            let wanted = numbers.server.as_ref().is_none_or(|server| **server == *group.server);
            if *width == numbers.width
                && wanted
                && let Some(figure) = figures.of(*slot, group.part(numbers.by))
            {
                figure.merge_with(sum, numbers.times);
            }
        }
        Ok(figures.all())
    }

    fn events(&mut self, wanted: &Happened, before: Option<u64>, limit: usize) -> Result<Vec<Event>, Error> {
        let kept = lock(&self.kept);
        let older = kept.events.range(..before.unwrap_or(u64::MAX)).rev().map(|(_, event)| event);
        Ok(older.filter(|event| wanted.wants(event)).take(limit).cloned().collect())
    }

    fn tools(&mut self) -> Result<Vec<Listed>, Error> {
        Ok(lock(&self.kept).tools.values().cloned().collect())
    }

    fn errors(&mut self, range: Range, limit: usize) -> Result<Vec<ErrorGroup>, Error> {
        let kept = lock(&self.kept);
        let within = |group: &&ErrorGroup| group.last_us >= range.from_us && group.first_us < range.to_us;
        let mut groups: Vec<_> = kept.errors.values().filter(within).cloned().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.last_us));
        groups.truncate(limit);
        Ok(groups)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_keeps_every_promise() {
        crate::conformance::run(super::open);
    }
}
