//! The docs that come from the code's own tables.

use std::fs;
use std::path::Path;

use crate::run::Outcome;

/// What to do with a stale page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Write it anew.
    Write,
    /// Say so.
    Check,
}

/// Brings the generated docs up to date, or tells which are not.
pub(crate) fn docs(root: &Path, mode: Mode) -> Outcome {
    let stale: Vec<Page> = pages().into_iter().filter(|page| is_stale(root, page)).collect();
    for page in &stale {
        match mode {
            Mode::Check => println!("{}:1: stale; run `cargo xtask docs`", page.path),
            Mode::Write => {
                write(root, page).map_err(|error| format!("{}: {error}", page.path))?;
                println!("wrote {}", page.path);
            }
        }
    }
    match (mode, stale.len()) {
        (Mode::Write, _) | (_, 0) => Ok(()),
        (Mode::Check, stale) => Err(format!("{stale} generated pages are stale")),
    }
}

/// The paths of the pages that differ from what the code says.
pub(crate) fn stale(root: &Path) -> Vec<&'static str> {
    pages().into_iter().filter(|page| is_stale(root, page)).map(|page| page.path).collect()
}

struct Page {
    /// From the project's root.
    path: &'static str,
    text: String,
}

/// Every generated page. A new one is one more line here.
fn pages() -> Vec<Page> {
    let json = |schema: serde_json::Value| format!("{schema:#}\n");
    vec![
        Page { path: "docs/config.md", text: config::schema::reference() },
        Page { path: "docs/schema/hither.json", text: json(config::schema::network().to_value()) },
        Page { path: "docs/schema/site.json", text: json(config::schema::site().to_value()) },
        Page { path: "docs/schema/routes.json", text: json(config::schema::routes().to_value()) },
        Page { path: "docs/metrics.md", text: telemetry::reference() },
    ]
}

fn is_stale(root: &Path, page: &Page) -> bool {
    // A page that cannot be read is as stale as one that differs.
    fs::read_to_string(root.join(page.path)).ok().as_ref() != Some(&page.text)
}

fn write(root: &Path, page: &Page) -> std::io::Result<()> {
    let path = root.join(page.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, &page.text)
}
