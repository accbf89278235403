//! Machines of a page: namespaces of Linux, with an address, processes, `/etc/hither` and `/var/lib/hither` of their own.

use std::borrow::Cow;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::page::Step;
use crate::support::{HITHER, Process, run, wait_for};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/story/world.sh");

/// What `world.sh` begins a line with that is its own.
const MARK: char = '\u{1}';

/// Longer than any command of a page takes.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct World {
    /// Closed, it ends the machines.
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    process: Process,
    steps: usize,
    /// Removed when they have ended.
    folder: tempfile::TempDir,
}

impl World {
    /// `machines` are `NAME=ADDRESS`, no two of one network of 256.
    pub(crate) fn new(machines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Who is not root is so in a world of their own.
        let user: &[&str] = if run("id", &["-u"]).trim() == "0" { &[] } else { &["--user", "--map-root-user"] };
        let mut child = Command::new("unshare")
            .args(user)
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", SCRIPT])
            .arg(folder.path())
            .arg(HITHER)
            .args(machines)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        let this = Self { input, lines, process: Process(child), steps: 0, folder };
        this.until(&format!("{MARK}ready"));
        this
    }

    /// Runs a page's command where it says, as root in a new shell: what it printed, errors too, and its code. With
    /// `HITHER_FULL` it waits as long as the page says.
    pub(crate) fn run(&mut self, step: &Step<'_>) -> (String, i32) {
        self.steps += 1;
        let file = self.folder.path().join(format!("{}.sh", self.steps));
        fs::write(&file, format!("{}\n", hasten(&step.command))).unwrap();
        writeln!(self.input.as_mut().unwrap(), "{} {} {}", self.steps, step.machine, file.display()).unwrap();
        let (said, code) = self.until(&format!("{MARK}{} ", self.steps));
        (said, code.parse().unwrap())
    }

    /// What is printed until a mark, and what stands behind that on its line.
    fn until(&self, mark: &str) -> (String, String) {
        let mut said = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("the machines end, or hang, after\n{said}")
            };
            match line.split_once(mark) {
                Some((before, behind)) => return (said + before, behind.trim().to_owned()),
                None => said.push_str(&line),
            }
        }
    }
}

/// A command that waits without most of the waiting: it is run again until it prints what is shown (`page::play`).
fn hasten(command: &str) -> Cow<'_, str> {
    let asked = command.strip_prefix("sleep ").and_then(|rest| rest.split_once("; "));
    match asked {
        Some((_, asked)) if std::env::var_os("HITHER_FULL").is_none() => format!("sleep 0.3; {asked}").into(),
        _ => command.into(),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.input.take());
        if std::thread::panicking() {
            // A command may hang; the machines die with the process that made them.
            return;
        }
        wait_for(Duration::from_secs(10), "the machines end", || match self.process.0.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}
