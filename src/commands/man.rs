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
    // Examples are set here: their lines are neither filled nor broken.
    let examples = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command.clone().after_help(None::<&'static str>));
    let man = man.manual("hither").source(concat!("hither ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page)?;
    let page = String::from_utf8(page).map_err(std::io::Error::other)?;
    pages.push((man.get_filename(), page + &examples.as_deref().map_or_else(String::new, closing)));
    Ok(())
}

/// The section at a page's end.
fn closing(text: &str) -> String {
    let (title, text) = match text.strip_prefix("Examples:\n") {
        Some(examples) => ("EXAMPLES", examples),
        None => ("NOTES", text),
    };
    let lines: String = text.lines().map(|line| format!("{}\n", escaped(line))).collect();
    format!(".SH {title}\n.nf\n{lines}.fi\n")
}

/// A line as it is, for roff.
fn escaped(line: &str) -> String {
    // A dot or a quote in front would be an order to roff.
    let mut out = if line.starts_with(['.', '\'']) { "\\&".to_owned() } else { String::new() };
    for c in line.chars() {
        match c {
            '\\' => out.push_str("\\(rs"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '~' => out.push_str("\\(ti"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_set_as_they_are() {
        let set = closing("Examples:\n  hither a -b 'c' \\\n.d `e` ~/f");
        assert_eq!(set, ".SH EXAMPLES\n.nf\n  hither a \\-b \\(aqc\\(aq \\(rs\n\\&.d \\(gae\\(ga \\(ti/f\n.fi\n");
        assert_eq!(closing("New here?"), ".SH NOTES\n.nf\nNew here?\n.fi\n");
    }

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
            let end = if name == "hither.1" { ".SH NOTES" } else { ".SH EXAMPLES" };
            assert!(page.contains(end) && page.ends_with(".fi\n"), "{name}\n{page}");
        }
        let of = |name: &str| &pages.iter().find(|(page, _)| page == name).unwrap().1;
        assert!(of("hither-check.1").contains(".SH EXAMPLES"), "{}", of("hither-check.1"));
        // Hyphens are escaped, so that they can be copied.
        assert!(of("hither.1").replace('\\', "").contains("hither-init(1)"), "{}", of("hither.1"));
    }
}
