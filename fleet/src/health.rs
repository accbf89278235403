//! The verdict on one address of an edge. Pure: outcomes and times come in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many outcomes change a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Failures in a row that take it down.
    pub fall: u8,
    /// Successes in a row that bring it up.
    pub rise: u8,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered 200 in time.
    Success,
    /// Anything else.
    Failure,
    /// A failure of an edge that had said that it takes no new clients: it takes it down, and is no fall that would keep it
    /// out for longer when it comes back.
    Announced,
}

/// Whether clients are sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// They are.
    Up,
    /// They are not.
    Down,
}

/// What is known of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    verdict: Verdict,
    /// Outcomes in a row that speak against the verdict.
    against: u8,
    /// When it fell, within the damping window; the newest last.
    falls: Vec<Duration>,
}

/// Falls within this time count together.
const WINDOW: Duration = Duration::from_secs(300);
/// Each further fall in the window keeps an edge out this much longer, so that an edge that comes
/// and goes each second changes answers at most once in ten.
const STEP: Duration = Duration::from_secs(10);
/// The longest an edge is kept out for having fallen often.
const MOST_HELD: Duration = Duration::from_secs(300);

impl Health {
    /// Starts from a verdict: the saved one, else up, since an unknown edge is more likely well.
    #[must_use]
    pub fn new(verdict: Verdict) -> Self {
        Self { verdict, against: 0, falls: Vec::new() }
    }

    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether an outcome against the verdict has been counted: it may change soon.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.against > 0
    }

    /// How much longer successes do not count, because it has fallen often.
    #[must_use]
    pub fn held(&self, now: Duration) -> Duration {
        match self.verdict {
            Verdict::Up => Duration::ZERO,
            Verdict::Down => self.held_until().saturating_sub(now),
        }
    }

    /// Takes a probe's outcome in. `now` is any clock that only goes forward.
    #[must_use]
    pub fn judge(mut self, outcome: Outcome, now: Duration, rules: Rules) -> Self {
        match (self.verdict, outcome) {
            (Verdict::Up, Outcome::Success) | (Verdict::Down, Outcome::Failure | Outcome::Announced) => {
                self.against = 0;
            }
            (Verdict::Up, Outcome::Failure) => {
                self.against = self.against.saturating_add(1);
                if self.against >= rules.fall {
                    self.fall(now);
                }
            }
            (Verdict::Up, Outcome::Announced) => {
                self.against = self.against.saturating_add(1);
                if self.against >= rules.fall {
                    self.verdict = Verdict::Down;
                    self.against = 0;
                }
            }
            (Verdict::Down, Outcome::Success) if now < self.held_until() => {}
            (Verdict::Down, Outcome::Success) => {
                self.against = self.against.saturating_add(1);
                if self.against >= rules.rise {
                    self.verdict = Verdict::Up;
                    self.against = 0;
                }
            }
        }
        self
    }

    fn fall(&mut self, now: Duration) {
        self.falls.retain(|fall| now.saturating_sub(*fall) < WINDOW);
        self.falls.push(now);
        self.verdict = Verdict::Down;
        self.against = 0;
    }

    /// Successes count only from here.
    fn held_until(&self) -> Duration {
        let further = u32::try_from(self.falls.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let held = STEP.saturating_mul(further).min(MOST_HELD);
        self.falls.last().map_or(Duration::ZERO, |fall| *fall + held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules { fall: 2, rise: 5 };

    /// Feeds one outcome a second (`+`, `-`, or `~` for a failure that was announced) and draws the verdict after each (`U` or `D`).
    fn run(outcomes: &str) -> String {
        let mut health = Health::new(Verdict::Up);
        let mut drawn = String::new();
        for (second, outcome) in (0..).zip(outcomes.chars()) {
            let outcome = match outcome {
                '+' => Outcome::Success,
                '~' => Outcome::Announced,
                _ => Outcome::Failure,
            };
            health = health.judge(outcome, Duration::from_secs(second), RULES);
            drawn.push(if health.verdict() == Verdict::Up { 'U' } else { 'D' });
        }
        drawn
    }

    #[test]
    fn verdicts_change_after_enough_outcomes_in_a_row() {
        for (outcomes, verdicts) in
            [("+-+-+-", "UUUUUU"), ("--", "UD"), ("--+++++", "UDDDDDU"), ("--++++-+++++", "UDDDDDDDDDDU")]
        {
            assert_eq!(run(outcomes), verdicts, "{outcomes}");
        }
    }

    #[test]
    fn a_second_fall_is_held_ten_seconds() {
        let outcomes = format!("--+++++--{}", "+".repeat(20));
        let verdicts = run(&outcomes);
        // It falls again at second 8 and is held to 18; five successes from there end at 22.
        assert_eq!(verdicts.find('U').map(|_| verdicts.rfind('D')), Some(Some(21)));
    }

    #[test]
    fn who_ends_as_announced_comes_back_as_ever() {
        let thrice = "~~+++++".repeat(3);
        assert_eq!(run(&thrice), "UDDDDDU".repeat(3));
        assert_eq!(run("~-"), "UD", "both speak against it");
    }

    proptest! {
        #[test]
        fn answers_change_at_most_twice_in_ten_seconds(outcomes in proptest::collection::vec(any::<bool>(), 0..400)) {
            let text: String = outcomes.iter().map(|up| if *up { '+' } else { '-' }).collect();
            let verdicts: Vec<char> = run(&text).chars().collect();
            let changes: Vec<usize> = (1..verdicts.len()).filter(|at| verdicts[*at] != verdicts[at - 1]).collect();
            // After the first fall, an edge that is down stays so for `rise` seconds and more each time.
            for pair in changes.windows(2) {
                if verdicts[pair[0]] == 'D' { prop_assert!(pair[1] - pair[0] >= 5); }
            }
            for many in changes.windows(4) {
                prop_assert!(many[3] - many[0] >= 10, "{:?}", many);
            }
        }
    }
}
