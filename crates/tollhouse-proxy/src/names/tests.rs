use bytes::Bytes;

use super::*;
use crate::settings::Prefix;

/// Names of servers `a`, `b` and `c` at the places 0, 1 and 2.
fn names(prefix: Prefix) -> Names {
    Names::new(Naming { prefix, ..Naming::default() }, servers(&["a", "b", "c"]))
}

fn servers(ids: &[&str]) -> Vec<(usize, ServerId)> {
    ids.iter().map(|id| ServerId::new(id).unwrap()).enumerate().collect()
}

/// The names of the tools that these servers list, in order; `-` for one that is left out.
fn listed(names: &Names, lists: &[(usize, &[&str])]) -> Vec<String> {
    let lists: Vec<_> = lists.iter().map(|(place, list)| (*place, list.to_vec())).collect();
    let tables = names.learn(Kind::Tool, &lists);
    let exposed = |place: usize, local: &str| {
        tables.exposed(Kind::Tool, place, local).map_or("-".to_owned(), ToString::to_string)
    };
    lists.iter().flat_map(|(place, list)| list.iter().map(|local| exposed(*place, local))).collect()
}

fn leads(names: &Names, name: &str) -> Option<(usize, String)> {
    names.find(Kind::Tool, name).map(|target| (target.place, target.local.to_string()))
}

#[test]
fn names_are_looked_up_never_taken_apart() {
    let names = Names::new(Naming::default(), servers(&["a", "a-b"]));
    assert_eq!(listed(&names, &[(0, &["b__c"]), (1, &["c"])]), ["a__b__c", "a-b__c"]);
    assert_eq!(leads(&names, "a__b__c"), Some((0, "b__c".into())));
    assert_eq!(leads(&names, "a__c"), None);
}

#[test]
fn a_prefix_on_collision_is_given_to_shared_names_alone_and_stays() {
    let names = names(Prefix::OnCollision);
    assert_eq!(listed(&names, &[(0, &["search", "read"]), (1, &["write"])]), ["search", "read", "write"]);
    assert_eq!(
        listed(&names, &[(0, &["search", "read"]), (1, &["write", "search"])]),
        ["a__search", "read", "write", "b__search"]
    );
    // The former name leads where it led, and nobody's name changes because another server drops its tool.
    assert_eq!(leads(&names, "search"), Some((0, "search".into())));
    assert_eq!(listed(&names, &[(0, &["search", "read"]), (1, &["write"])]), ["a__search", "read", "write"]);
}

#[test]
fn without_prefixes_the_first_server_keeps_a_shared_name() {
    let names = names(Prefix::Never);
    assert_eq!(listed(&names, &[(1, &["search", "write"])]), ["search", "write"]);
    assert_eq!(leads(&names, "search"), Some((1, "search".into())));
    assert_eq!(listed(&names, &[(0, &["search"]), (1, &["search", "write"])]), ["search", "-", "write"]);
    assert_eq!(leads(&names, "search"), Some((0, "search".into())));
}

#[test]
fn a_tool_that_is_called_like_another_ones_prefixed_name_gets_a_name_of_its_own() {
    let names = names(Prefix::OnCollision);
    let all = listed(&names, &[(0, &["x"]), (1, &["x"]), (2, &["a__x", "b__x"])]);
    assert_eq!(all, ["a__x", "b__x", "c__a__x", "c__b__x"]);
    let before = Names::new(Naming { prefix: Prefix::OnCollision, ..Naming::default() }, servers(&["c", "a", "b"]));
    let all = listed(&before, &[(0, &["a__x"]), (1, &["x"]), (2, &["x"])]);
    assert_eq!((all[0].as_str(), all[1].starts_with("a__x_"), all[2].as_str()), ("a__x", true, "b__x"));
    assert_eq!(leads(&before, &all[1]), Some((1, "x".into())));
}

#[test]
fn long_names_are_cut_and_stay_distinct_and_the_same_in_every_run() {
    let long = "x".repeat(100);
    let (one, two) = (format!("{long}1"), format!("{long}2"));
    let run = || listed(&names(Prefix::Conditional), &[(0, &[&one, &two])]);
    let first = run();
    assert_eq!((first[0].len(), first[1].len(), first[0] == first[1]), (64, 64, false), "{first:?}");
    assert_eq!(first, run());
    // A tool that is called as the cut one is listed does not take its name away.
    let cut = first[0].strip_prefix("a__").unwrap();
    let names = names(Prefix::Conditional);
    let all = listed(&names, &[(0, &[cut, &one])]);
    assert_eq!((all[0] == first[0], all[1] == first[0], all[1].len()), (true, false, 64), "{all:?}");
    assert_eq!(leads(&names, &all[1]), Some((0, one.clone())));
}

#[test]
fn a_name_that_vanished_leads_where_it_led_until_its_server_goes() {
    let names = names(Prefix::Conditional);
    listed(&names, &[(0, &["old"]), (1, &["kept"])]);
    listed(&names, &[(0, &["new"])]);
    assert_eq!(leads(&names, "a__old"), Some((0, "old".into())));
    names.configure(Naming::default(), servers(&["a", "b", "c"]).split_off(1));
    assert_eq!((leads(&names, "a__old"), leads(&names, "a__new")), (None, None));
    assert_eq!(leads(&names, "b__kept"), Some((1, "kept".into())));
}

#[test]
fn resources_are_found_by_uri_then_by_template_then_by_what_results_named() {
    let names = names(Prefix::Conditional);
    names.learn(Kind::Resource, &[(1, vec!["file:///x"]), (0, vec!["file:///x"])]);
    names.learn(Kind::Template, &[(1, vec!["note://{id}/text"]), (2, vec!["note://{id}/text"])]);
    let result = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[
        {"type":"resource_link","uri":"made://1","name":"n"},
        {"type":"resource","resource":{"uri":"made://2","text":"t"}},
        {"type":"text","text":"{\"type\":\"resource_link\",\"uri\":\"made://3\"}"},
        {"type":"resource_link","uri":"file:///x","name":"n"}]}}"#;
    names.see(2, &Envelope::parse(Bytes::from_static(result)).unwrap());
    let found = ["file:///x", "note://7/text", "made://1", "made://2", "made://3"].map(|uri| names.owner(uri));
    assert_eq!(found, [Some(0), Some(1), Some(2), Some(2), None]);
    assert_eq!(names.template("note://{id}/text"), Some(1));
    names.configure(Naming::default(), servers(&["a", "b"]));
    assert_eq!(names.owner("made://1"), None);
}

#[test]
fn of_the_uris_that_results_name_those_in_use_are_kept() {
    let names = names(Prefix::Conditional);
    let see = |range: std::ops::Range<usize>| {
        for number in range {
            let result = format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"resource_link","uri":"made://{number}"}}]}}}}"#
            );
            names.see(0, &Envelope::parse(result.into()).unwrap());
            names.owner("made://0");
        }
    };
    see(0..10_000);
    assert_eq!(
        (names.owner("made://0"), names.owner("made://1"), names.owner("made://9999")),
        (Some(0), None, Some(0))
    );
}
