//! The figures at the top: how many, how many failed, how long, what goes on.

use tollhouse_store::question::Sum;

use super::super::address::Address;
use super::super::slots::Slots;
use super::super::text::{count, millis, percent};
use crate::charts::{Svg, sparkline};
use crate::health::Report;

/// Below so many calls a percentile says little; it is shown, but not as loud.
const ENOUGH_P95: u64 = 20;
const ENOUGH_P99: u64 = 100;

/// A figure with what explains it.
pub(super) struct Tile {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) figure: String,
    pub(super) unit: &'static str,
    pub(super) note: String,
    pub(super) class: &'static str,
    pub(super) spark: Option<Svg>,
    pub(super) href: Option<String>,
}

/// All of them, in their order.
pub(super) fn all(sums: &[Sum], all: &Sum, slots: &Slots, report: &Report, calls: &Address) -> Vec<Tile> {
    let over_time = |of: fn(&Sum) -> u64| sums.iter().map(of).collect::<Vec<_>>();
    let minutes = slots.minutes().max(1);
    let rate = if all.calls >= minutes {
        format!("{} / min", count(all.calls / minutes))
    } else {
        format!("{} / h", count((all.calls * 60).div_ceil(minutes)))
    };
    let tile = |id, name, figure: String, unit, note: String| Tile {
        id,
        name,
        figure,
        unit,
        note,
        class: "",
        spark: None,
        href: None,
    };
    let quantile = |id, name, q: f64, enough: u64| {
        let n = all.total.count();
        let figure = all.total.quantile(q).map_or_else(|| "–".to_owned(), millis);
        Tile {
            class: if n < enough { "faint" } else { "" },
            ..tile(id, name, figure, if n == 0 { "" } else { "ms" }, format!("n = {}", count(n)))
        }
    };
    vec![
        Tile {
            spark: Some(sparkline("Calls over time", &over_time(|sum| sum.calls))),
            href: Some(calls.to_string()),
            ..tile("t-calls", "Calls", count(all.calls), "", rate)
        },
        Tile {
            spark: Some(sparkline("Failures over time", &over_time(|sum| sum.failed))),
            href: Some(calls.with("errors", "true").to_string()),
            class: if all.failed > 0 { "bad" } else { "" },
            ..tile("t-failed", "Failed", percent(all.failed, all.calls), "", format!("{} calls", count(all.failed)))
        },
        Tile {
            spark: Some(sparkline(
                "Half took no longer, over time",
                &over_time(|sum| sum.total.quantile(0.5).unwrap_or(0)),
            )),
            ..quantile("t-p50", "p50", 0.5, 1)
        },
        Tile {
            spark: Some(sparkline(
                "95 of 100 took no longer, over time",
                &over_time(|sum| sum.total.quantile(0.95).unwrap_or(0)),
            )),
            ..quantile("t-p95", "p95", 0.95, ENOUGH_P95)
        },
        Tile {
            spark: Some(sparkline(
                "99 of 100 took no longer, over time",
                &over_time(|sum| sum.total.quantile(0.99).unwrap_or(0)),
            )),
            ..quantile("t-p99", "p99", 0.99, ENOUGH_P99)
        },
        tile("t-now", "Under way", count(report.calls_in_flight), "", format!("{} sessions", count(report.sessions))),
    ]
}
