//! The project's chores: `cargo xtask CHORE`.
//!
//! Each chore is one file and says every command before it runs it. Exit codes are the program's:
//! 0 done, 1 something is to be mended (a wrong argument too).

mod docs;
mod fuzz;
mod package;
mod run;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use run::{Outcome, root};

const HELP: &str = "\
The project's chores.

Usage: cargo xtask CHORE [ARGUMENTS]

  setup [--yes] [--packaging]
                   installs what tests, the demo and fuzzing need beyond cargo: dig, curl, g++, cargo-nextest;
                   says what it will run and asks first; --yes: does not ask; --packaging: cargo-deb too
  test [ARGS...]   runs every test and doctest; ARGS go to `cargo nextest run` (`cargo test` without it)
                   and leave the doctests out
  tidy             checks what the compiler cannot: floors, purity, sizes, module cycles, habits, docs
  docs [--check]   writes docs/config.md, docs/metrics.md and docs/schema/ from the code;
                   --check: only says which of them are stale
  bench [ARGS...]  runs the benchmarks; ARGS go to `cargo bench`, and files among them are found from here:
                   bench -p hither-benches --bench hit_ratio -- TRACE... compares the RAM cache with LRU
  fuzz [SECONDS]   gives every target of fuzz/ made-up input, each for so many seconds (20), and names the
                   input that broke one
  package [--profile dev]
                   builds the release and makes a Debian package of it in target/debian; --profile dev: of what
                   is in target/debug, to try the package
  full [ARGS...]   everything before a release: fmt, clippy, tidy, test with HITHER_FULL=1, with which
                   tests take longer and look further, and fuzz

Exit code: 0 done, 1 something is to be mended.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match chore(&arguments).and_then(|chore| do_chore(&chore)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::from(1)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Chore<'a> {
    Help,
    Setup(setup::Consent, setup::Extent),
    Test(Vec<&'a str>),
    Tidy,
    Docs(docs::Mode),
    Bench(Vec<&'a str>),
    Fuzz(u32),
    Package(package::Build),
    Full(Vec<&'a str>),
}

fn chore<'a>(arguments: &[&'a str]) -> Result<Chore<'a>, String> {
    let Some((name, rest)) = arguments.split_first() else {
        return Err(format!("no chore named\n\n{HELP}"));
    };
    match (*name, rest) {
        ("-h" | "--help" | "help", _) | (_, ["-h" | "--help"]) => Ok(Chore::Help),
        ("setup", flags) if flags.iter().all(|flag| matches!(*flag, "--yes" | "--packaging")) => {
            let consent = if flags.contains(&"--yes") { setup::Consent::Given } else { setup::Consent::Ask };
            let extent = if flags.contains(&"--packaging") { setup::Extent::Packaging } else { setup::Extent::Usual };
            Ok(Chore::Setup(consent, extent))
        }
        ("test", rest) => Ok(Chore::Test(rest.to_vec())),
        ("tidy", []) => Ok(Chore::Tidy),
        ("docs", []) => Ok(Chore::Docs(docs::Mode::Write)),
        ("docs", ["--check"]) => Ok(Chore::Docs(docs::Mode::Check)),
        ("bench", rest) => Ok(Chore::Bench(rest.to_vec())),
        ("fuzz", []) => Ok(Chore::Fuzz(fuzz::SECONDS_EACH)),
        ("fuzz", [seconds]) => match seconds.parse() {
            // To libFuzzer, no seconds are no end.
            Ok(seconds @ 1..) => Ok(Chore::Fuzz(seconds)),
            _ => Err(format!("`fuzz` takes seconds, at least 1, not `{seconds}`")),
        },
        ("package", []) => Ok(Chore::Package(package::Build::Release)),
        ("package", ["--profile", "dev"]) => Ok(Chore::Package(package::Build::Dev)),
        ("full", rest) => Ok(Chore::Full(rest.to_vec())),
        ("setup" | "tidy" | "docs" | "fuzz" | "package", rest) => {
            Err(format!("`{name}` does not know `{}`; see `cargo xtask --help`", rest.join(" ")))
        }
        _ => Err(format!("no chore is called `{name}`\n\n{HELP}")),
    }
}

fn do_chore(chore: &Chore<'_>) -> Outcome {
    match chore {
        Chore::Help => {
            println!("{HELP}");
            Ok(())
        }
        Chore::Setup(consent, extent) => setup::setup(*consent, *extent),
        Chore::Test(arguments) => test::test(arguments, test::Reach::Usual),
        Chore::Tidy => tidy::tidy(root()),
        Chore::Docs(mode) => docs::docs(root(), *mode),
        Chore::Bench(arguments) => bench(arguments),
        Chore::Fuzz(seconds_each) => fuzz::fuzz(*seconds_each),
        Chore::Package(build) => package::package(*build),
        Chore::Full(arguments) => full(arguments),
    }
}

/// Cargo runs a benchmark in its package's folder, where a relative path means another file.
fn bench(arguments: &[&str]) -> Outcome {
    let found =
        |argument: &&str| std::fs::canonicalize(argument).map_or((*argument).into(), |path| path.display().to_string());
    let arguments: Vec<String> = arguments.iter().map(found).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let names_packages = arguments.contains(&"-p");
    let scope: &[&str] = if names_packages { &[] } else { &["--workspace"] };
    run::cargo(&[&["bench"], scope, arguments.as_slice()].concat())
}

/// The quick checks first, so that a small mistake is known early.
fn full(arguments: &[&str]) -> Outcome {
    run::cargo(&["fmt", "--all", "--check"])?;
    tidy::tidy(root())?;
    run::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    fuzz::check()?;
    test::test(arguments, test::Reach::Full)?;
    fuzz::fuzz(fuzz::SECONDS_EACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_a_chore_or_are_refused() {
        let known = [
            (&["--help"][..], Chore::Help),
            (&["tidy", "--help"], Chore::Help),
            (&["setup"], Chore::Setup(setup::Consent::Ask, setup::Extent::Usual)),
            (&["setup", "--yes"], Chore::Setup(setup::Consent::Given, setup::Extent::Usual)),
            (&["setup", "--packaging"], Chore::Setup(setup::Consent::Ask, setup::Extent::Packaging)),
            (&["package"], Chore::Package(package::Build::Release)),
            (&["package", "--profile", "dev"], Chore::Package(package::Build::Dev)),
            (&["test", "-p", "edge"], Chore::Test(vec!["-p", "edge"])),
            (&["docs"], Chore::Docs(docs::Mode::Write)),
            (&["docs", "--check"], Chore::Docs(docs::Mode::Check)),
            (&["tidy"], Chore::Tidy),
            (&["fuzz"], Chore::Fuzz(30)),
            (&["fuzz", "60"], Chore::Fuzz(60)),
            (&["full"], Chore::Full(vec![])),
        ];
        for (arguments, expected) in known {
            assert_eq!(chore(arguments), Ok(expected), "{arguments:?}");
        }
        let refused = [
            (&[][..], "no chore named"),
            (&["tydi"], "called `tydi`"),
            (&["docs", "--chek"], "does not know `--chek`"),
            (&["setup", "--packing"], "does not know `--packing`"),
            (&["package", "--profile", "test"], "does not know `--profile test`"),
            (&["fuzz", "0"], "at least 1, not `0`"),
            (&["fuzz", "key", "9"], "does not know `key 9`"),
        ];
        for (arguments, said) in refused {
            let problem = chore(arguments).unwrap_err();
            assert!(problem.contains(said), "{arguments:?}: {problem}");
        }
    }
}
