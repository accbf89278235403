//! What probes of every edge come to: verdicts, what edges say of themselves, and the fitness that
//! name servers read. Pure: outcomes and times come in.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::{AdminState, Config, NodeId, SiteId};
use mapping::{EdgeIndex, Family, Fitness};
use serde::Serialize;

use crate::health::{Health, Outcome, Rules, Verdict};
use crate::outliers::Outliers;
use crate::report::{Report, site_digest};
use crate::saved::Saved;

/// One address to probe.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) edge: EdgeIndex,
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
}

/// What one probe found.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// It answered well; to the fleet, with a report.
    Well(Option<Report>),
    /// It did not: why.
    Ill(String),
}

/// An edge as a name server sees it.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeState {
    /// Verdicts by address.
    pub addresses: BTreeMap<IpAddr, Verdict>,
    /// Whether a verdict may change soon.
    pub changing: bool,
    /// Seconds for which successes do not count yet, because it has fallen often.
    pub held_s: u64,
    /// What it last reported of itself.
    pub report: Option<Report>,
    /// Why the last failed probe failed.
    pub failure: Option<String>,
    /// Whether it is left out because its answers fail, though its probes pass.
    pub failing: bool,
    /// The operator's word in the config: `judged`, `drained` or `forced`.
    pub admin_state: &'static str,
    /// Whether it says itself that it takes no new clients: it is left out as if the config drained it, even where that
    /// forces it.
    pub draining: bool,
}

/// What a finding changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The verdict, to this.
    Verdict(Verdict),
    /// Something else that fitness rests on.
    Other,
    /// Nothing.
    Nothing,
}

impl Changed {
    /// Something else beside this.
    fn or_other(self) -> Self {
        if self == Self::Nothing { Self::Other } else { self }
    }
}

/// What is learned of addresses and edges; it outlives a config.
#[derive(Debug, Default)]
pub(crate) struct Known {
    health: HashMap<IpAddr, Health>,
    /// The sites each edge was last seen to have.
    sites: HashMap<NodeId, Arc<SiteSet>>,
    /// The sites of the last configs, the newest first: an edge may go back to one.
    sets: VecDeque<Arc<SiteSet>>,
    said: HashMap<NodeId, Said>,
    outliers: Outliers,
}

/// The sites of a config, and the digest by which an edge tells that it has them.
#[derive(Debug)]
struct SiteSet {
    digest: String,
    sites: HashSet<SiteId>,
}

/// Configs whose sites are remembered.
const SETS: usize = 8;

/// What was last heard of an edge, for people.
#[derive(Debug, Default)]
struct Said {
    report: Option<Report>,
    failure: Option<String>,
}

impl Said {
    /// Whether its last report, which is nothing where it answered without, asks for no new clients.
    fn is_draining(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.draining)
    }
}

/// The fitness of a config's edges where nothing is known of them but the operator's word.
#[must_use]
pub fn unprobed_fitness(config: &Config) -> Fitness {
    Judge::new(config).fitness(&Known::default())
}

/// The edges and sites of one config, and how they are judged.
#[derive(Debug)]
pub(crate) struct Judge {
    targets: Vec<Target>,
    edges: Vec<NodeId>,
    /// The operator's word on each.
    admin_states: Vec<AdminState>,
    /// The edges of each PoP.
    pops: Vec<Vec<NodeId>>,
    sites: Vec<SiteId>,
    set: Arc<SiteSet>,
    rules: Rules,
}

impl Known {
    /// Starts from saved verdicts.
    pub(crate) fn from_saved(saved: Saved) -> Self {
        let health = saved.into_iter().map(|(address, verdict)| (address, Health::new(verdict))).collect();
        Self { health, ..Self::default() }
    }

    fn of(&self, target: &Target) -> Option<&Health> {
        self.health.get(&target.address.ip())
    }

    /// Whether an edge has last said that it takes no new clients.
    fn said_draining(&self, edge: &NodeId) -> bool {
        self.said.get(edge).is_some_and(Said::is_draining)
    }

    /// Remembers the sites of the config in use.
    fn remember(&mut self, set: &Arc<SiteSet>) {
        if self.sets.front().is_none_or(|newest| newest.digest != set.digest) {
            self.sets.retain(|known| known.digest != set.digest);
            self.sets.push_front(Arc::clone(set));
            self.sets.truncate(SETS);
        }
    }
}

impl SiteSet {
    fn of(sites: &[SiteId]) -> Arc<Self> {
        Arc::new(Self { digest: site_digest(sites.iter()), sites: sites.iter().cloned().collect() })
    }
}

