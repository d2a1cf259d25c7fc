//! Tables of sums: cells, and what they come to by tool, by server and by client.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rusqlite::{Connection, Row, Statement, params};
use tollhouse_core::sketch::Sketch;

use crate::figures::Figures;
use crate::question::{By, Figure, Numbers, Sum, Times, Width};
use crate::roll::{Delta, Group};
use crate::sqlite::base::{signed, unsigned};

/// The tables of totals.
pub(super) const TABLES: [&str; 3] = ["of_tool", "of_server", "of_client"];

pub(super) fn code(width: Width) -> i64 {
    match width {
        Width::Minute => 0,
        Width::Quarter => 1,
        Width::Day => 2,
    }
}

/// Adds what was counted.
pub(super) fn add(connection: &Connection, delta: &Delta) -> rusqlite::Result<()> {
    let cells = delta.cells.iter().map(|((width, slot, group), sum)| {
        (*width, *slot, [&*group.server, &*group.name, &*group.method, &*group.client], sum)
    });
    add_to(connection, "cell", ["server", "name", "method", "client"], cells)?;
    for (table, totals) in totals(&delta.cells) {
        add_totals(connection, table, &totals)?;
    }
    Ok(())
}

/// Sums up by tool, server and client what an earlier version has kept by cells alone.
pub(super) fn complete(connection: &mut Connection) -> rusqlite::Result<()> {
    let mut missing = Vec::new();
    for table in TABLES {
        let query = format!("SELECT EXISTS (SELECT 1 FROM cell) AND NOT EXISTS (SELECT 1 FROM {table})");
        if connection.query_row(&query, [], |row| row.get(0))? {
            missing.push(table);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for width in Width::ALL {
        let mut cells: BTreeMap<_, _> = BTreeMap::new();
        let mut list = transaction.prepare("SELECT * FROM cell WHERE width = ?1")?;
        let mut rows = list.query([code(width)])?;
        while let Some(row) = rows.next()? {
            let text = |column| row.get::<_, String>(column).map(Box::<str>::from);
            let group = Group { server: text(2)?, name: text(3)?, method: text(4)?, client: text(5)? };
            cells.insert((width, unsigned(row.get(1)?), group), sum(row, 6)?);
        }
        for (table, totals) in totals(&cells).into_iter().filter(|(table, _)| missing.contains(table)) {
            add_totals(&transaction, table, &totals)?;
        }
    }
    transaction.commit()
}

/// Puts sums together as they were asked for. Rows are added where they stand, and of the distributions only those that
/// are wanted are looked at: a day has thousands of rows.
pub(super) fn read(connection: &Connection, numbers: &Numbers) -> rusqlite::Result<Vec<Figure>> {
    // The calls of one server by client are in cells alone.
    let (table, [group, name]) = match (numbers.by, &numbers.server) {
        (By::All, _) => ("of_server", ["''", "''"]),
        (By::Server, _) => ("of_server", ["server", "''"]),
        (By::Tool, _) => ("of_tool", ["server", "name"]),
        // There a client stands where others have a server.
        (By::Client, None) => ("of_client", ["server", "''"]),
        (By::Client, Some(_)) => ("cell", ["client", "''"]),
        (By::Method, _) => ("cell", ["method", "''"]),
    };
    let query = format!(
        "SELECT slot, {group}, {name}, calls, failed, request, response, errors, total, upstream, first FROM {table} \
         WHERE width = ?1 AND slot >= ?2 AND slot <= ?3 AND (?4 IS NULL OR server = ?4)"
    );
    let mut list = connection.prepare_cached(&query)?;
    let slots = (numbers.width.slot(numbers.range.from_us), numbers.width.slot(numbers.range.to_us));
    let mut rows = list.query(params![code(numbers.width), signed(slots.0), signed(slots.1), numbers.server])?;
    let mut figures = Figures::new(numbers);
    while let Some(row) = rows.next()? {
        let group = [row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?];
        if let Some(sum) = figures.of(unsigned(row.get(0)?), group) {
            merge(sum, row, 3, numbers.times)?;
        }
    }
    Ok(figures.all())
}

/// Sums by width, slot, server and name.
type Totals = BTreeMap<(Width, u64, [Box<str>; 2]), Sum>;

/// What cells come to by tool, by server and by client, each with its table.
fn totals(cells: &BTreeMap<(Width, u64, Group), Sum>) -> [(&'static str, Totals); 3] {
    let (mut tools, mut servers, mut clients) = (Totals::new(), Totals::new(), Totals::new());
    for ((width, slot, group), sum) in cells {
        tools.entry((*width, *slot, group.part(By::Tool).map(Into::into))).or_default().merge(sum);
        clients.entry((*width, *slot, group.part(By::Client).map(Into::into))).or_default().merge(sum);
    }
    for ((width, slot, [server, _]), sum) in &tools {
        servers.entry((*width, *slot, [server.clone(), Box::default()])).or_default().merge(sum);
    }
    [("of_tool", tools), ("of_server", servers), ("of_client", clients)]
}

/// Adds sums to the rows of a table that has these columns for a group.
fn add_to<'s, const N: usize>(
    connection: &Connection,
    table: &str,
    columns: [&str; N],
    sums: impl Iterator<Item = (Width, u64, [&'s str; N], &'s Sum)>,
) -> rusqlite::Result<()> {
    let wanted: Vec<String> = columns.iter().zip(3..).map(|(column, place)| format!("{column} = ?{place}")).collect();
    let mut find = connection.prepare_cached(&format!(
        "SELECT calls, failed, request, response, errors, total, upstream, first FROM {table} \
         WHERE width = ?1 AND slot = ?2 AND {}",
        wanted.join(" AND ")
    ))?;
    let places: Vec<String> = (1..=2 + N + 8).map(|place| format!("?{place}")).collect();
    let mut write =
        connection.prepare_cached(&format!("INSERT OR REPLACE INTO {table} VALUES ({})", places.join(", ")))?;
    for (width, slot, group, new) in sums {
        let bind = |statement: &mut Statement<'_>| {
            statement.raw_bind_parameter(1, code(width))?;
            statement.raw_bind_parameter(2, signed(slot))?;
            group.iter().zip(3..).try_for_each(|(text, place)| statement.raw_bind_parameter(place, *text))
        };
        bind(&mut find)?;
        let known = find.raw_query().next()?.map(|row| sum(row, 0)).transpose()?;
        let whole = together(known, new);
        bind(&mut write)?;
        let counts = [whole.calls, whole.failed, whole.request_bytes, whole.response_bytes].map(signed);
        for (count, place) in counts.iter().zip(3 + N..) {
            write.raw_bind_parameter(place, count)?;
        }
        write.raw_bind_parameter(7 + N, errors_text(&whole))?;
        for (sketch, place) in [&whole.total, &whole.upstream, &whole.first].into_iter().zip(8 + N..) {
            write.raw_bind_parameter(place, sketch.encode())?;
        }
        write.raw_execute()?;
    }
    Ok(())
}

fn add_totals(connection: &Connection, table: &str, totals: &Totals) -> rusqlite::Result<()> {
    let sums = totals.iter().map(|((width, slot, [server, name]), sum)| (*width, *slot, [&**server, &**name], sum));
    add_to(connection, table, ["server", "name"], sums)
}

/// What is kept and what is new, as one.
fn together(known: Option<Sum>, new: &Sum) -> Cow<'_, Sum> {
    match known {
        Some(mut known) => {
            known.merge(new);
            Cow::Owned(known)
        }
        None => Cow::Borrowed(new),
    }
}

fn errors_text(sum: &Sum) -> String {
    let errors: Vec<_> = sum.errors.iter().map(|(error, count)| format!("{error}\t{count}")).collect();
    errors.join("\n")
}

/// What a row counts, from the column `at` on.
fn sum(row: &Row<'_>, at: usize) -> rusqlite::Result<Sum> {
    let mut sum = Sum::default();
    merge(&mut sum, row, at, Times::All)?;
    Ok(sum)
}

/// Counts what a row counts, from the column `at` on.
fn merge(sum: &mut Sum, row: &Row<'_>, at: usize, times: Times) -> rusqlite::Result<()> {
    let count = |column: usize| row.get(at + column).map(unsigned);
    sum.calls += count(0)?;
    sum.failed += count(1)?;
    sum.request_bytes += count(2)?;
    sum.response_bytes += count(3)?;
    for line in row.get_ref(at + 4)?.as_str()?.lines() {
        if let Some((error, count)) = line.rsplit_once('\t')
            && let Ok(count) = count.parse()
        {
            sum.count_error(error, count);
        }
    }
    let add = |sketch: &mut Sketch, column: usize| {
        sketch.merge_encoded(row.get_ref(at + column)?.as_blob()?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(at + column, rusqlite::types::Type::Blob, Box::new(error))
        })
    };
    if times != Times::None {
        add(&mut sum.total, 5)?;
    }
    if times == Times::All {
        add(&mut sum.upstream, 6)?;
        add(&mut sum.first, 7)?;
    }
    Ok(())
}
