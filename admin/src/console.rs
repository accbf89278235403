//! The console: the files of one page, embedded in the program.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use listen::{Body, empty, full};
use xxhash_rust::xxh3::xxh3_64;

/// The names of its files, and what is in them.
macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[(&str, &[u8])] = &[$( ($name, include_bytes!(concat!("console/", $name)).as_slice()) ),*];
    };
}

files! {
    "index.html" "console.css" "mark.svg" "world.svg"
    "ask.js" "change.js" "console.js" "dom.js" "events.js" "figures.js" "fleet.js" "flows.js" "map.js" "marks.js" "plots.js"
    "scope.js" "sites.js" "state.js" "stream.js" "tables.js" "title.js" "why.js" "words.js" "world.js"
}

/// The page has all it needs from here, and nobody else's page shows it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, or one of its files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    name: &'static str,
    bytes: &'static [u8],
}

impl File {
    /// What a path leads to. At `/` it is the page for who asks for one.
    pub(crate) fn at(head: &Parts) -> Option<Self> {
        let name = match head.uri.path() {
            "/" if takes_pages(head) => "index.html",
            "/console" => "index.html",
            path => path.strip_prefix('/')?,
        };
        FILES.iter().find(|file| file.0 == name).map(|file| Self { name: file.0, bytes: file.1 })
    }

    /// The file, or that who asks has it.
    pub(crate) fn response(self, head: &Parts) -> Response<Body> {
        let tag = format!("\"{:016x}\"", xxh3_64(self.bytes));
        let is_known = head.headers.get(header::IF_NONE_MATCH).is_some_and(|known| {
            known.to_str().is_ok_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag))
        });
        let mut response = if is_known {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(full(Bytes::from_static(self.bytes)))
        };
        let headers = response.headers_mut();
        let fields = [
            (header::CONTENT_TYPE, self.kind()),
            // Another version of the program has another page.
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        fields.into_iter().for_each(|(name, value)| _ = headers.insert(name, HeaderValue::from_static(value)));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    fn kind(self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }
}

/// Whether whoever asks wants to see a page.
fn takes_pages(head: &Parts) -> bool {
    let accepted = head.headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// The paths of the page's files, for who describes all paths.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    FILES.iter().map(|(name, _)| format!("/{name}")).chain(["/console".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str, name: &str, value: &str) -> Parts {
        http::Request::get(path).header(name, value).body(()).unwrap().into_parts().0
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console");
        let mut lying: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        lying.sort();
        let mut served: Vec<&str> = FILES.iter().map(|file| file.0).collect();
        served.sort_unstable();
        assert_eq!(lying, served);
    }

    #[test]
    fn who_asks_for_a_page_gets_it_and_who_does_not_gets_text() {
        let found = |path: &str, accept: &str| File::at(&head(path, "accept", accept)).map(|file| file.name);
        for (path, accept, expected) in [
            ("/", "text/html,application/xhtml+xml,*/*;q=0.8", Some("index.html")),
            ("/", "*/*", None),
            ("/console", "*/*", Some("index.html")),
            ("/console.js", "*/*", Some("console.js")),
            ("/status", "text/html", None),
            ("/../Cargo.toml", "*/*", None),
        ] {
            assert_eq!(found(path, accept), expected, "{path} {accept}");
        }
    }

    #[test]
    fn a_file_says_what_it_is_and_is_sent_once() {
        let first = File::at(&head("/console.css", "accept", "*/*")).unwrap();
        let response = first.response(&head("/console.css", "accept", "*/*"));
        let of = |name: header::HeaderName| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(of(header::CONTENT_TYPE), "text/css; charset=utf-8");
        assert!(of(header::CONTENT_SECURITY_POLICY).starts_with("default-src 'none'; script-src 'self';"));
        let tag = of(header::ETAG);
        let again = first.response(&head("/console.css", "if-none-match", &tag));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = first.response(&head("/console.css", "if-none-match", "\"0\""));
        assert_eq!(other.status(), StatusCode::OK);
    }
}
