//! `hither man`: manual pages, from the command line's own definition.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::{Cli, ManPages};
use crate::exit::{Done, Exit, Failure};
use crate::say::say;

pub(crate) fn run(args: &ManPages) -> Done {
    let pages = pages().map_err(Failure::ours)?;
    let Some(dir) = &args.out else {
        // The program's own is the last: those of its commands come before.
        let (_, page) = pages.last().ok_or_else(|| Failure::ours("there is no page"))?;
        // A closed pipe is no error.
        let _ = std::io::stdout().write_all(page.as_bytes());
        return Ok(Exit::Done);
    };
    write(dir, &pages).map_err(|error| {
        Failure::operator(format!("cannot write to {}: {error}; name a directory that you may write to", dir.display()))
    })?;
    let (count, dir) = (pages.len(), dir.display());
    say(format!("{count} pages are in {dir}; to look at one: man -l {dir}/hither.1"));
    Ok(Exit::Done)
}

fn write(dir: &Path, pages: &[(String, String)]) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|(name, page)| fs::write(dir.join(name), page))
}

/// Every page by its file's name: one for each command, then the program's.
fn pages() -> std::io::Result<Vec<(String, String)>> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    // Names and options that all commands have are handed down.
    cli.build();
    let mut pages = Vec::new();
    add(&cli, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add(below, pages)?;
    }
    let man = Man::new(command.clone()).manual("hither").source(concat!("hither ", env!("CARGO_PKG_VERSION")));
    let name = man.get_filename();
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8(page).map_err(std::io::Error::other)?;
    pages.push((name, with_examples(&page)));
    Ok(())
}

/// What follows a command's help are examples: lines that are neither filled nor broken.
fn with_examples(page: &str) -> String {
    page.replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n").replace(".SH EXTRA\n", ".SH NOTES\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["hither-up.1", "hither-init.1", "hither-check.1", "hither-keys-roll.1", "hither-map-bench.1"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert_eq!(names.last(), Some(&"hither.1"));
        assert!(!names.iter().any(|name| name.contains("sample-origin") || name.contains("help")), "{names:?}");
        for (name, page) in &pages {
            for section in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
                assert!(page.contains(section), "{name} has no {section}\n{page}");
            }
            assert!(!page.contains("EXTRA"), "{name}\n{page}");
        }
        let of = |name: &str| &pages.iter().find(|(page, _)| page == name).unwrap().1;
        assert!(of("hither-check.1").contains(".SH EXAMPLES"), "{}", of("hither-check.1"));
        // Hyphens are escaped, so that they can be copied.
        assert!(of("hither.1").replace('\\', "").contains("hither-init(1)"), "{}", of("hither.1"));
    }
}
