//! `hither completions`: what a shell completes, from the command line's own definition.

use std::io::Write;

use clap::{Arg, Command, CommandFactory, ValueHint};
use clap_complete::aot::{Shell, generate};

use crate::cli::{Cli, CompletedShell, Completions};
use crate::exit::{Done, Exit};

pub(crate) fn run(args: &Completions) -> Done {
    // A closed pipe is no error: `hither completions bash | head`.
    let _ = std::io::stdout().write_all(&of(args.shell));
    Ok(Exit::Done)
}

fn of(shell: CompletedShell) -> Vec<u8> {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut offered = offered();
    let mut script = Vec::new();
    generate(shell, &mut offered, "hither", &mut script);
    if shell == Shell::Fish {
        script.extend(lacking_in_fish(&offered).bytes());
    }
    script
}

/// The command line as shells are to offer it: nothing that is hidden, and no files where none is wanted.
fn offered() -> Command {
    let all = Cli::command();
    let shown: Vec<Command> = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let own = Command::new("hither").version(env!("CARGO_PKG_VERSION")).args(all.get_arguments().cloned());
    hinted(own.subcommands(shown))
}

fn hinted(command: Command) -> Command {
    command.mut_args(hint).mut_subcommands(hinted)
}

/// What an argument's value is, by the word that stands for it in the help.
fn hint(arg: Arg) -> Arg {
    let word = match arg.get_value_names() {
        Some([word]) if arg.get_action().takes_values() => word.to_string(),
        _ => return arg,
    };
    let hint = match word.as_str() {
        "DIR" | "OLD" | "NEW" => ValueHint::DirPath,
        "FILE" => ValueHint::FilePath,
        _ => ValueHint::Other,
    };
    arg.value_hint(hint)
}

/// What clap's script for fish leaves out: values of arguments without dashes, and the commands that help is wanted of.
fn lacking_in_fish(offered: &Command) -> String {
    let line = |command: &str, values: &[String]| {
        let values = values.join(" ");
        format!(
            "complete -c hither -n \"__fish_hither_using_subcommand {command}; and not __fish_seen_subcommand_from {values}\" \
             -f -a \"{values}\"\n"
        )
    };
    let mut lines = String::new();
    let mut names = Vec::new();
    for command in offered.get_subcommands().filter(|command| command.get_name() != "help") {
        names.push(command.get_name().to_owned());
        let values = command.get_positionals().flat_map(Arg::get_possible_values);
        let values: Vec<String> = values.map(|value| value.get_name().to_owned()).collect();
        if !values.is_empty() {
            lines.push_str(&line(command.get_name(), &values));
        }
    }
    lines + &line("help", &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_command_and_no_hidden_one() {
        for shell in [CompletedShell::Bash, CompletedShell::Zsh, CompletedShell::Fish] {
            let script = String::from_utf8(of(shell)).unwrap();
            for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
            assert!(script.contains("take-over"), "{shell:?}: options, too");
            assert!(!script.contains("sample-origin"), "{shell:?}: it is hidden");
        }
    }

    #[test]
    fn what_stands_for_a_value_says_what_it_is() {
        let offered = offered();
        let hint = |command: &str, id: &str| {
            let command = offered.find_subcommand(command).unwrap();
            command.get_arguments().find(|arg| arg.get_id() == id).unwrap().get_value_hint()
        };
        for (command, id, expected) in [
            ("up", "directory", ValueHint::DirPath),
            ("plan", "old", ValueHint::DirPath),
            ("plan", "queries", ValueHint::FilePath),
            ("run", "node", ValueHint::Other),
            ("drain", "edge", ValueHint::Other),
            // It has no value.
            ("run", "take_over", ValueHint::Unknown),
        ] {
            assert_eq!(hint(command, id), expected, "{command} {id}");
        }
        let own = offered.get_arguments().find(|arg| arg.get_id() == "dir").unwrap();
        assert_eq!(own.get_value_hint(), ValueHint::DirPath);
    }

    #[test]
    fn fish_knows_shells_and_what_help_is_wanted_of() {
        let script = String::from_utf8(of(CompletedShell::Fish)).unwrap();
        let last: Vec<&str> = script.lines().rev().take(2).collect();
        assert!(
            last[1].contains("using_subcommand completions;") && last[1].ends_with(" -f -a \"bash zsh fish\""),
            "{last:?}"
        );
        assert!(last[0].contains("using_subcommand help;") && last[0].contains("-a \"up init run "), "{last:?}");
    }
}