impl Judge {
    pub(crate) fn new(config: &Config) -> Self {
        let health = config.network.health;
        let sites: Vec<SiteId> = config.sites.iter().map(|site| site.id.clone()).collect();
        Self {
            targets: targets(config),
            edges: config.network.edges().map(|(_, edge)| edge.id.clone()).collect(),
            admin_states: config.network.edges().map(|(_, edge)| edge.admin_state).collect(),
            pops: config
                .network
                .pops
                .iter()
                .map(|pop| pop.edges.iter().map(|edge| edge.id.clone()).collect())
                .collect(),
            set: SiteSet::of(&sites),
            sites,
            rules: Rules { fall: health.fall, rise: health.rise },
        }
    }

    /// Every address to probe.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Every edge, by its index in fitness.
    pub(crate) fn edges(&self) -> &[NodeId] {
        &self.edges
    }

    /// Takes a finding in. `now` is any clock that only goes forward.
    pub(crate) fn judge(&self, known: &mut Known, target: &Target, finding: Finding, now: Duration) -> Changed {
        let was_draining = self.is_draining(known, &target.id);
        let outcome = match &finding {
            Finding::Well(_) => Outcome::Success,
            Finding::Ill(_) if known.said_draining(&target.id) => Outcome::Announced,
            Finding::Ill(_) => Outcome::Failure,
        };
        let before = known.health.remove(&target.address.ip()).unwrap_or_else(|| Health::new(Verdict::Up));
        let (verdict, changing) = (before.verdict(), before.is_changing());
        let after = before.judge(outcome, now, self.rules);
        let mut changed = match (after.verdict() == verdict, after.is_changing() == changing) {
            (false, _) => Changed::Verdict(after.verdict()),
            (true, false) => Changed::Other,
            (true, true) => Changed::Nothing,
        };
        known.health.insert(target.address.ip(), after);
        known.remember(&self.set);
        let said = known.said.entry(target.id.clone()).or_default();
        match finding {
            Finding::Well(report) => said.report = report,
            Finding::Ill(why) => said.failure = Some(why),
        }
        // A digest never seen here tells nothing: the edge may be ahead of us.
        let reported = said.report.as_ref().and_then(|report| known.sets.iter().find(|set| set.digest == report.sites));
        if let Some(set) = reported
            && known.sites.get(&target.id).is_none_or(|before| before.digest != set.digest)
        {
            known.sites.insert(target.id.clone(), Arc::clone(set));
            changed = changed.or_other();
        }
        if let Some(report) = &said.report
            && let Some(pop) = self.pops.iter().find(|pop| pop.contains(&target.id))
        {
            known.outliers.hear(&target.id, report, now);
            if known.outliers.judge(pop, now) {
                changed = changed.or_other();
            }
        }
        if self.is_draining(known, &target.id) != was_draining {
            changed = changed.or_other();
        }
        changed
    }

    /// Whether an edge says itself that it takes no new clients: the word of one that is down counts no more.
    fn is_draining(&self, known: &Known, edge: &NodeId) -> bool {
        let is_up = |target: &Target| known.of(target).is_none_or(|health| health.verdict() == Verdict::Up);
        known.said_draining(edge) && self.targets.iter().any(|target| target.id == *edge && is_up(target))
    }

    /// Which edges may be named.
    pub(crate) fn fitness(&self, known: &Known) -> Fitness {
        let mut fitness = Fitness::all_up(self.edges.len());
        for target in &self.targets {
            let health = known.of(target);
            if health.is_some_and(|health| health.verdict() == Verdict::Down) {
                fitness.mark_down(target.edge, Family::of(target.address.ip()));
            }
            if health.is_some_and(Health::is_changing) {
                fitness.mark_changing(target.edge);
            }
        }
        for (edge, id) in self.edges.iter().enumerate() {
            // Without a report nothing is known against the edge.
            let Some(set) = known.sites.get(id).filter(|set| set.digest != self.set.digest) else {
                continue;
            };
            let missing = self.sites.iter().enumerate().filter(|(_, site)| !set.sites.contains(*site));
            missing.for_each(|(site, _)| fitness.mark_missing(edge, site));
        }
        let failing = self.edges.iter().enumerate().filter(|(_, id)| known.outliers.is_failing(id));
        failing.for_each(|(edge, _)| fitness.mark_failing(edge));
        for (edge, state) in self.admin_states.iter().enumerate() {
            match state {
                AdminState::Judged => {}
                AdminState::Drained => fitness.mark_drained(edge),
                AdminState::Forced => fitness.mark_forced(edge),
            }
        }
        // The newer word, and the edge's own: it may be gone in a moment.
        let draining = self.edges.iter().enumerate().filter(|(_, id)| self.is_draining(known, id));
        draining.for_each(|(edge, _)| fitness.mark_drained(edge));
        fitness
    }

