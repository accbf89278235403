//! Drawing tables for a terminal.

/// Rows under a heading, columns as wide as their widest cell.
pub(crate) fn draw(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (cell, width) in cells.zip(&widths) {
            out.push_str(cell);
            out.push_str(&" ".repeat(width - cell.chars().count() + 2));
        }
        format!("{}\n", out.trim_end())
    };
    let mut out = line(&mut heading.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory, Parser};

    use crate::cli::Cli;

    /// Adds a command that has no `--json`, and those below it.
    fn add_without_json(command: &Command, name: &str, found: &mut BTreeSet<String>) {
        let has_json = command.get_arguments().any(|argument| argument.get_id().as_str() == "json");
        if !has_json && !command.has_subcommands() {
            found.insert(name.trim_start().to_owned());
        }
        for below in command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help") {
            add_without_json(below, &format!("{name} {}", below.get_name()), found);
        }
    }

    #[test]
    fn a_command_without_json_is_one_that_prints_no_table() {
        let mut found = BTreeSet::new();
        add_without_json(&Cli::command(), "", &mut found);
        // What is new stands here only if it tells nothing that a program would read.
        let expected = ["completions", "init", "keys create", "keys finish", "keys roll", "man", "run", "sign", "up"];
        assert_eq!(found, BTreeSet::from(expected.map(str::to_owned)));
    }

    #[test]
    fn what_prints_a_table_prints_json_too() {
        for command in [
            "check --plan",
            "check --online",
            "explain www.shop.example --from 192.0.2.1",
            "explain www.shop.example --batch clients.txt",
            "explain --url https://www.shop.example/",
            "get https://www.shop.example/ --from 192.0.2.1",
            "keys",
            "map bench --matrix rtt.csv",
            "map export",
            "map stats",
            "plan old new",
            "purge --site shop",
            "report",
            "status",
            "status --watch",
        ] {
            let words = ["hither"].into_iter().chain(command.split(' ')).chain(["--json"]);
            let read = Cli::try_parse_from(words);
            assert!(read.is_ok(), "{command}: {}", read.err().map(|error| error.to_string()).unwrap_or_default());
        }
    }
}
