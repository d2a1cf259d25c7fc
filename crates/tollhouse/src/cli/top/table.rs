//! A table that fits its terminal: one column takes the room that the others leave.

use super::super::recorded::fitted;
use super::super::{Paint, Tone};

/// The first column is never narrower.
const NAME_MIN: usize = 16;
/// Between columns.
const GAP: usize = 2;

/// A column beside the first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) width: usize,
    /// Numbers stand to the right.
    pub(super) right: bool,
}

/// A number, to the right.
pub(super) const fn number(head: &'static str, width: usize) -> Column {
    Column { head, width, right: true }
}

/// A word, to the left.
pub(super) const fn word(head: &'static str, width: usize) -> Column {
    Column { head, width, right: false }
}

/// What stands in a column.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) text: String,
    /// What it is sorted by, the highest first.
    pub(super) value: f64,
    pub(super) tone: Option<Tone>,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, value: f64) -> Self {
        Self { text: text.into(), value, tone: None }
    }

    #[must_use]
    pub(super) fn tone(self, tone: Option<Tone>) -> Self {
        Self { tone, ..self }
    }
}

/// A line of the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

/// The table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// What the first column shows.
    pub(super) name: &'static str,
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// Puts the rows in order: by name, or by a column, the highest first.
    pub(super) fn sort(&mut self, by: Option<usize>) {
        self.rows.sort_by(|a, b| match by.map(|at| (a.cells.get(at), b.cells.get(at))) {
            Some((Some(one), Some(other))) => other.value.total_cmp(&one.value).then_with(|| a.name.cmp(&b.name)),
            _ => a.name.cmp(&b.name),
        });
    }

    /// The head and at most `height` rows from `first` on, in `width` columns; `sorted` is marked in the head.
    pub(super) fn lines(
        &self,
        first: usize,
        sorted: Option<usize>,
        height: usize,
        width: usize,
        paint: Paint,
    ) -> Vec<String> {
        // From the left, as many as there is room for.
        let mut room = width.saturating_sub(NAME_MIN);
        let shown = self.columns.iter().take_while(|column| {
            let fits = room >= column.width + GAP;
            room = room.saturating_sub(column.width + GAP);
            fits
        });
        let columns: Vec<Column> = shown.copied().collect();
        let name = width.saturating_sub(columns.iter().map(|column| column.width + GAP).sum());
        let widest = self.rows.iter().map(|row| row.name.chars().count()).fold(self.name.len(), usize::max);
        let name = name.min(widest.max(NAME_MIN) + GAP);
        let mut head = fitted(self.name, name);
        for (at, column) in columns.iter().enumerate() {
            let mark = if sorted == Some(at) { "▾" } else { "" };
            head.push_str(&" ".repeat(GAP));
            head.push_str(&aligned(&format!("{}{mark}", column.head), *column));
        }
        let mut lines = vec![paint.tone(Tone::Faint, head).to_string()];
        for row in self.rows.iter().skip(first).take(height) {
            let mut line = fitted(&row.name, name);
            for (cell, column) in row.cells.iter().zip(&columns) {
                line.push_str(&" ".repeat(GAP));
                let text = aligned(&cell.text, *column);
                match cell.tone {
                    Some(tone) => line.push_str(&paint.tone(tone, text).to_string()),
                    None => line.push_str(&text),
                }
            }
            lines.push(line);
        }
        lines
    }
}

fn aligned(text: &str, column: Column) -> String {
    let text = fitted(text, column.width);
    if !column.right {
        return text;
    }
    let text = text.trim_end();
    format!("{text:>width$}", width = column.width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_loses_columns_from_the_right_and_never_the_name() {
        const COLUMNS: [Column; 2] = [number("calls", 6), word("state", 8)];
        let row = |name: &str, calls: f64| Row {
            name: name.to_owned(),
            cells: vec![Cell::new(format!("{calls}"), calls), Cell::new("ok", 0.0)],
        };
        let mut table = Table {
            name: "tool",
            columns: &COLUMNS,
            rows: vec![row("b", 1.0), row("a", 1.0), row("a-tool-with-a-very-long-name", 20.0)],
        };
        table.sort(Some(0));
        assert_eq!(
            table.lines(0, Some(0), 9, 40, Paint::Plain),
            [
                "tool                    calls▾  state   ",
                "a-tool-with-a-very-lo…      20  ok      ",
                "a                            1  ok      ",
                "b                            1  ok      ",
            ]
            .map(str::to_owned)
        );
        let narrow = table.lines(2, None, 1, 24, Paint::Plain);
        assert_eq!(narrow, ["tool               calls".to_owned(), "b                      1".to_owned()]);
    }
}
