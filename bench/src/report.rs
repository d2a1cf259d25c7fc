//! What a run found: all samples as JSON, medians as tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::call::Era;
use crate::load::Figures;
use crate::sink::Counts;
use crate::stats::median;

/// The row that ratios are taken to.
const FLOOR: &str = "floor";

/// How calls follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loop {
    /// The next when the last is answered, on so many connections.
    Closed(usize),
    /// As closed with one client, generator, upstream and gateway all on one core: with one call at a time nothing
    /// runs side by side anyway, and what waking another core costs (tens of µs on a virtual machine, and never the
    /// same) does not hide what a gateway adds.
    OneCore,
    /// So many a second, whatever happens.
    Open(f64),
}

impl Loop {
    fn name(self) -> String {
        match self {
            Self::Closed(1) => "1 client".to_owned(),
            Self::Closed(clients) => format!("{clients} clients"),
            Self::OneCore => "1 client, everything on one core".to_owned(),
            Self::Open(rate) => format!("open loop, {rate} calls/s"),
        }
    }
}

impl Serialize for Loop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// One row in one cell of one round.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Sample {
    /// None where a row has no such loop.
    #[serde(flatten)]
    pub(crate) figures: Option<Figures>,
    /// None where there is no gateway, or its process is not known.
    pub(crate) cpu_us_per_call: Option<f64>,
}

impl Sample {
    fn calls(&self) -> u64 {
        self.figures.as_ref().map_or(0, |figures| figures.calls)
    }
}

/// All rows and rounds of one era, size and loop.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    era: Era,
    text_bytes: usize,
    #[serde(rename = "loop")]
    how: Loop,
    rows: Vec<RowSamples>,
}

#[derive(Debug, Serialize)]
struct RowSamples {
    name: String,
    /// By round: a row may have missed one.
    rounds: BTreeMap<usize, Sample>,
}

/// A process's own figures.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) start_ms: Option<f64>,
    pub(crate) starts_ms: Vec<f64>,
    pub(crate) rss_idle_kib: Option<u64>,
    pub(crate) rss_after_kib: Option<u64>,
    pub(crate) calls: u64,
}

/// What a figure cannot be read without.
#[derive(Debug, Serialize)]
pub(crate) struct Conditions {
    pub(crate) label: String,
    pub(crate) command: String,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) cores: usize,
    pub(crate) pinned: String,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) quick: bool,
}

/// Everything a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) conditions: Conditions,
    pub(crate) cells: Vec<Cell>,
    pub(crate) processes: Vec<Process>,
    /// Rows that answered no call, with the reason.
    pub(crate) unanswered: Vec<String>,
    pub(crate) soak_errors: u64,
    /// What arrived at the OTLP sink, where there was one.
    pub(crate) exported: Option<Counts>,
    /// CPU of the machine spent by processes that are not ours, of all there was while measuring.
    pub(crate) others_percent: f64,
    /// CPU taken by the hypervisor, of the same.
    pub(crate) stolen_percent: f64,
    #[serde(skip)]
    pub(crate) out: Option<PathBuf>,
}

