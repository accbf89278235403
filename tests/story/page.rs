//! Pages whose commands are run as they stand.
//!
//! A block fenced as `console` has commands, each after a prompt: `$ `, or `fra$ ` on the machine of that name. A here
//! document, or a backslash at a line's end, goes on to the next lines. All else in it is shown of what the command before
//! it prints: these lines, in this order, among others.

use std::time::{Duration, Instant};

/// A command of a page.
#[derive(Debug)]
pub(crate) struct Step<'p> {
    /// The machine at whose prompt it stands; empty where there is but one.
    pub(crate) machine: &'p str,
    pub(crate) command: String,
    /// What is shown of what it prints.
    pub(crate) shown: Vec<&'p str>,
}

/// A page's commands.
pub(crate) fn steps(page: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let mut until = End::Here;
        for line in block.split("```").next().unwrap().lines() {
            if until != End::Here {
                steps.last_mut().unwrap().command.push_str(&format!("\n{line}"));
                until = until.after(line);
            } else if let Some((machine, command)) = prompt(line) {
                steps.push(Step { machine, command: command.to_owned(), shown: Vec::new() });
                until = End::of(command);
            } else {
                steps.last_mut().unwrap_or_else(|| panic!("{line}: no command is before it")).shown.push(line);
            }
        }
    }
    steps
}

/// The machine and the command of a line that begins with a prompt.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (machine, command) = line.split_once("$ ")?;
    machine.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit()).then_some((machine, command))
}

/// Where a command ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Here,
    /// With the first line that another does not follow.
    Unbroken,
    /// With this line.
    Word(String),
}

impl End {
    fn of(command: &str) -> Self {
        match command.split_once("<<") {
            Some((_, word)) => Self::Word(word.trim_matches('\'').to_owned()),
            None if command.ends_with('\\') => Self::Unbroken,
            None => Self::Here,
        }
    }

    fn after(self, line: &str) -> Self {
        match self {
            Self::Word(word) if word != line => Self::Word(word),
            Self::Unbroken if line.ends_with('\\') => Self::Unbroken,
            _ => Self::Here,
        }
    }
}

/// How long a command that waits is run again: not every machine is as fast as a page says.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a page's commands in turn; `run` returns what one has printed, and its code. One of which nothing is shown has to
/// succeed; one that begins by sleeping is run again, for a while, as long as it does not print what is shown.
pub(crate) fn play(steps: &[Step<'_>], mut run: impl FnMut(&Step<'_>) -> (String, i32)) {
    for step in steps {
        let start = Instant::now();
        loop {
            let (said, code) = run(step);
            let said = said.replace('\r', "");
            let Some(what) = lacking(step, &said, code) else { break };
            let may_wait = step.command.starts_with("sleep ") && start.elapsed() < PATIENCE;
            assert!(may_wait, "{}$ {}\nlacks: {what}\nsays (code {code}):\n{said}", step.machine, step.command);
        }
    }
}

/// The first line that is shown and was not printed; or that it failed, of a command of which nothing is shown.
fn lacking<'p>(step: &Step<'p>, said: &str, code: i32) -> Option<&'p str> {
    if step.shown.is_empty() {
        return (code != 0).then_some("success");
    }
    let mut lines = said.lines();
    let mut shown = step.shown.iter().copied().filter(|shown| !matches!(shown.trim(), "" | "…"));
    shown.find(|shown| !lines.any(|line| is_like(line, shown)))
}

/// Whether a line is the shown one, but for its gaps; ages and lifetimes may be a few seconds off, and what stands at `…` is
/// another each time.
fn is_like(line: &str, shown: &str) -> bool {
    let [line, shown] = [line, shown].map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    if shown.contains('…') {
        return fits(&line, &shown);
    }
    let number = |text: &str| text.parse::<i64>().ok();
    let is_time = shown.starts_with("age: ") || shown.contains(";ttl=");
    let (Some((before, time)), Some((expected, at))) = (line.rsplit_once([' ', '=']), shown.rsplit_once([' ', '=']))
    else {
        return line == shown;
    };
    match (number(time), number(at)) {
        (Some(time), Some(at)) if is_time => before == expected && (time - at).abs() <= 3,
        _ => line == shown,
    }
}

/// Whether the pieces between `…` stand in a line, in their order.
fn fits(line: &str, shown: &str) -> bool {
    let pieces: Vec<&str> = shown.split('…').map(str::trim).collect();
    let Some((first, [middle @ .., last])) = pieces.split_first() else { return false };
    let Some(mut rest) = line.strip_prefix(*first) else { return false };
    for piece in middle {
        let Some((_, behind)) = rest.split_once(*piece) else { return false };
        rest = behind;
    }
    rest.ends_with(*last)
}

#[test]
fn a_page_s_commands_are_read_and_judged() {
    let page =
        "```console\nfra$ cat > x <<'EOF'\n$ no prompt\nEOF\nsyd$ echo a \\\n  b\na …\n```\n```sh\nrm -r /\n```\n";
    let steps = steps(page);
    let read: Vec<(&str, &str, usize)> =
        steps.iter().map(|step| (step.machine, step.command.as_str(), step.shown.len())).collect();
    assert_eq!(read, [("fra", "cat > x <<'EOF'\n$ no prompt\nEOF", 0), ("syd", "echo a \\\n  b", 1)]);
    for (step, said, code, expected) in [
        (0, "", 0, None),
        (0, "", 1, Some("success")),
        (1, "first\na b\nlast\n", 1, None),
        (1, "first\nb a\n", 0, Some("a …")),
    ] {
        assert_eq!(lacking(&steps[step], said, code), expected, "{said}");
    }
}

#[test]
fn a_line_is_like_the_shown_one() {
    for (line, shown, expected) in [
        ("fra-1   running  up   newest  8 s", "fra-1 running up …", true),
        ("fra-1   running  down newest  8 s", "fra-1 running up …", false),
        ("3 of 3 edges, after 11 ms", "3 of 3 edges, after … ms", true),
        ("3 of 3 edges, after 11 s", "3 of 3 edges, after … ms", false),
        ("a: 1 (b), c", "a: … (…), c", true),
        ("a: 1, c", "a: … (…), c", false),
        ("cache-status: syd-1;hit;ttl=3597", "cache-status: syd-1;hit;ttl=3599", true),
        ("cache-status: syd-1;hit;ttl=3590", "cache-status: syd-1;hit;ttl=3599", false),
        ("requests 12", "requests 13", false),
    ] {
        assert_eq!(is_like(line, shown), expected, "{line} | {shown}");
    }
}
