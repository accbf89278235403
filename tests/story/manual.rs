//! Manual pages as a reader has them.

use std::fs;
use std::process::Command;

use crate::support::{HITHER, outcome, run};

#[test]
fn every_page_is_typeset_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(HITHER, &["man", "--out", &dir.path().display().to_string()]);
    assert!(said.contains("pages are in"), "{said}");
    let mut count = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path().display().to_string();
        let (warnings, code) = outcome(Command::new("groff").args(["-man", "-Tascii", "-ww", "-z", &path]));
        assert!(code == 0 && warnings.is_empty(), "{path}: {warnings}");
        count += 1;
    }
    assert!(count > 15, "{count}");
    let page = run("groff", &["-man", "-Tascii", "-P-cbou", &dir.path().join("hither-check.1").display().to_string()]);
    // Lines are filled, and blanks put between words for that.
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in
        ["NAME", "hither-check - Check a config directory", "--online", "EXAMPLES", "hither check --plan ./cdn"]
    {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let own = run(HITHER, &["man"]);
    assert_eq!(own, fs::read_to_string(dir.path().join("hither.1")).unwrap());
}
