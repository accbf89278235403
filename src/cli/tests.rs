//! That the command line reads what it is to read, and its help shows what is read.

use clap::CommandFactory;

use super::*;

#[test]
fn the_definition_holds() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_shows_examples_that_are_read() {
    let mut cli = Cli::command();
    cli.build();
    shows_examples(&cli);
}

/// Looks at the commands below one, and those below them.
fn shows_examples(above: &clap::Command) {
    for command in above.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = shown.replace("\\\n", " ");
        let lines = lines.lines().filter_map(|line| line.trim().strip_prefix("hither "));
        let mut count = 0;
        for line in lines {
            let words = line.split(['#', '|', '>', '&']).next().unwrap_or_default();
            let words = words.split('\'').next().unwrap_or_default().trim_end_matches(" -H ").split_whitespace();
            let read = Cli::try_parse_from(["hither"].into_iter().chain(words));
            assert!(read.is_ok(), "{line}: {}", read.err().map(|error| error.to_string()).unwrap_or_default());
            count += 1;
        }
        assert!(count > 0, "{} shows no example", command.get_name());
        assert!(shown.lines().all(|line| line.chars().count() <= 100), "{}: {shown}", command.get_name());
        shows_examples(command);
    }
}

#[test]
fn pops_are_named_or_counted() {
    let read = |args: &[&str]| {
        Cli::try_parse_from(["hither", "map", "bench", "--matrix", "rtt.csv"].iter().chain(args)).is_ok()
    };
    assert!(read(&[]) && read(&["--pops", "6"]) && read(&["--pop", "0", "--pop", "7"]));
    assert!(!read(&["--pop", "0", "--pops", "6"]));
}

#[test]
fn a_purge_names_what() {
    let read = |args: &[&str]| Cli::try_parse_from(["hither", "purge"].iter().chain(args)).is_ok();
    assert!(read(&["--site", "shop"]) && read(&["--tag", "a", "--site", "shop", "--soft"]));
    assert!(!read(&["--soft"]) && !read(&["--json"]));
}