impl Cell {
    pub(crate) fn new(era: Era, text_bytes: usize, how: Loop) -> Self {
        Self { era, text_bytes, how, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: &str, round: usize, sample: Sample) {
        if let Some(known) = self.rows.iter_mut().find(|known| known.name == row) {
            known.rounds.insert(round, sample);
        } else {
            self.rows.push(RowSamples { name: row.to_owned(), rounds: BTreeMap::from([(round, sample)]) });
        }
    }

    fn title(&self) -> String {
        format!("{}, {} B, {}", self.era.name(), self.text_bytes, self.how.name())
    }

    fn to_markdown(&self) -> String {
        let mut text = format!(
            "### {}\n\n| row | CPU µs/call | × floor | calls/s | calls/s per gateway core | p50 µs | p90 µs | p99 µs \
             | added p50 µs | errors |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
            self.title()
        );
        let floor = self.rows.iter().find(|row| row.name == FLOOR);
        for row in self.rows.iter().filter(|row| row.rounds.values().any(|sample| sample.figures.is_some())) {
            let of = |figure: fn(&Figures) -> f64| {
                median(row.rounds.values().filter(|s| s.calls() > 0).filter_map(|s| s.figures.as_ref()).map(figure))
            };
            let cpu = median(row.rounds.values().filter_map(|sample| sample.cpu_us_per_call));
            let ratio =
                floor.and_then(|floor| row.against(floor, |a, b| Some(a.cpu_us_per_call? / b.cpu_us_per_call?)));
            // With many clients the time is spent in the queue, and says nothing of what a gateway adds.
            let unloaded = !matches!(self.how, Loop::Closed(2..));
            let added = floor.filter(|_| unloaded && row.name != FLOOR).and_then(|floor| {
                row.against(floor, |a, b| Some(a.figures.as_ref()?.latency.p50_us - b.figures.as_ref()?.latency.p50_us))
            });
            let errors: u64 = row.rounds.values().filter_map(|s| s.figures.as_ref()).map(|f| f.errors).sum();
            let figures = [
                figure(cpu, 1),
                figure(ratio, 2),
                figure(of(|f| f.calls_per_second), 0),
                figure(cpu.filter(|us| *us > 0.0).map(|us| 1e6 / us), 0),
                figure(of(|f| f.latency.p50_us), 1),
                figure(of(|f| f.latency.p90_us), 1),
                figure(of(|f| f.latency.p99_us), 1),
                figure(added, 1),
                errors.to_string(),
            ];
            line(&mut text, &row.name, &figures);
        }
        let late = |row: &RowSamples| {
            median(row.rounds.values().filter_map(|sample| sample.figures.as_ref()?.generator_late_p99_us))
        };
        if let Some(late) = floor.and_then(late) {
            let _ = writeln!(text, "\nThe generator began its calls up to {late:.0} µs late (p99, floor).");
        }
        let by_events =
            |row: &&RowSamples| row.rounds.values().any(|s| s.figures.as_ref().is_some_and(|f| f.event_answers > 0));
        let by_events: Vec<&str> = self.rows.iter().filter(by_events).map(|row| row.name.as_str()).collect();
        if !by_events.is_empty() {
            let _ = writeln!(text, "\nAnswered by events: {}.", by_events.join(", "));
        }
        for row in &self.rows {
            let first = row.rounds.values().find_map(|sample| sample.figures.as_ref()?.first_error.as_ref());
            if let Some(error) = first {
                let _ = writeln!(text, "\nFirst error of `{}`: {error}", row.name);
            }
        }
        text
    }
}

impl RowSamples {
    /// The median over rounds of a comparison within each round.
    fn against(&self, floor: &Self, compare: impl Fn(&Sample, &Sample) -> Option<f64>) -> Option<f64> {
        let pairs = self.rounds.iter().filter_map(|(round, sample)| Some((sample, floor.rounds.get(round)?)));
        median(pairs.filter(|(a, b)| a.calls() > 0 && b.calls() > 0).filter_map(|(a, b)| compare(a, b)))
    }
}

impl Report {
    pub(crate) fn new(conditions: Conditions, out: Option<PathBuf>) -> Self {
        Self {
            conditions,
            cells: Vec::new(),
            processes: Vec::new(),
            unanswered: Vec::new(),
            soak_errors: 0,
            exported: None,
            others_percent: 0.0,
            stolen_percent: 0.0,
            out,
        }
    }

    /// Whether every row answered, and every call was answered right.
    pub(crate) fn faultless(&self) -> bool {
        let samples = self.cells.iter().flat_map(|cell| &cell.rows).flat_map(|row| row.rounds.values());
        let mut figures = samples.filter_map(|sample| sample.figures.as_ref());
        self.unanswered.is_empty() && self.soak_errors == 0 && figures.all(|f| f.errors == 0 && f.calls > 0)
    }