    /// Every edge as it is seen at a time.
    pub(crate) fn states(&self, known: &Known, now: Duration) -> BTreeMap<NodeId, EdgeState> {
        let mut states = BTreeMap::new();
        for target in &self.targets {
            let said = known.said.get(&target.id);
            let state: &mut EdgeState = states.entry(target.id.clone()).or_insert_with(|| EdgeState {
                addresses: BTreeMap::new(),
                changing: false,
                held_s: 0,
                report: said.and_then(|said| said.report.clone()),
                failure: said.and_then(|said| said.failure.clone()),
                failing: known.outliers.is_failing(&target.id),
                admin_state: self.admin_states.get(target.edge).map_or("judged", |state| state.as_str()),
                draining: self.is_draining(known, &target.id),
            });
            let health = known.of(target);
            state.addresses.insert(target.address.ip(), health.map_or(Verdict::Up, Health::verdict));
            state.changing |= health.is_some_and(Health::is_changing);
            state.held_s = state.held_s.max(health.map_or(0, |health| health.held(now).as_secs()));
        }
        states
    }

    /// The verdicts to save.
    pub(crate) fn saved(&self, known: &Known) -> Saved {
        let verdict = |target: &Target| known.of(target).map(|health| (target.address.ip(), health.verdict()));
        self.targets.iter().filter_map(verdict).collect()
    }
}

