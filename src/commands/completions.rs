//! `hither completions`: what a shell completes, from the command line's own definition.

use std::io::Write;

use clap::CommandFactory;
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
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "hither", &mut script);
    script
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
        }
    }
}