    pub(crate) fn to_markdown(&self) -> String {
        let at = &self.conditions;
        let mut text = format!(
            "## Path of a call\n\n{}{}, Linux {}, {} cores; {}; {} rounds of {} s a cell, medians.\nOthers used {:.1} % \
             of the machine's CPU while measuring, the hypervisor took {:.1} %.\nCommand: `{}`\n\n",
            if at.label.is_empty() { String::new() } else { format!("{}; ", at.label) },
            at.processor,
            at.kernel,
            at.cores,
            at.pinned,
            at.rounds,
            at.seconds,
            self.others_percent,
            self.stolen_percent,
            at.command
        );
        if at.quick {
            text.push_str("**A quick run: it shows that everything works, its figures mean nothing.**\n\n");
        }
        for row in &self.unanswered {
            let _ = writeln!(text, "**Not measured, no call was answered:** {row}\n");
        }
        for cell in &self.cells {
            text.push_str(&cell.to_markdown());
            text.push('\n');
        }
        text.push_str(
            "### Processes\n\n| process | start to first answer, ms | RSS idle, MiB | RSS after load, MiB | calls \
             |\n|---|--:|--:|--:|--:|\n",
        );
        let mib = |kib: Option<u64>| figure(kib.map(|kib| kib as f64 / 1_024.0), 1);
        for process in &self.processes {
            let figures = [
                figure(process.start_ms, 1),
                mib(process.rss_idle_kib),
                mib(process.rss_after_kib),
                process.calls.to_string(),
            ];
            line(&mut text, &process.name, &figures);
        }
        if let Some(Counts { requests, bytes, spans, uncounted }) = self.exported {
            let _ = writeln!(text, "\nExported: {spans} spans, {bytes} bytes in {requests} requests.");
            if uncounted > 0 {
                let _ = writeln!(text, "Spans of {uncounted} requests were not counted: compressed, or not protobuf.");
            }
        }
        if self.soak_errors > 0 {
            let _ = writeln!(text, "\n**{} calls of the soak were not answered right.**", self.soak_errors);
        }
        text
    }
}

/// Writes a result to stdout.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

fn line(text: &mut String, name: &str, figures: &[String]) {
    let _ = writeln!(text, "| {name} | {} |", figures.join(" | "));
}

fn figure(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Latency;

    fn sample(cpu_us: f64, p50_us: f64, errors: u64) -> Sample {
        let latency = Latency { p50_us, ..Latency::default() };
        let figures = Figures {
            calls: 10,
            event_answers: 0,
            errors,
            first_error: None,
            seconds: 1.0,
            calls_per_second: 10.0,
            latency,
            generator_late_p99_us: None,
        };
        Sample { figures: Some(figures), cpu_us_per_call: Some(cpu_us) }
    }

    fn cell() -> Cell {
        let mut cell = Cell::new(Era::Modern, 100, Loop::Closed(1));
        // Ratios per round 2.0, 1.5, 1.5; the ratio of the medians would be 1.0.
        for (round, (gateway, floor)) in [(20.0, 10.0), (30.0, 20.0), (60.0, 40.0)].into_iter().enumerate() {
            cell.add("floor", round, sample(floor, 50.0, 0));
            cell.add("gateway", round, sample(gateway, 60.0 + floor, 0));
        }
        cell
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_before_the_median() {
        let text = cell().to_markdown();
        assert!(text.contains("| gateway | 30.0 | 1.50 | 10 | 33333 | 80.0 | 0.0 | 0.0 | 30.0 | 0 |"), "{text}");
        assert!(text.contains("| floor | 20.0 | 1.00 |"), "{text}");
    }

    #[test]
    fn one_wrong_answer_makes_a_run_fail() {
        let conditions = Conditions {
            label: String::new(),
            command: String::new(),
            processor: String::new(),
            kernel: String::new(),
            cores: 2,
            pinned: String::new(),
            rounds: 1,
            seconds: 1.0,
            quick: false,
        };
        let mut report = Report::new(conditions, None);
        report.cells.push(cell());
        assert!(report.faultless());
        report.cells[0].add("gateway", 1, sample(1.0, 1.0, 1));
        assert!(!report.faultless());
    }

    #[test]
    fn samples_are_written_flat() {
        let json = serde_json::to_value(cell()).unwrap();
        let sample = &json["rows"][1]["rounds"]["0"];
        assert_eq!((&sample["cpu_us_per_call"], &sample["p50_us"]), (&20.0.into(), &70.0.into()));
        assert_eq!((&json["era"], &json["loop"]), (&"modern".into(), &"1 client".into()));
    }
}
