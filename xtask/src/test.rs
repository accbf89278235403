//! Every test and doctest.

use std::io::IsTerminal;

use crate::run::{self, Outcome};
use crate::setup::{self, Consent, Extent, Tool};

/// How far the tests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What a change needs.
    Usual,
    /// What a release needs: `HITHER_FULL` is set, and tests take longer.
    Full,
}

/// Runs the tests; `arguments` go to the test runner. A run with arguments is a narrowed one: it leaves
/// the doctests out, since their runner would not understand them, and says so.
pub(crate) fn test(arguments: &[&str], reach: Reach) -> Outcome {
    let extent = match reach {
        Reach::Usual => Extent::Usual,
        Reach::Full => Extent::Packaging,
    };
    match remedy(&missing(extent), Caller::find()) {
        Remedy::None => {}
        Remedy::SetUp => setup::setup(Consent::Given, extent)?,
        Remedy::Offer => {
            // A no is an answer: go on with what is there.
            if let Err(problem) = setup::setup(Consent::Ask, extent) {
                eprintln!("xtask: {problem}");
            }
        }
        Remedy::GoOn => {}
    }
    let missing = missing(extent);
    name_skipped(&missing);
    let environment: &[(&str, &str)] = match reach {
        Reach::Usual => &[],
        Reach::Full => &[("HITHER_FULL", "1")],
    };
    let runner: &[&str] = if missing.contains(&Tool::Nextest) { &["test", "--tests"] } else { &["nextest", "run"] };
    let narrowing = narrowing(&missing);
    let narrowing: Vec<&str> = narrowing.iter().map(String::as_str).collect();
    let names_packages = arguments.iter().any(|argument| argument.starts_with("-p") || *argument == "--package");
    let scope: &[&str] = if names_packages { &[] } else { &["--workspace"] };
    run::cargo_with(&[runner, scope, arguments, &narrowing].concat(), environment)?;
    if arguments.is_empty() {
        return run::cargo_with(&["test", "--workspace", "--doc"], environment);
    }
    eprintln!("SKIPPED: doctests, because of the arguments. All of them: cargo test --workspace --doc");
    Ok(())
}

/// The tools that the tests lack.
fn missing(extent: Extent) -> Vec<Tool> {
    let is_wanted = |tool: &Tool| tool.is_for_tests() && (extent == Extent::Packaging || !tool.is_for_packaging());
    setup::missing().into_iter().filter(is_wanted).collect()
}

/// What to do about missing tools.
#[derive(Debug, PartialEq, Eq)]
enum Remedy {
    None,
    SetUp,
    Offer,
    GoOn,
}

/// Who runs the tests.
#[derive(Clone, Copy, Debug)]
enum Caller {
    Ci,
    Person,
    /// A program that cannot answer.
    Pipe,
}

impl Caller {
    fn find() -> Self {
        if std::env::var_os("CI").is_some_and(|value| !value.is_empty()) {
            Self::Ci
        } else if std::io::stdin().is_terminal() {
            Self::Person
        } else {
            Self::Pipe
        }
    }
}

fn remedy(missing: &[Tool], caller: Caller) -> Remedy {
    match caller {
        _ if missing.is_empty() => Remedy::None,
        Caller::Ci => Remedy::SetUp,
        Caller::Person => Remedy::Offer,
        Caller::Pipe => Remedy::GoOn,
    }
}

/// Leaves out the stories that cannot be told; without nextest they are told one by one, since fleets
/// share addresses.
fn narrowing(missing: &[Tool]) -> Vec<String> {
    let mut stories: Vec<&str> = missing.iter().flat_map(|tool| tool.stories()).copied().collect();
    stories.sort_unstable();
    stories.dedup();
    if missing.contains(&Tool::Nextest) {
        let skips = stories.iter().flat_map(|story| ["--skip", story]);
        return ["--", "--test-threads=1"].into_iter().chain(skips).map(str::to_owned).collect();
    }
    if stories.is_empty() {
        return Vec::new();
    }
    let tests = stories.iter().map(|story| format!("test(/^{story}/)")).collect::<Vec<_>>().join(" | ");
    vec!["-E".to_owned(), format!("not ({tests})")]
}

fn name_skipped(missing: &[Tool]) {
    for tool in missing {
        eprintln!("WARNING: {} is missing. SKIPPED: {}. Mend: cargo xtask setup", tool.name(), tool.purpose());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_sets_up_a_person_is_asked_a_pipe_goes_on() {
        let rows = [
            (&[][..], Caller::Ci, Remedy::None),
            (&[Tool::Dig], Caller::Ci, Remedy::SetUp),
            (&[Tool::Dig], Caller::Person, Remedy::Offer),
            (&[Tool::Dig], Caller::Pipe, Remedy::GoOn),
        ];
        for (missing, caller, expected) in rows {
            assert_eq!(remedy(missing, caller), expected, "{missing:?} {caller:?}");
        }
    }

    #[test]
    fn stories_without_their_tool_are_left_out() {
        assert!(narrowing(&[]).is_empty());
        let without_dig = [
            "-E",
            "not (test(/^demo::/) | test(/^deploy::/) | test(/^name_server::/) | test(/^package::/) | test(/^resolvers::/) | test(/^secondaries::/) | test(/^up::/))",
        ];
        assert_eq!(narrowing(&[Tool::Dig]), without_dig);
        let without_both = [
            "--",
            "--test-threads=1",
            "--skip",
            "acme::",
            "--skip",
            "demo::",
            "--skip",
            "deploy::",
            "--skip",
            "doh::",
            "--skip",
            "encrypted::",
            "--skip",
            "http3::",
            "--skip",
            "node::",
            "--skip",
            "package::",
            "--skip",
            "proxies::",
            "--skip",
            "tls::",
            "--skip",
            "up::",
        ];
        assert_eq!(narrowing(&[Tool::Curl, Tool::Nextest]), without_both);
    }
}
