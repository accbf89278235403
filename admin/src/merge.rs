//! The series of many nodes as one scrape.

use std::collections::BTreeMap;
use std::fmt::Write;

/// One family: its comments, then the samples of every node.
#[derive(Default)]
struct Family {
    comments: String,
    samples: String,
}

/// Joins the text expositions of nodes, each sample under a label `node`. The format wants a
/// family's samples together, after its one HELP and TYPE.
#[must_use]
pub fn merge_metrics(nodes: &[(String, String)]) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (node, text) in nodes {
        let mut family = String::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let name = comment.split(' ').nth(1).unwrap_or_default();
                family = name.to_owned();
                let known = families.entry(family.clone()).or_default();
                // HELP and TYPE: the first node's are everybody's.
                if !known.comments.contains(line) {
                    let _ = writeln!(known.comments, "{line}");
                }
            } else if let Some(sample) = label(line, node) {
                let _ = writeln!(families.entry(family.clone()).or_default().samples, "{sample}");
            }
        }
    }
    families.into_values().map(|family| family.comments + &family.samples).collect()
}

/// A sample with one more label. A node's id needs no escape.
fn label(line: &str, node: &str) -> Option<String> {
    let (name, rest) = line.split_at_checked(line.find(['{', ' '])?)?;
    Some(match rest.strip_prefix('{') {
        Some(labels) => format!("{name}{{node=\"{node}\",{labels}"),
        None => format!("{name}{{node=\"{node}\"}}{rest}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_stand_together_under_their_node() {
        let text = |count| {
            format!(
                "# HELP a_total All.\n# TYPE a_total counter\na_total{{site=\"x y\"}} {count}\n# HELP b Some.\n# TYPE b gauge\nb 1\n"
            )
        };
        let merged = merge_metrics(&[("fra-1".to_owned(), text(1)), ("syd-1".to_owned(), text(2))]);
        let expected = "# HELP a_total All.\n# TYPE a_total counter\n\
                        a_total{node=\"fra-1\",site=\"x y\"} 1\na_total{node=\"syd-1\",site=\"x y\"} 2\n\
                        # HELP b Some.\n# TYPE b gauge\nb{node=\"fra-1\"} 1\nb{node=\"syd-1\"} 1\n";
        assert_eq!(merged, expected);
    }
}
