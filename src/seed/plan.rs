//! Who there is and what they do, drawn from the seed: the same size and seed give the same network, so
//! that an interrupted seeding can be taken up again.

use std::collections::{HashMap, HashSet};

use fake::Fake;
use fake::faker::name;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use unicode_normalization::UnicodeNormalization;

use super::picture::{Picture, Shape};
use super::words::{self, Topic};
use super::{DEMO_LOGIN, Size};

/// The demo person's place in the list of people.
pub const DEMO: usize = 0;
const DEMO_FOLLOWS: usize = 40;
const DEMO_FOLLOWERS: usize = 30;
const DEMO_POSTS: usize = 12;
const DEMO_TALKS: usize = 12;

/// Somebody. People are known by their place in [`Plan::people`].
#[derive(Debug, Clone)]
pub struct Person {
    pub username: String,
    pub full_name: String,
    pub bio: Option<String>,
    pub avatar: Option<Picture>,
}

#[derive(Debug, Clone)]
pub struct Post {
    pub author: usize,
    /// No two posts of one author have the same.
    pub caption: String,
    pub location: Option<&'static str>,
    pub pictures: Vec<Picture>,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub author: usize,
    pub text: String,
    /// Which of the post's comments it answers.
    pub answers: Option<usize>,
}

/// Where a conversation takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Between these two.
    Direct(usize, usize),
    /// In the thread of this post.
    Thread(usize),
}

