//! What each scenario does.

use std::time::Duration;

use super::action::Action;

/// A scenario by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// A few clients for ten seconds: whether all works
    Smoke,
    /// A usual evening: reads, some writes, event streams
    Standard,
    /// Reads alone
    Read,
    /// Writes alone
    Write,
    /// Messages that are sent, read, edited and deleted
    Crud,
    /// Feeds that are read to their ends, page after page
    Pagination,
    /// Forty times as many clients from one second to the next, and back
    Spike,
    /// More and more clients, until the machine can't do more
    Stress,
    /// Half an hour, for what grows slowly
    Soak,
    /// A usual evening on which processes and servers fail one after the other
    Chaos,
    /// 10,000 clients with open connections, 2,100 requests a second in all
    #[value(name = "10k")]
    TenThousand,
}

impl Scenario {
    /// As on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A scenario, perhaps with other clients, another time and other pauses.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    pub scenario: Scenario,
    pub clients: Option<u32>,
    pub seconds: Option<u32>,
    pub pause: Option<Duration>,
}

/// Clients over a while: as many more or fewer each second, until there are so many.
#[derive(Debug, Clone, Copy)]
struct Stage {
    seconds: u32,
    clients: u32,
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    /// In a sentence.
    pub about: String,
    stages: Vec<Stage>,
    /// The mean pause between two requests of a client; each is between half and one and a half of it.
    pub pause: Duration,
    /// What clients do, and how often.
    pub mix: &'static [(Action, u32)],
    /// Sockets that listen to `viewerEvents` beside the clients.
    pub sockets: usize,
    /// The share of requests that may fail.
    pub tolerated: f64,
    /// Whether processes and servers fail.
    pub breaks: bool,
}

const READS: &[(Action, u32)] = &[
    (Action::Feed, 40),
    (Action::User, 20),
    (Action::Post, 20),
    (Action::Notifications, 10),
    (Action::Conversations, 10),
];
const WRITES: &[(Action, u32)] = &[
    (Action::CreateComment, 25),
    (Action::SendMessage, 25),
    (Action::Like, 25),
    (Action::Follow, 15),
    (Action::CreatePost, 10),
];
const EVENING: &[(Action, u32)] = &[
    (Action::Feed, 34),
    (Action::User, 16),
    (Action::Post, 18),
    (Action::Notifications, 8),
    (Action::Conversations, 8),
    (Action::Like, 6),
    (Action::CreateComment, 3),
    (Action::SendMessage, 4),
    (Action::Follow, 2),
    (Action::CreatePost, 1),
];

impl Choice {
    pub fn plan(self) -> Plan {
        let millis = Duration::from_millis;
        // The share of the time, the share of the clients.
        let steady: &[(f64, f64)] = &[(0.15, 1.0), (0.85, 1.0)];
        let (clients, seconds, pause, mix, stages) = match self.scenario {
            Scenario::Smoke => (5, 10, millis(50), EVENING, steady),
            Scenario::Standard | Scenario::Chaos => (200, 60, millis(400), EVENING, steady),
            Scenario::Read => (200, 60, millis(200), READS, steady),
            Scenario::Write => (200, 60, millis(400), WRITES, steady),
            Scenario::Crud => (100, 60, millis(400), &[(Action::Message, 1)][..], steady),
            Scenario::Pagination => (100, 60, millis(100), &[(Action::Page, 1)][..], steady),
            Scenario::Spike => (
                2_000,
                60,
                millis(1_500),
                EVENING,
                &[(0.3, 0.025), (0.0, 1.0), (0.3, 1.0), (0.0, 0.025), (0.4, 0.025)][..],
            ),
            Scenario::Stress => (4_000, 120, millis(500), EVENING, &[(1.0, 1.0)][..]),
            Scenario::Soak => (100, 1_800, millis(400), EVENING, steady),
            Scenario::TenThousand => (10_000, 90, millis(4_760), EVENING, &[(0.3, 1.0), (0.7, 1.0)][..]),
        };
        let (clients, seconds) = (self.clients.unwrap_or(clients), self.seconds.unwrap_or(seconds));
        let pause = self.pause.unwrap_or(pause);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "shares of small numbers"
        )]
        let part = |whole: u32, share: f64| (f64::from(whole) * share).round() as u32;
        // The ends of the stages are rounded, so that together they take the whole time.
        let mut time = 0.0;
        let stages = stages.iter().map(|(share_of_time, share)| {
            let begun = part(seconds, time);
            time += share_of_time;
            Stage { seconds: part(seconds, time) - begun, clients: part(clients, *share).max(1) }
        });
        let stages: Vec<Stage> = stages.collect();
        let breaks = self.scenario == Scenario::Chaos;
        Plan {
            name: self.scenario.name(),
            about: format!(
                "up to {clients} clients for {seconds} s, each with a pause of {} ms on average",
                pause.as_millis()
            ),
            stages,
            pause,
            mix,
            sockets: match self.scenario {
                Scenario::Standard | Scenario::Spike | Scenario::Soak | Scenario::Chaos => 100,
                _ => 0,
            },
            tolerated: match self.scenario {
                Scenario::Chaos => 0.2,
                // To find where refusals begin is what it is for.
                Scenario::Stress => 1.0,
                _ => 0.0,
            },
            breaks,
        }
    }
}

impl Plan {
    pub fn seconds(&self) -> u32 {
        self.stages.iter().map(|stage| stage.seconds).sum()
    }

    pub fn most_clients(&self) -> usize {
        self.stages.iter().map(|stage| stage.clients as usize).max().unwrap_or_default()
    }

    /// How many clients are at work in this second.
    pub fn clients_at(&self, second: u32) -> usize {
        let (mut begun, mut before) = (0, 0);
        for stage in &self.stages {
            if second <= begun + stage.seconds && stage.seconds > 0 {
                let more = i64::from(stage.clients) - i64::from(before);
                let now = i64::from(before) + more * i64::from(second - begun) / i64::from(stage.seconds);
                return usize::try_from(now).unwrap_or_default().max(1);
            }
            (begun, before) = (begun + stage.seconds, stage.clients);
        }
        before as usize
    }

    /// Whether posts are made, for which there must be pictures.
    pub fn posts(&self) -> bool {
        self.mix.iter().any(|(action, _)| *action == Action::CreatePost)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_spike_comes_and_goes_at_once() {
        let plan =
            Choice { scenario: Scenario::Spike, clients: Some(400), seconds: Some(100), pause: None }.plan();
        let at = |second| plan.clients_at(second);
        assert_eq!((at(30), at(31), at(60), at(61), at(100)), (10, 400, 400, 10, 10));
    }

    #[test]
    fn each_scenario_takes_the_time_that_it_was_given() {
        for (scenario, seconds) in Scenario::value_variants().iter().flat_map(|it| [(*it, 5), (*it, 22)]) {
            let plan = Choice { scenario, clients: Some(50), seconds: Some(seconds), pause: None }.plan();
            assert_eq!((plan.seconds(), plan.most_clients()), (seconds, 50), "{scenario:?}");
            assert!((1..=seconds).all(|second| (1..=50).contains(&plan.clients_at(second))), "{scenario:?}");
        }
    }
}
