//! Texts as people write them, before and after.

use std::path::Path;

use super::{NoEdit, insert, remove};
use crate::config::Written;

fn files() -> Written {
    Written {
        name: "files".into(),
        command: Some("npx".into()),
        args: vec!["-y".into(), "x y".into()],
        ..Written::default()
    }
}

const ENTRY: &str = "  files:\n    command: npx\n    args: [-y, \"x y\"]\n";

fn check_insert(before: &str, after: &str) {
    let changed = insert(Path::new("t.yaml"), before, &files());
    assert_eq!(changed.as_deref().ok(), Some(after), "{before}");
}

fn check_remove(before: &str, name: &str, after: &str) {
    let changed = remove(Path::new("t.yaml"), before, name);
    assert_eq!(changed.as_deref().ok(), Some(after), "{before}");
}

#[test]
fn an_empty_file_and_one_without_servers_get_the_section() {
    check_insert("", &format!("servers:\n{ENTRY}"));
    check_insert("# only a comment\n", &format!("# only a comment\n\nservers:\n{ENTRY}"));
    check_insert("listen: 127.0.0.1:1", &format!("listen: 127.0.0.1:1\n\nservers:\n{ENTRY}"));
}

#[test]
fn a_section_that_is_empty_in_whatever_spelling_is_filled() {
    for empty in ["servers:\n", "servers: {}\n", "servers: ~\n", "servers: null\n", "servers: { }\n"] {
        check_insert(empty, &format!("servers:\n{ENTRY}"));
    }
    check_insert(
        "servers: {} # none yet\nlisten: 127.0.0.1:1\n",
        &format!("servers: # none yet\n{ENTRY}listen: 127.0.0.1:1\n"),
    );
    check_insert("servers: {}", &format!("servers:\n{ENTRY}"));
}

#[test]
fn the_new_server_stands_after_the_last_and_comments_order_and_spelling_stay() {
    let before = "# mine\nservers: # all of them\n  # first\n  a: { url: 'http://a/mcp' } # a\n\n  b:\n    url:   http://b/mcp\n    # about b\n\n# the door\nlisten: 127.0.0.1:1\n";
    let after = before.replace("    # about b\n", &format!("    # about b\n{ENTRY}"));
    check_insert(before, &after);
    check_remove(&after, "files", before);
}

#[test]
fn another_indentation_and_line_ends_of_windows_are_kept() {
    let before = "servers:\r\n    a:\r\n        url: http://a/mcp\r\n";
    check_insert(before, &format!("{before}    files:\r\n      command: npx\r\n      args: [-y, \"x y\"]\r\n"));
    let before = "\u{feff}servers:\n  a:\n    url: http://a/mcp";
    check_insert(before, &format!("{before}\n{ENTRY}"));
}

#[test]
fn a_removed_server_takes_its_lines_and_no_others() {
    let before = "servers:\n  # first\n  a:\n    url: http://a/mcp\n    # inside\n  # second\n  b: { url: http://b/mcp }\n  c:\n    command: x\n    args:\n    - y\nlisten: 127.0.0.1:1\n";
    check_remove(before, "a", &before.replace("  a:\n    url: http://a/mcp\n    # inside\n", ""));
    check_remove(before, "b", &before.replace("  b: { url: http://b/mcp }\n", ""));
    check_remove(before, "c", &before.replace("  c:\n    command: x\n    args:\n    - y\n", ""));
    check_remove("servers:\n  a: { url: http://a/mcp }\n", "a", "servers:\n");
}

#[test]
fn text_on_several_lines_goes_with_its_server() {
    let before = "servers:\n  a:\n    command: x\n    args:\n      - |\n        # no comment\n\n        b:\n  c: { url: http://c/mcp }\n";
    check_remove(before, "a", "servers:\n  c: { url: http://c/mcp }\n");
}

#[test]
fn servers_in_braces_are_left_to_their_owner() {
    for braces in [
        "servers: { a: { url: http://a/mcp } }\n",
        "{ servers: { a: { url: http://a/mcp } } }\n",
        "servers:\n  { a: { url: http://a/mcp } }\n",
    ] {
        assert!(matches!(insert(Path::new("t.yaml"), braces, &files()), Err(NoEdit::Layout)), "{braces}");
        assert!(matches!(remove(Path::new("t.yaml"), braces, "a"), Err(NoEdit::Layout)), "{braces}");
    }
}

#[test]
fn a_server_that_another_refers_to_is_left_to_its_owner() {
    let before = "servers:\n  a: &a { url: http://a/mcp }\n  b: *a\n";
    assert!(matches!(remove(Path::new("t.yaml"), before, "a"), Err(NoEdit::Layout)));
    check_insert(before, &format!("{before}{ENTRY}"));
}