#[derive(Debug, Clone)]
pub struct Talk {
    pub place: Place,
    /// Who says what, the oldest first.
    pub lines: Vec<(usize, &'static str)>,
}

/// A whole network.
#[derive(Debug)]
pub struct Plan {
    pub people: Vec<Person>,
    /// Who follows whom: follower, followed.
    pub follows: Vec<(usize, usize)>,
    pub posts: Vec<Post>,
    /// Who likes which post.
    pub likes: Vec<(usize, usize)>,
    /// Which post has which comments.
    pub comments: Vec<(usize, Vec<Comment>)>,
    pub talks: Vec<Talk>,
}

impl Plan {
    /// Draws a network of this size.
    pub fn draw(size: &Size) -> Self {
        // A generator for each part, so that one part's length does not change the next.
        let random = |part: u64| StdRng::seed_from_u64(size.seed.wrapping_mul(31).wrapping_add(part));
        let people = people(size, &mut random(1));
        let crowd = Crowd::draw(people.len(), &mut random(2));
        let posts = posts(size, &people, &crowd, &mut random(3));
        Self {
            likes: likes(&posts, &crowd, &mut random(4)),
            comments: comments(&people, &posts, &crowd, &mut random(5)),
            talks: talks(&posts, &crowd, &mut random(6)),
            follows: crowd.follows,
            people,
            posts,
        }
    }
}

fn people(size: &Size, random: &mut StdRng) -> Vec<Person> {
    let mut taken = HashSet::from([DEMO_LOGIN.to_owned()]);
    let demo = Person {
        username: DEMO_LOGIN.to_owned(),
        full_name: "Demo Person".to_owned(),
        bio: Some("Here to look around. Sign in as me!".to_owned()),
        avatar: Some(avatar(random)),
    };
    let others = (1..size.users.max(2)).map(|_| {
        let (first, last) = full_name(random);
        let username = username(&first, &last, &mut taken, random);
        let bio = random.random_bool(0.8).then(|| words::bio(random));
        let avatar = random.random_bool(0.85).then(|| avatar(random));
        Person { username, full_name: format!("{first} {last}"), bio, avatar }
    });
    std::iter::once(demo).chain(others.collect::<Vec<_>>()).collect()
}

fn avatar(random: &mut StdRng) -> Picture {
    Picture { number: random.random(), topic: Topic::draw(random), shape: Shape::Small }
}

fn full_name(random: &mut StdRng) -> (String, String) {
    macro_rules! of {
        ($language:ident) => {
            (
                name::$language::FirstName().fake_with_rng(random),
                name::$language::LastName().fake_with_rng(random),
            )
        };
    }
    match random.random_range(0..10) {
        0 => of!(fr_fr),
        1 => of!(de_de),
        2 => of!(it_it),
        3 => of!(pt_br),
        4 => of!(nl_nl),
        5 => of!(tr_tr),
        _ => of!(en),
    }
}

/// A name that a person of this name would take, and nobody in `taken` has.
fn username(first: &str, last: &str, taken: &mut HashSet<String>, random: &mut StdRng) -> String {
    let plain = |text: &str| -> String {
        let letters = text.nfd().filter(char::is_ascii_alphanumeric);
        letters.map(|letter| letter.to_ascii_lowercase()).take(11).collect()
    };
    let (first, last) = (plain(first), plain(last));
    let base = match random.random_range(0..7) {
        0 => format!("{first}{last}"),
        1 => format!("{first}_{last}"),
        2 => format!("{last}.{first}"),
        3 => format!("{first}.outside"),
        4 => format!("{first}{:02}", random.random_range(0..100)),
        5 => format!("its.{first}"),
        _ => format!("{first}.{last}"),
    };
    let mut numbers = (2..).map(|number: u32| format!("{base}{number}"));
    let mut name = base.clone();
    while !taken.insert(name.clone()) {
        name = numbers.next().unwrap_or_default();
    }
    name
}

/// How people hang together.
struct Crowd {
    follows: Vec<(usize, usize)>,
    followers: HashMap<usize, Vec<usize>>,
    followed: HashMap<usize, Vec<usize>>,
    /// Everybody, the known more often.
    known: WeightedIndex<f64>,
}

impl Crowd {
    fn draw(count: usize, random: &mut StdRng) -> Self {
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
    fn neighbour(&self, person: usize, random: &mut StdRng) -> usize {
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
fn long_tail(least: f64, random: &mut StdRng) -> usize {
    let even: f64 = random.random_range(0.0001..1.0);
    (least * even.powf(-0.8)) as usize
}

fn posts(size: &Size, people: &[Person], crowd: &Crowd, random: &mut StdRng) -> Vec<Post> {
    let mut captions = HashSet::new();
    let mut posts: Vec<Post> = (0..size.posts)
        .map(|number| {
            let own = number < DEMO_POSTS.min(size.posts / 4);
            let author = match random.random_range(0..3) {
                _ if own => DEMO,
                0 => random.random_range(1..people.len()),
                _ => crowd.known.sample(random),
            };
            let topic = Topic::draw(random);
            let friend =
                crowd.followed.get(&author).filter(|_| random.random_bool(0.15)).map(|followed| {
                    people[followed[random.random_range(0..followed.len())]].username.as_str()
                });
            let mut caption = topic.caption(random, friend);
            while !captions.insert((author, caption.clone())) {
                caption = format!("{} · {}", topic.caption(random, friend), random.random_range(2..1000));
            }
            let count = if random.random_bool(0.06) { random.random_range(2..=3) } else { 1 };
            let pictures =
                (0..count).map(|_| Picture { number: random.random(), topic, shape: Shape::Small });
            let pictures = pictures.collect();
            let location = random.random_bool(0.6).then(|| topic.place(random));
            Post { author, caption, location, pictures }
        })
        .collect();
    posts.shuffle(random);
    enlarge(&mut posts, size.images, crowd, random);
    posts
}

/// Gives so many posts images of full size: those first that the demo person sees first.
fn enlarge(posts: &mut [Post], images: usize, crowd: &Crowd, random: &mut StdRng) {
    let seen: HashSet<usize> =
        crowd.followed.get(&DEMO).into_iter().flatten().copied().chain([DEMO]).collect();
    let mut order: Vec<usize> = (0..posts.len()).rev().collect();
    order.sort_by_key(|post| !seen.contains(&posts[*post].author));
    for post in order.into_iter().take(images) {
        for picture in &mut posts[post].pictures {
            picture.shape = [Shape::Portrait, Shape::Portrait, Shape::Square, Shape::Landscape]
                [random.random_range(0..4)];
        }
    }
}

fn likes(posts: &[Post], crowd: &Crowd, random: &mut StdRng) -> Vec<(usize, usize)> {
    let mut likes = Vec::new();
    for (index, post) in posts.iter().enumerate() {
        let wanted = long_tail(1.6, random).min(150);
        let tries = std::iter::repeat_with(|| crowd.neighbour(post.author, random)).take(wanted);
        let people: HashSet<usize> = tries.filter(|person| *person != post.author).collect();
        let mut people: Vec<usize> = people.into_iter().collect();
        people.sort_unstable();
        likes.extend(people.into_iter().map(|person| (person, index)));
    }
    likes.shuffle(random);
    likes
}

fn comments(
    people: &[Person],
    posts: &[Post],
    crowd: &Crowd,
    random: &mut StdRng,
) -> Vec<(usize, Vec<Comment>)> {
    let of_post = |post: &Post, random: &mut StdRng| {
        let mut comments: Vec<Comment> = Vec::new();
        for number in 0..long_tail(0.6, random).min(40) {
            let answers = (number > 0 && random.random_bool(0.35)).then(|| random.random_range(0..number));
            let comment = match answers {
                Some(answered) => {
                    let author = if random.random_bool(0.7) {
                        post.author
                    } else {
                        crowd.neighbour(post.author, random)
                    };
                    let whom = &people[comments[answered].author].username;
                    Comment { author, text: format!("@{whom} {}", words::reply(random)), answers }
                }
                None => Comment {
                    author: crowd.neighbour(post.author, random),
                    text: words::comment(random).to_owned(),
                    answers,
                },
            };
            comments.push(comment);
        }
        comments
    };
    let all = posts.iter().enumerate().map(|(index, post)| (index, of_post(post, random)));
    all.filter(|(_, comments)| !comments.is_empty()).collect()
}

fn talks(posts: &[Post], crowd: &Crowd, random: &mut StdRng) -> Vec<Talk> {
    let mut pairs = HashSet::new();
    let mut talks = Vec::new();
    let (of_demo, others): (Vec<_>, Vec<_>) =
        crowd.follows.iter().copied().partition(|(follower, _)| *follower == DEMO);
    let wanted = others.len() / 40;
    let step = (others.len() / wanted.max(1)).max(1);
    for (one, other) in of_demo.into_iter().take(DEMO_TALKS).chain(others.into_iter().step_by(step)) {
        if pairs.insert((one.min(other), one.max(other))) {
            let lines =
                lines(
                    random.random_range(2..12),
                    random,
                    |random| {
                        if random.random_bool(0.5) { one } else { other }
                    },
                );
            talks.push(Talk { place: Place::Direct(one, other), lines });
        }
    }
    for index in (0..posts.len()).rev().step_by(40) {
        let author = posts[index].author;
        let lines = lines(random.random_range(2..8), random, |random| {
            if random.random_bool(0.3) { author } else { crowd.neighbour(author, random) }
        });
        talks.push(Talk { place: Place::Thread(index), lines });
    }
    talks
}

fn lines(
    count: usize,
    random: &mut StdRng,
    mut speaker: impl FnMut(&mut StdRng) -> usize,
) -> Vec<(usize, &'static str)> {
    let mut lines = vec![(speaker(random), words::opener(random))];
    lines.extend((1..count).map(|_| (speaker(random), words::message(random))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_network() {
        let (one, other) = (Plan::draw(&Size::default()), Plan::draw(&Size::default()));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn the_network_is_believable() {
        let size = Size::default();
        let plan = Plan::draw(&size);
        assert_eq!((plan.people.len(), plan.posts.len()), (size.users, size.posts));
        let of_demo = plan.follows.iter().filter(|(follower, _)| *follower == DEMO).count();
        let to_demo = plan.follows.iter().filter(|(_, followed)| *followed == DEMO).count();
        assert!((35..=40).contains(&of_demo) && (25..=35).contains(&to_demo), "{of_demo} {to_demo}");
        let mut counts = vec![0; size.users];
        plan.follows.iter().for_each(|(_, followed)| counts[*followed] += 1);
        counts.sort_unstable();
        assert!(counts[size.users - 1] > 5 * counts[size.users / 2], "{counts:?}");
        assert!((6_000..20_000).contains(&plan.likes.len()), "{}", plan.likes.len());
        let comments: usize = plan.comments.iter().map(|(_, comments)| comments.len()).sum();
        assert!((2_000..6_000).contains(&comments), "{comments}");
        let full = plan.posts.iter().filter(|post| post.pictures[0].shape != Shape::Small).count();
        assert_eq!(full, size.images);
        for person in &plan.people {
            assert!(crate::domain::text::Username::parse("", &person.username).is_ok(), "{person:?}");
        }
    }

    #[test]
    fn a_tiny_network_can_be_drawn() {
        let plan = Plan::draw(&Size { users: 0, posts: 3, images: 9, seed: 7 });
        assert_eq!((plan.people.len(), plan.posts.len()), (2, 3));
    }
}