fn targets(config: &Config) -> Vec<Target> {
    let edges = config.network.edges().enumerate();
    let all = edges.flat_map(|(edge, (_, node))| {
        let port = config.network.probe_port(node);
        let addresses = node.addresses.all().iter();
        addresses.map(move |address| Target { edge, id: node.id.clone(), address: SocketAddr::new(*address, port) })
    });
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        let target = |edge, id: &str, last| Target {
            edge,
            id: NodeId::parse(id).unwrap(),
            address: SocketAddr::from(([192, 0, 2, last], 80)),
        };
        let sites = ["blog", "shop"].map(|id| SiteId::parse(id).unwrap());
        Judge {
            targets: vec![target(0, "fra-1", 1), target(1, "fra-2", 2)],
            edges: ["fra-1", "fra-2"].map(|id| NodeId::parse(id).unwrap()).to_vec(),
            admin_states: vec![AdminState::Judged; 2],
            pops: vec![["fra-1", "fra-2"].map(|id| NodeId::parse(id).unwrap()).to_vec()],
            set: SiteSet::of(&sites),
            sites: sites.to_vec(),
            rules: Rules { fall: 2, rise: 2 },
        }
    }

    fn report(sites: String) -> Finding {
        Finding::Well(Some(Report { config_version: 1, sites, ..Report::default() }))
    }

    #[test]
    fn the_operators_word_stands_above_health() {
        let (mut judge, mut known) = (judge(), Known::default());
        let target = judge.targets()[0].clone();
        for at in 1..=2 {
            judge.judge(&mut known, &target, Finding::Ill("refused".to_owned()), Duration::from_secs(at));
        }
        judge.admin_states = vec![AdminState::Forced, AdminState::Drained];
        let fitness = judge.fitness(&known);
        assert!(fitness.is_up(0, Family::V4) && !fitness.is_changing(0) && !fitness.is_drained(0));
        assert!(fitness.is_drained(1));
        assert_eq!(judge.states(&known, Duration::from_secs(3))[&target.id].admin_state, "forced");
    }

    #[test]
    fn an_edge_is_named_until_it_has_failed_twice() {
        let (judge, mut known) = (judge(), Known::default());
        let at = Duration::from_secs;
        let target = judge.targets()[0].clone();
        let ill = || Finding::Ill("refused".to_owned());
        assert_eq!(judge.judge(&mut known, &target, ill(), at(1)), Changed::Other);
        assert!(judge.fitness(&known).is_up(0, Family::V4));
        assert_eq!(judge.judge(&mut known, &target, ill(), at(2)), Changed::Verdict(Verdict::Down));
        assert!(!judge.fitness(&known).is_up(0, Family::V4));
        assert!(judge.fitness(&known).is_up(1, Family::V4));
        let states = judge.states(&known, at(2));
        assert_eq!(states.values().next().unwrap().failure.as_deref(), Some("refused"));
    }

    #[test]
    fn an_edge_without_a_new_site_is_not_named_for_it() {
        let (mut judge, mut known) = (judge(), Known::default());
        let target = judge.targets()[0].clone();
        let before = judge.set.digest.clone();
        let says = |judge: &Judge, known: &mut Known, digest: &str| {
            judge.judge(known, &target, report(digest.to_owned()), Duration::ZERO)
        };
        says(&judge, &mut known, &before);
        judge.sites = ["blog", "news", "shop"].map(|id| SiteId::parse(id).unwrap()).to_vec();
        judge.set = SiteSet::of(&judge.sites);
        let fitness = judge.fitness(&known);
        assert!(fitness.has_site(0, 0) && !fitness.has_site(0, 1) && fitness.has_site(0, 2));
        assert!(fitness.has_site(1, 1), "nothing is known of the other edge");
        let after = judge.set.digest.clone();
        assert_eq!(says(&judge, &mut known, &after), Changed::Other);
        assert!(judge.fitness(&known).has_site(0, 1));
        assert_eq!(says(&judge, &mut known, "a config of later"), Changed::Nothing);
        assert!(judge.fitness(&known).has_site(0, 1));
        // It starts again, with its last good config.
        assert_eq!(says(&judge, &mut known, &before), Changed::Other);
        assert!(!judge.fitness(&known).has_site(0, 1));
    }

    /// What a probe found, by a letter: `d`raining, `w`ell with a report, well with `n`one, `i`ll.
    fn found(letter: char, sites: &str) -> Finding {
        let told = |draining| Report { sites: sites.to_owned(), draining, ..Report::default() };
        match letter {
            'd' => Finding::Well(Some(told(true))),
            'w' => Finding::Well(Some(told(false))),
            'n' => Finding::Well(None),
            _ => Finding::Ill("refused".to_owned()),
        }
    }

    #[test]
    fn an_edge_that_says_that_it_drains_is_left_out_at_once_and_until_it_says_otherwise() {
        // Findings, then: whether it is drained, its verdict, and for how long it is held.
        for (findings, drained, verdict, held) in [
            ("w", false, Verdict::Up, 0),
            ("d", true, Verdict::Up, 0),
            ("dw", false, Verdict::Up, 0),
            ("dn", false, Verdict::Up, 0),
            // It has ended as it said, twice: that is no flapping.
            ("di", true, Verdict::Up, 0),
            ("dii", false, Verdict::Down, 0),
            ("diiwwdii", false, Verdict::Down, 0),
            ("diiww", false, Verdict::Up, 0),
            ("dwiiwwii", false, Verdict::Down, 10),
        ] {
            let (judge, mut known) = (judge(), Known::default());
            let target = judge.targets()[0].clone();
            let sites = judge.set.digest.clone();
            let mut now = Duration::ZERO;
            for letter in findings.chars() {
                now += Duration::from_secs(1);
                let before = judge.fitness(&known);
                let changed = judge.judge(&mut known, &target, found(letter, &sites), now);
                let is_other = judge.fitness(&known) != before;
                assert!(!is_other || changed != Changed::Nothing, "{findings}: a change is told");
            }
            let (fitness, state) = (judge.fitness(&known), judge.states(&known, now)[&target.id].clone());
            assert_eq!((fitness.is_drained(0), state.draining), (drained, drained), "{findings}");
            assert_eq!(state.addresses.values().next(), Some(&verdict), "{findings}");
            assert_eq!(state.held_s, held, "{findings}");
        }
    }

    #[test]
    fn an_edge_that_drains_is_left_out_even_where_the_config_forces_it() {
        let (mut judge, mut known) = (judge(), Known::default());
        judge.admin_states = vec![AdminState::Forced, AdminState::Judged];
        let (target, sites) = (judge.targets()[0].clone(), judge.set.digest.clone());
        judge.judge(&mut known, &target, found('d', &sites), Duration::from_secs(1));
        assert!(judge.fitness(&known).is_drained(0));
    }

    #[test]
    fn a_report_of_an_older_edge_drains_nothing() {
        let told = r#"{"config_version":1,"sites":"x","connections":0,"requests":0,"bytes":0}"#;
        assert!(!serde_json::from_str::<Report>(told).unwrap().draining);
    }

    #[test]
    fn an_edge_that_fell_twice_is_seen_to_be_held() {
        let (judge, mut known) = (judge(), Known::default());
        let target = judge.targets()[0].clone();
        let mut now = 0;
        for outcome in ["ill", "ill", "well", "well", "ill", "ill"] {
            now += 1;
            let finding = if outcome == "ill" { Finding::Ill("refused".to_owned()) } else { Finding::Well(None) };
            judge.judge(&mut known, &target, finding, Duration::from_secs(now));
        }
        assert_eq!(judge.states(&known, Duration::from_secs(now)).values().next().unwrap().held_s, 10);
    }
}
