//! What the command line understands.

use std::collections::BTreeMap;

use clap::{CommandFactory as _, Parser as _};

use super::{Cli, Common, Verb, exit_of};
use crate::exit::Exit;

fn read(line: &str) -> Result<Cli, Exit> {
    Cli::try_parse_from(line.split_whitespace()).map_err(|error| exit_of(&error))
}

fn data_dir(told: Option<&str>, environment: &[(&'static str, &'static str)]) -> Option<String> {
    let common = Common { data_dir: told.map(Into::into), ..Common::default() };
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    common.data_dir(&environment).map(|path| path.to_string_lossy().into_owned())
}

#[test]
fn the_command_line_contradicts_itself_nowhere() {
    Cli::command().debug_assert();
}

#[test]
fn common_options_stand_before_or_after_the_verb() {
    for line in ["tollhouse --json --admin 127.0.0.1:9 status", "tollhouse status --admin 127.0.0.1:9 --json"] {
        let cli = read(line).unwrap();
        assert!(matches!(cli.verb, Verb::Status(_)) && cli.common.json, "{line}");
        assert_eq!(cli.common.running_admin().to_string(), "127.0.0.1:9");
    }
}

#[test]
fn a_gateway_at_every_address_is_asked_on_loopback() {
    for (told, asked) in [("0.0.0.0:9", "127.0.0.1:9"), ("[::]:9", "[::1]:9"), ("10.1.2.3:9", "10.1.2.3:9")] {
        let common = read(&format!("tollhouse status --admin {told} --listen {told}")).unwrap().common;
        assert_eq!([common.running_admin(), common.running_listen()].map(|at| at.to_string()), [asked; 2]);
    }
}

#[test]
fn without_options_both_listeners_are_on_loopback() {
    let Common { listen: None, admin: None, .. } = read("tollhouse serve").unwrap().common else { panic!("not told") };
    assert!(
        Common::default().listen_or(None).ip().is_loopback() && Common::default().admin_or(None).ip().is_loopback()
    );
}

#[test]
fn an_address_is_written_as_in_a_configuration() {
    for (told, address) in [("localhost:9", "127.0.0.1:9"), ("[::1]:9", "[::1]:9"), ("10.1.2.3:9", "10.1.2.3:9")] {
        let cli = read(&format!("tollhouse serve --listen {told}")).unwrap();
        assert_eq!(cli.common.listen.unwrap().to_string(), address);
    }
    for told in ["7070", "localhost", "gateway.example:7070", ":7070"] {
        let told = Cli::try_parse_from(["tollhouse", "serve", "--listen", told]).unwrap_err().to_string();
        assert!(told.contains("an address and a port, such as `127.0.0.1:7070`"), "{told}");
    }
}

#[test]
fn what_is_not_understood_is_a_usage_error() {
    for line in ["tollhouse", "tollhouse nonsense", "tollhouse serve --listen here", "tollhouse demo-server weather"] {
        assert_eq!(read(line).err(), Some(Exit::Usage), "{line}");
    }
    assert_eq!(read("tollhouse --help").err(), Some(Exit::Ok), "who asks for help has understood it");
}

#[test]
fn state_is_kept_where_the_user_says_or_else_where_xdg_says() {
    assert_eq!(data_dir(Some("d"), &[("HOME", "/h")]).as_deref(), Some("d"));
    assert_eq!(data_dir(None, &[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]).as_deref(), Some("/s/tollhouse"));
    assert_eq!(
        data_dir(None, &[("XDG_STATE_HOME", "s"), ("HOME", "/h")]).as_deref(),
        Some("/h/.local/state/tollhouse")
    );
    assert_eq!(data_dir(None, &[]), None);
}

#[test]
fn every_help_begins_with_examples() {
    let mut command = Cli::command();
    command.build();
    check_examples(&mut command);
}

fn check_examples(command: &mut clap::Command) {
    for verb in command.get_subcommands_mut().filter(|verb| !verb.is_hide_set()) {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        let (examples, usage) = (help.find("Examples:"), help.find("Usage:"));
        assert!(examples.is_some() && examples < usage, "{name}: {help}");
        check_examples(verb);
    }
}
