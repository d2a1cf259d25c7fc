//! Dashboards of Grafana, in its classic JSON, from the table in `boards`.
//!
//! They ask for their data source when they are imported, and find it by a variable of the same name when they are
//! provisioned. Their `uid`s stay, so that links to them do.

use serde_json::{Value, json};

use super::boards::{Board, Kind, Panel};

/// Columns of Grafana's grid.
const GRID: u32 = 24;
/// Of the schema, as Grafana 10 and 11 write it.
const SCHEMA: u32 = 39;

/// Where a dashboard's file is.
pub(super) fn path(board: &Board) -> String {
    format!("deploy/grafana/{}.json", board.name)
}

/// A dashboard's file.
pub(super) fn page(board: &Board) -> String {
    format!("{:#}\n", dashboard(board))
}

fn dashboard(board: &Board) -> Value {
    json!({
        "__inputs": [{
            "name": "DS_PROMETHEUS",
            "label": "Prometheus",
            "description": "The Prometheus that fetches from Tollhouse",
            "type": "datasource",
            "pluginId": "prometheus",
            "pluginName": "Prometheus",
        }],
        "__requires": [{ "type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0" }],
        "uid": uid(board),
        "title": format!("Tollhouse / {}", board.title),
        "description": board.about,
        "tags": ["tollhouse", "mcp"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": { "from": "now-1h", "to": "now" },
        "timezone": "",
        "links": [
            {
                "title": "Tollhouse dashboards",
                "type": "dashboards",
                "tags": ["tollhouse"],
                "asDropdown": true,
                "includeVars": true,
                "keepTime": true,
            },
            {
                "title": "Traces",
                "type": "link",
                "url": "${tollhouse}/traces",
                "targetBlank": true,
            },
        ],
        "templating": { "list": variables() },
        "annotations": { "list": [] },
        "panels": panels(board),
    })
}

fn uid(board: &Board) -> String {
    format!("tollhouse-{}", board.name)
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${DS_PROMETHEUS}" })
}

fn variables() -> Value {
    let values = |name: &str, label: &str, query: &str| {
        json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": source(),
            "query": { "query": query, "refId": name },
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": true,
            "includeAll": true,
            "allValue": ".*",
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        })
    };
    json!([
        { "name": "DS_PROMETHEUS", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1 },
        values("job", "Job", "label_values(tollhouse_build_info, job)"),
        values("server", "Server", "label_values(tollhouse_server_state{job=~\"$job\"}, tollhouse_server_name)"),
        // Where the pages of the gateway itself are.
        {
            "name": "tollhouse",
            "label": "Tollhouse at",
            "type": "textbox",
            "query": "http://127.0.0.1:7071",
            "current": { "text": "http://127.0.0.1:7071", "value": "http://127.0.0.1:7071" },
        },
    ])
}

/// Rows of panels; those of a row share its width.
fn panels(board: &Board) -> Vec<Value> {
    let (mut panels, mut below, mut id) = (Vec::new(), 0, 0);
    for row in board.rows {
        let width = GRID / u32::try_from(row.len()).unwrap_or(GRID).max(1);
        let height = row.iter().map(|panel| panel.kind.height()).max().unwrap_or_default();
        for (place, panel) in (0..).zip(*row) {
            id += 1;
            panels.push(drawn(panel, id, [place * width, below, width, height]));
        }
        below += height;
    }
    panels
}

