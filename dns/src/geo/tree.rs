//! The search tree of a database: that walking it ends.

use maxminddb::Metadata;

/// Networks per node that a tree may seem to have. One without shared branches has a network more
/// than nodes in all; some writers share a branch that occurs twice.
const NETWORKS_PER_NODE: u32 = 4;
/// Bits before an IPv4 address in an IPv6 tree.
const BEFORE_V4: u8 = 96;

/// Checks that a walk through the tree ends in reasonable time. A broken file may name a branch
/// again and again: within itself, without end; twice at each level, nearly so.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check(bytes: &[u8], metadata: &Metadata) -> Result<(), String> {
    let tree = Tree { bytes, nodes: metadata.node_count, record_bits: metadata.record_size };
    let mut counts = Counts { networks: vec![UNKNOWN; index(tree.nodes)], tree };
    let mut networks = 0;
    if metadata.ip_version == 6 {
        // IPv6 trees name their IPv4 branch elsewhere too; the walk passes it over there.
        let v4 = counts.tree.v4_root();
        networks = counts.below(v4)?;
        counts.note(v4, 1);
    }
    networks = counts.below(0)?.saturating_add(networks);
    if networks / NETWORKS_PER_NODE > metadata.node_count {
        return Err(format!("its search tree of {} nodes has {networks} networks or more", metadata.node_count));
    }
    Ok(())
}

/// The networks below nodes, whether they have a record or not.
struct Counts<'a> {
    networks: Vec<u32>,
    tree: Tree<'a>,
}

/// Not counted yet.
const UNKNOWN: u32 = 0;
/// Being counted: whoever comes by then goes round in a circle.
const OPEN: u32 = u32::MAX;

enum Step {
    Enter(u32),
    Leave(u32, [u32; 2]),
}

impl Counts<'_> {
    /// Counts, up to a number that is too high anyway.
    fn below(&mut self, root: u32) -> Result<u32, String> {
        let mut steps = vec![Step::Enter(root)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(node) => match self.known(node) {
                    OPEN => return Err(format!("node {node} of its search tree is below itself")),
                    UNKNOWN => {
                        self.note(node, OPEN);
                        let children = self.tree.children(node);
                        steps.push(Step::Leave(node, children));
                        steps.extend(children.map(Step::Enter));
                    }
                    _ => {}
                },
                Step::Leave(node, [left, right]) => {
                    let sum = self.known(left).saturating_add(self.known(right));
                    self.note(node, sum.min(OPEN - 1));
                }
            }
        }
        Ok(self.known(root))
    }

    /// What is known of a node; beyond the nodes there are networks.
    fn known(&self, node: u32) -> u32 {
        self.networks.get(index(node)).copied().unwrap_or(1)
    }

    fn note(&mut self, node: u32, networks: u32) {
        if let Some(known) = self.networks.get_mut(index(node)) {
            *known = networks;
        }
    }
}

/// The nodes as they lie in the file, two records each.
struct Tree<'a> {
    bytes: &'a [u8],
    nodes: u32,
    record_bits: u16,
}

impl Tree<'_> {
    /// The node below which IPv4 addresses lie in an IPv6 tree.
    fn v4_root(&self) -> u32 {
        (0..BEFORE_V4).fold(0, |node, _| if node < self.nodes { self.children(node)[0] } else { node })
    }

    /// Both records of a node. What lies outside the file is no node.
    fn children(&self, node: u32) -> [u32; 2] {
        let node_bytes = usize::from(self.record_bits / 4);
        let at = index(node).saturating_mul(node_bytes);
        match self.bytes.get(at..at.saturating_add(node_bytes)) {
            Some(&[a, b, c, d, e, f]) => [[0, a, b, c], [0, d, e, f]].map(u32::from_be_bytes),
            // The byte in the middle has the highest four bits of both.
            Some(&[a, b, c, high, d, e, f]) => [[high >> 4, a, b, c], [high & 0xf, d, e, f]].map(u32::from_be_bytes),
            Some(&[a, b, c, d, e, f, g, h]) => [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes),
            _ => [self.nodes, self.nodes],
        }
    }
}

fn index(node: u32) -> usize {
    usize::try_from(node).unwrap_or(usize::MAX)
}
