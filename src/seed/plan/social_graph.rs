//! Who is known to whom.

use std::collections::{HashMap, HashSet};

use rand::RngExt;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The demo person's place in the list of people.
pub const DEMO: usize = 0;
const DEMO_FOLLOWS: usize = 40;
const DEMO_FOLLOWERS: usize = 30;

/// How people hang together.
pub struct SocialGraph {
    /// Follower, followed.
    pub follows: Vec<(usize, usize)>,
    followers: HashMap<usize, Vec<usize>>,
    pub followed: HashMap<usize, Vec<usize>>,
    /// Everybody, the known more often.
    pub known: WeightedIndex<f64>,
}

impl SocialGraph {
    /// Draws who follows whom among so many people.
    pub fn draw(count: usize, random: &mut StdRng) -> Self {
        let mut ranks: Vec<usize> = (1..count).collect();
        ranks.shuffle(random);
        let weights = std::iter::once(0.0).chain(ranks.iter().map(|rank| 1.0 / size_of(*rank)));
        let known = WeightedIndex::new(weights).expect("two people or more, most with a weight");
        let mut edges = HashSet::new();
        let mut follows = Vec::new();
        let mut add = |follower, followed| {
            if follower != followed && edges.insert((follower, followed)) {
                follows.push((follower, followed));
            }
        };
        for followed in distinct(DEMO_FOLLOWS.min(count - 1), &known, random) {
            add(DEMO, followed);
        }
        for follower in rand::seq::index::sample(random, count - 1, DEMO_FOLLOWERS.min(count - 1)) {
            add(follower + 1, DEMO);
        }
        for follower in 1..count {
            let wanted = long_tail(8.0, random).min(120).min(count / 2);
            for followed in distinct(wanted, &known, random) {
                add(follower, followed);
            }
        }
        let (mut followers, mut followed) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (follower, of) in &follows {
            followers.entry(*of).or_default().push(*follower);
            followed.entry(*follower).or_default().push(*of);
        }
        Self { follows, followers, followed, known }
    }

    /// Somebody who may react to what this person does: mostly one who follows.
    pub fn neighbour(&self, person: usize, random: &mut StdRng) -> usize {
        match self.followers.get(&person) {
            Some(followers) if random.random_bool(0.75) => followers[random.random_range(0..followers.len())],
            _ => self.known.sample(random),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rank is small")]
fn size_of(rank: usize) -> f64 {
    (rank as f64).powf(0.8)
}

/// So many different people, the known more often; fewer where chance is against it.
fn distinct(wanted: usize, known: &WeightedIndex<f64>, random: &mut StdRng) -> Vec<usize> {
    let mut seen = HashSet::new();
    let tries = std::iter::repeat_with(|| known.sample(random)).take(wanted * 20);
    tries.filter(|person| seen.insert(*person)).take(wanted).collect()
}

/// A number of Pareto's distribution: mostly little more than the least, at times many times that.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and bounded by 2000 times the least"
)]
pub fn long_tail(least: f64, random: &mut StdRng) -> usize {
    let even: f64 = random.random_range(0.0001..1.0);
    (least * even.powf(-0.8)) as usize
}