fn drawn(panel: &Panel, id: u32, [x, y, w, h]: [u32; 4]) -> Value {
    let targets: Vec<Value> =
        ('A'..).zip(panel.queries).map(|(letter, (legend, query))| target(panel, letter, legend, query)).collect();
    let mut defaults = json!({ "unit": panel.unit, "min": 0 });
    if let Some(warning) = panel.warns_above {
        defaults["thresholds"] = json!({
            "mode": "absolute",
            "steps": [{ "color": "green", "value": null }, { "color": "red", "value": warning }],
        });
    }
    let options = match panel.kind {
        Kind::Figure => json!({
            "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
            "colorMode": if panel.warns_above.is_some() { "background" } else { "value" },
            "graphMode": "area",
        }),
        Kind::Lines => json!({
            "legend": { "displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"] },
            "tooltip": { "mode": "multi", "sort": "desc" },
        }),
        Kind::Table => json!({ "showHeader": true, "cellHeight": "sm" }),
    };
    let mut drawn = json!({
        "id": id,
        "type": panel.kind.plugin(),
        "title": panel.title,
        "description": panel.about,
        "datasource": source(),
        "gridPos": { "x": x, "y": y, "w": w, "h": h },
        "fieldConfig": { "defaults": defaults, "overrides": [] },
        "options": options,
        "targets": targets,
    });
    if matches!(panel.kind, Kind::Table) {
        // Only labels and the figure.
        drawn["transformations"] = json!([{
            "id": "organize",
            "options": { "excludeByName": { "Time": true, "__name__": true, "instance": true, "job": true } },
        }]);
    }
    drawn
}

fn target(panel: &Panel, letter: char, legend: &str, query: &str) -> Value {
    let table = matches!(panel.kind, Kind::Table);
    json!({
        "refId": letter.to_string(),
        "datasource": source(),
        "expr": query,
        "legendFormat": legend,
        "instant": table,
        "range": !table,
        "format": if table { "table" } else { "time_series" },
        // The data source says where a trace is shown: `exemplarTraceIdDestinations`.
        "exemplar": panel.exemplars,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::boards::BOARDS;
    use super::{GRID, dashboard};

    fn all() -> Vec<Value> {
        BOARDS.iter().map(dashboard).collect()
    }

    #[test]
    fn a_dashboard_has_what_grafana_asks_of_one() {
        for board in all() {
            let uid = board["uid"].as_str().unwrap();
            // Grafana takes no more than 40.
            assert!(uid.len() <= 40 && uid.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{uid}");
            assert_eq!(board["__inputs"][0]["name"], board["templating"]["list"][0]["name"]);
            let panels = board["panels"].as_array().unwrap();
            let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
            assert!(!panels.is_empty() && ids.len() == panels.len(), "{uid}");
            for panel in panels {
                assert_eq!(panel["datasource"]["uid"], "${DS_PROMETHEUS}", "{panel}");
                let targets = panel["targets"].as_array().unwrap();
                assert!(
                    !targets.is_empty() && targets.iter().all(|target| !target["expr"].as_str().unwrap().is_empty())
                );
                assert!(!panel["description"].as_str().unwrap().is_empty(), "{panel}");
            }
        }
    }

    #[test]
    fn no_panel_lies_over_another_or_beside_the_grid() {
        for board in all() {
            let mut taken = BTreeSet::new();
            for panel in board["panels"].as_array().unwrap() {
                let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                assert!(at("x") + at("w") <= u64::from(GRID), "{panel}");
                for x in at("x")..at("x") + at("w") {
                    for y in at("y")..at("y") + at("h") {
                        assert!(taken.insert((x, y)), "{panel}");
                    }
                }
            }
        }
    }

    #[test]
    fn dashboards_are_told_apart() {
        let boards = all();
        let told: BTreeSet<_> = boards.iter().map(|board| (board["uid"].as_str(), board["title"].as_str())).collect();
        assert_eq!(told.len(), boards.len());
    }

    #[test]
    fn only_variables_that_there_are_occur_in_queries() {
        for board in all() {
            let known: Vec<String> = board["templating"]["list"]
                .as_array()
                .unwrap()
                .iter()
                .map(|variable| format!("${}", variable["name"].as_str().unwrap()))
                .collect();
            for panel in board["panels"].as_array().unwrap() {
                for target in panel["targets"].as_array().unwrap() {
                    let query = target["expr"].as_str().unwrap();
                    for after in query.split('$').skip(1) {
                        let end = after.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(after.len());
                        let name = format!("${}", after.split_at(end).0);
                        assert!(name == "$__rate_interval" || known.contains(&name), "{query}");
                    }
                }
            }
        }
    }
}
