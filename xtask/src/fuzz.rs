//! Fuzzing: every target of `fuzz/`, one after the other, on the stable compiler.
//!
//! What it begins with lies in `fuzz/seeds/TARGET`, where there is such a folder; what the fuzzer learns in
//! `fuzz/corpus/TARGET`, what it breaks in `fuzz/artifacts/TARGET`. All are read at every start, so that what once broke a target breaks it again at once until it is mended.

use std::fs;
use std::path::Path;

use crate::run::{self, Outcome, root};
use crate::setup;
use crate::tools::Tool;

/// How long each target runs where nobody says, in seconds: the whole round is a few minutes.
pub(crate) const SECONDS_EACH: u32 = 30;

/// Builds the targets and runs each so many seconds. One that breaks does not keep the others from running.
pub(crate) fn fuzz(seconds_each: u32) -> Outcome {
    need_compiler()?;
    let flags = flags();
    run::cargo_with(&[&["build"], BUILD].concat(), &[("RUSTFLAGS", &flags)])?;
    let targets = targets(&root().join(FOLDER).join("targets"))?;
    let broken: Vec<String> = targets.iter().filter_map(|target| attack(target, seconds_each, &flags).err()).collect();
    if broken.is_empty() {
        eprintln!("fuzz: {} targets held for {seconds_each} s each", targets.len());
        return Ok(());
    }
    Err(format!("{} of {} targets broke\n{}", broken.len(), targets.len(), broken.join("\n")))
}

/// The checks of the workspace, for what is outside it.
pub(crate) fn check() -> Outcome {
    need_compiler()?;
    run::cargo(&["fmt", "--manifest-path", MANIFEST, "--check"])?;
    run::cargo(&["clippy", "--manifest-path", MANIFEST, "--all-targets", "--", "-D", "warnings"])
}

fn need_compiler() -> Outcome {
    if setup::missing().contains(&Tool::Compiler) {
        let (name, purpose) = (Tool::Compiler.name(), Tool::Compiler.purpose());
        return Err(format!("{name} is missing: {purpose}. Mend: cargo xtask setup"));
    }
    Ok(())
}

const FOLDER: &str = "fuzz";
const MANIFEST: &str = "fuzz/Cargo.toml";

/// With a target named, cargo keeps the flags from build scripts and macros, which could not be linked with
/// them.
const BUILD: &[&str] = &["--quiet", "--release", "--manifest-path", MANIFEST, "--target", "host-tuple"];

/// What makes the compiler count for libFuzzer which edges of the code an input reaches, and show it what
/// is compared: as `cargo fuzz` does without a sanitizer, which alone would need a nightly compiler.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

fn flags() -> String {
    COVERAGE.join(" ")
}

/// The names of the targets, in order.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let mut targets = names(folder)?;
    targets.retain_mut(|name| {
        let is_target = name.ends_with(".rs");
        name.truncate(name.trim_end_matches(".rs").len());
        is_target
    });
    if targets.is_empty() {
        return Err(format!("no target in {}", folder.display()));
    }
    Ok(targets)
}

/// Runs a target; says where the input lies that broke it.
fn attack(target: &str, seconds: u32, flags: &str) -> Outcome {
    let corpus = format!("{FOLDER}/corpus/{target}");
    let artifacts = format!("{FOLDER}/artifacts/{target}");
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(root().join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    }
    let known = names(&root().join(&artifacts))?;
    let arguments = [
        corpus.clone(),
        artifacts.clone(),
        format!("-artifact_prefix={artifacts}/"),
        format!("-dict={FOLDER}/words.dict"),
        format!("-max_total_time={seconds}"),
        "-rss_limit_mb=2048".to_owned(),
        // No input of a few kilobytes is worth a second.
        "-timeout=10".to_owned(),
        "-print_final_stats=1".to_owned(),
        "-print_funcs=0".to_owned(),
        "-verbosity=0".to_owned(),
    ];
    let seeds = format!("{FOLDER}/seeds/{target}");
    let seeds = root().join(&seeds).is_dir().then_some(seeds);
    let arguments: Vec<&str> = arguments.iter().chain(&seeds).map(String::as_str).collect();
    let run = [&["run"], BUILD, &["--bin", target, "--"], arguments.as_slice()].concat();
    run::cargo_with(&run, &[("RUSTFLAGS", flags)]).map_err(|_| {
        let new = names(&root().join(&artifacts)).unwrap_or_default();
        told(target, &artifacts, &known, &new)
    })
}

/// Where the input lies: a new one, else those of earlier runs, of which one broke the target again.
fn told(target: &str, artifacts: &str, known: &[String], now: &[String]) -> String {
    let new: Vec<&String> = now.iter().filter(|name| !known.contains(name)).collect();
    match (new.as_slice(), known) {
        ([], []) => format!("  {target}: it stopped, and left no input; see above"),
        ([], _) => format!("  {target}: what broke it before breaks it still, in {artifacts}/"),
        (new, _) => {
            let paths: Vec<String> = new.iter().map(|name| format!("{artifacts}/{name}")).collect();
            format!("  {target}: the input is {}", paths.join(", "))
        }
    }
}

/// The names of what a folder holds, in order.
fn names(folder: &Path) -> Result<Vec<String>, String> {
    let problem = |error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(problem)? {
        names.push(entry.map_err(problem)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest = fs::read_to_string(root().join(MANIFEST)).unwrap();
        let mut listed: Vec<&str> =
            manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")).collect();
        listed.sort_unstable();
        let there = targets(&root().join("fuzz/targets")).unwrap();
        assert_eq!(there.iter().map(|name| format!("{name}.rs\"")).collect::<Vec<_>>(), listed);
    }

    #[test]
    fn who_broke_a_target_finds_the_input() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rows = [
            (&[][..], &["crash-1"][..], "  key: the input is fuzz/artifacts/key/crash-1"),
            (&["crash-1"], &["crash-1", "oom-2"], "  key: the input is fuzz/artifacts/key/oom-2"),
            (&["crash-1"], &["crash-1"], "  key: what broke it before breaks it still, in fuzz/artifacts/key/"),
            (&[], &[], "  key: it stopped, and left no input; see above"),
        ];
        for (known, now, expected) in rows {
            assert_eq!(told("key", "fuzz/artifacts/key", &names(known), &names(now)), expected, "{known:?} {now:?}");
        }
    }
}
