//! Writing a new directory: all of it, or nothing.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::{Problem, write_private};

use super::files;
use crate::answers::Answers;
use crate::directory;
use crate::exit::Failure;
use crate::node::{Roles, build};
use crate::secrets::{private_dir, random_token};

/// The file that makes a directory a config: it comes last.
const NETWORK: &str = "hither.toml";

/// A directory that has a config, or anything else, is left alone.
pub(super) fn refuse_if_taken(dir: &Path) -> Result<(), Failure> {
    let name = dir.display();
    if dir.join(NETWORK).exists() {
        let message =
            format!("{name} has a {NETWORK} already: edit that and `hither check {name}`, or name another directory");
        return Err(Failure::operator(message));
    }
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(Failure::operator(format!("{name} is not empty: name a directory that is new or empty"))),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::file("look into", dir, &error, "name a directory that is new or empty"))
        }
        Ok(false) | Err(_) => Ok(()),
    }
}

/// Sees that files can be written there, before anybody has answered for nothing. Directories that lack are not made.
pub(super) fn refuse_if_closed(dir: &Path) -> Result<(), Failure> {
    let draft = draft_in(dir.ancestors().find(|above| above.exists()).unwrap_or(dir));
    fs::create_dir(&draft).and_then(|()| fs::remove_dir(&draft)).map_err(|error| closed(dir, &error))
}

/// Where files are written that have no place yet.
fn draft_in(home: &Path) -> PathBuf {
    home.join(format!(".hither-init-{}", std::process::id()))
}

fn closed(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::file("write", dir, error, "name a directory that you may write to")
}

/// Writes the files beside their place, sees whether a node would take them, and moves them there. What is returned are
/// the warnings.
pub(super) fn write(dir: &Path, answers: &Answers) -> Result<Vec<Problem>, Failure> {
    let fail = |error: std::io::Error| closed(dir, &error);
    let exists = dir.is_dir();
    let home = if exists { dir } else { dir.parent().unwrap_or(dir) };
    fs::create_dir_all(home).map_err(fail)?;
    let draft = draft_in(home);
    fs::create_dir(&draft).map_err(fail)?;
    let draft = Draft(draft);
    fill(&draft.0, answers).map_err(|error| match error {
        Unfilled::Io(error) => fail(error),
        Unfilled::NoRandomness(failure) => failure,
    })?;
    let built = build(&draft.0, Roles::BOTH, None);
    let built = built.map_err(|problems| {
        directory::print(&problems);
        Failure::operator("what was answered is no config, as told above; nothing was written")
    })?;
    if exists {
        move_entries(&draft.0, dir).map_err(fail)?;
    } else {
        fs::rename(&draft.0, dir).map_err(fail)?;
    }
    Ok(built.warnings)
}

/// Files that have no place yet; what is left of them goes with it.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // It is not there once it has been moved.
        let _ = fs::remove_dir_all(&self.0);
    }
}

enum Unfilled {
    Io(std::io::Error),
    NoRandomness(Failure),
}

impl From<std::io::Error> for Unfilled {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn fill(draft: &Path, answers: &Answers) -> Result<(), Unfilled> {
    fs::create_dir(draft.join("sites"))?;
    let secrets = draft.join("secrets");
    private_dir(&secrets)?;
    for (name, text) in files::of(answers) {
        fs::write(draft.join(name), text)?;
    }
    for name in ["fleet.key", "admin.token"] {
        let token = random_token().map_err(Unfilled::NoRandomness)?;
        write_private(&secrets.join(name), &format!("{token}\n"))?;
    }
    Ok(())
}

/// Moves all that a directory has into another, with what makes it a config last.
fn move_entries(from: &Path, to: &Path) -> std::io::Result<()> {
    let entries: Result<Vec<PathBuf>, _> = fs::read_dir(from)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries?;
    entries.sort_by_key(|path| path.file_name() == Some(OsStr::new(NETWORK)));
    for path in entries {
        let name = path.file_name().unwrap_or_default();
        fs::rename(&path, to.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::answers;

    fn answers() -> Answers {
        Answers {
            zone: answers::zone("cdn.example").unwrap(),
            contact: "me@cdn.example".to_owned(),
            state: ".state".to_owned(),
            name_servers: vec![answers::name_server("ns1=192.0.2.53").unwrap()],
            pops: vec![answers::pop("fra@50.11,8.68,DE").unwrap()],
            edges: vec![answers::edge("fra-1@fra=192.0.2.10").unwrap()],
            sites: vec![answers::site("shop=www.shop.example=https://o.example").unwrap()],
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_directory_is_written_whole_whether_it_was_there_or_not() {
        let outside = tempfile::tempdir().unwrap();
        let (new, empty) = (outside.path().join("a/new"), outside.path().join("empty"));
        fs::create_dir(&empty).unwrap();
        let mut tokens = Vec::new();
        for dir in [&new, &empty] {
            refuse_if_taken(dir).unwrap();
            refuse_if_closed(dir).unwrap();
            assert_eq!(dir.exists(), dir == &empty, "nothing is made of {}", dir.display());
            assert!(write(dir, &answers()).unwrap().is_empty());
            assert_eq!(names(dir), [".gitignore", "hither.toml", "routes.toml", "secrets", "sites"]);
            assert_eq!(names(&dir.join("sites")), ["shop.toml"]);
            assert_eq!(mode(&dir.join("secrets")), 0o700);
            for secret in ["fleet.key", "admin.token"] {
                assert_eq!(mode(&dir.join("secrets").join(secret)), 0o600);
                let text = fs::read_to_string(dir.join("secrets").join(secret)).unwrap();
                assert!(text.trim().len() == 64 && !tokens.contains(&text), "{secret}");
                tokens.push(text);
            }
            assert!(build(dir, Roles::BOTH, None).is_ok());
            let refused = refuse_if_taken(dir).unwrap_err().to_string();
            assert!(refused.contains("has a hither.toml already"), "{refused}");
        }
        assert_eq!(names(outside.path()), ["a", "empty"]);
        assert_eq!(names(&outside.path().join("a")), ["new"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = refuse_if_taken(&file).unwrap_err().to_string();
        assert!(refused.contains("cannot look into") && refused.contains("name a directory"), "{refused}");
        for refused in
            [refuse_if_closed(&file.join("below")).unwrap_err(), write(&file.join("below"), &answers()).unwrap_err()]
        {
            let refused = refused.to_string();
            assert!(refused.contains("cannot write") && refused.contains("name a directory"), "{refused}");
        }
        refuse_if_taken(outside.path()).unwrap_err();

        let wrong = Answers { zone: answers::zone("x.example").unwrap(), name_servers: Vec::new(), ..answers() };
        let new = outside.path().join("new");
        let refused = write(&new, &wrong).unwrap_err().to_string();
        assert!(refused.contains("nothing was written"), "{refused}");
        assert_eq!(names(outside.path()), ["file"]);
    }
}
