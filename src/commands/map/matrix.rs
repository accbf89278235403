//! Round trips between nodes, and where nodes are, read from files.

use std::path::Path;

use config::Location;

use crate::exit::Failure;

/// More nodes than this are no test of a map, but a mistake.
const MOST_NODES: usize = 5_000;

/// Round trips in milliseconds from each node to each; none where they are not known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    rows: Vec<Vec<Option<f64>>>,
}

/// A node with its name and place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) location: Location,
}

impl Matrix {
    /// Reads lines of numbers separated by commas, spaces or semicolons. What is no positive number is not known.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        Self::parse(&text(path)?).map_err(|why| Failure::operator(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let known = |cell: &str| cell.trim().parse().ok().filter(|ms: &f64| ms.is_finite() && *ms > 0.0);
        let separators = [',', ';', '\t', ' '];
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let rows: Vec<(usize, Vec<Option<f64>>)> =
            lines.map(|(number, line)| (number + 1, line.trim().split(separators).map(known).collect())).collect();
        if rows.is_empty() || rows.len() > MOST_NODES {
            return Err(format!("it has {} rows; 1 to {MOST_NODES} can be read", rows.len()));
        }
        let wanted = rows.len();
        if let Some((number, row)) = rows.iter().find(|(_, row)| row.len() != wanted) {
            return Err(format!(
                "line {number} has {} numbers, but there are {wanted} rows: a square is wanted",
                row.len()
            ));
        }
        Ok(Self { rows: rows.into_iter().map(|(_, row)| row).collect() })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The round trip between two nodes: as measured from the first, else from the second.
    pub(super) fn between(&self, a: usize, b: usize) -> Option<f64> {
        let at = |a: usize, b: usize| self.rows.get(a).and_then(|row| row.get(b)).copied().flatten();
        at(a, b).or_else(|| at(b, a))
    }
}

/// Reads `name,latitude,longitude` lines; a heading is passed over.
pub(super) fn read_nodes(path: &Path) -> Result<Vec<Node>, Failure> {
    parse_nodes(&text(path)?).map_err(|why| Failure::operator(format!("{}: {why}", path.display())))
}

fn parse_nodes(text: &str) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let degrees = |at: usize, most: f64| {
            cells.get(at).and_then(|cell| cell.parse().ok()).filter(|degrees: &f64| degrees.abs() <= most)
        };
        let is_heading = number == 0 && cells.get(1).is_some_and(|cell| cell.parse::<f64>().is_err());
        if line.trim().is_empty() || line.starts_with('#') || is_heading {
            continue;
        }
        let (Some(latitude), Some(longitude)) = (degrees(1, 90.0), degrees(2, 180.0)) else {
            return Err(format!("line {}: `{line}` is not `name,latitude,longitude`", number + 1));
        };
        let name = cells.first().copied().unwrap_or_default().to_owned();
        nodes.push(Node { name, location: Location { latitude, longitude } });
    }
    Ok(nodes)
}

/// What to do where a file cannot be read.
const FILES: &str = "name a file as `hither map bench --help` says";

fn text(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error, FILES))?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(Failure::operator(format!("{} is compressed: unpack it with gunzip", path.display())));
    }
    String::from_utf8(bytes).map_err(|_| Failure::operator(format!("{} is not text", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_asked_the_other_way() {
        let matrix = Matrix::parse("nan, 10\n-, 0\n").unwrap_err();
        assert!(matrix.contains("line 1 has 3 numbers"), "{matrix}");
        let matrix = Matrix::parse("nan,10,nan\n12,nan,nan\n30,nan,nan\n").unwrap();
        assert_eq!((matrix.between(0, 1), matrix.between(1, 0)), (Some(10.0), Some(12.0)));
        assert_eq!((matrix.between(0, 2), matrix.between(1, 2)), (Some(30.0), None));
        assert!(Matrix::parse("").unwrap_err().contains("0 rows"));
    }

    #[test]
    fn nodes_are_read_with_and_without_a_heading() {
        for text in ["name,lat,lon\nfra,50.1,8.7\n", "fra, 50.1, 8.7\n\n# a remark\n"] {
            let nodes = parse_nodes(text).unwrap();
            assert_eq!((nodes.len(), nodes[0].name.as_str(), nodes[0].location.latitude), (1, "fra", 50.1));
        }
        assert!(parse_nodes("fra,50.1,8.7\nsyd,-133.9,151.2\n").unwrap_err().contains("line 2"));
    }
}
