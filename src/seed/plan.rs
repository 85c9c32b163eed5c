//! Who there is and what they do, drawn from the seed: the same size and seed give the same network, so
//! that an interrupted seeding can be taken up again.

mod people;
mod social_graph;

use std::collections::HashSet;

use imaging::landscape::{Picture, Shape};
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::size::Size;
use super::words;
pub use people::Person;
use social_graph::{DEMO, SocialGraph, long_tail};

const DEMO_POSTS: usize = 12;
const DEMO_TALKS: usize = 12;

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
        let people = people::draw(size, &mut random(1));
        let graph = SocialGraph::draw(people.len(), &mut random(2));
        let posts = posts(size, &people, &graph, &mut random(3));
        Self {
            likes: likes(&posts, &graph, &mut random(4)),
            comments: comments(&people, &posts, &graph, &mut random(5)),
            talks: talks(&posts, &graph, &mut random(6)),
            follows: graph.follows,
            people,
            posts,
        }
    }
}

fn posts(size: &Size, people: &[Person], graph: &SocialGraph, random: &mut StdRng) -> Vec<Post> {
    let mut captions = HashSet::new();
    let mut posts: Vec<Post> = (0..size.posts)
        .map(|number| {
            let own = number < DEMO_POSTS.min(size.posts / 4);
            let author = match random.random_range(0..3) {
                _ if own => DEMO,
                0 => random.random_range(1..people.len()),
                _ => graph.known.sample(random),
            };
            let scenery = words::scenery(random);
            let friend =
                graph.followed.get(&author).filter(|_| random.random_bool(0.15)).map(|followed| {
                    people[followed[random.random_range(0..followed.len())]].username.as_str()
                });
            let mut caption = words::caption(scenery, random, friend);
            while !captions.insert((author, caption.clone())) {
                caption =
                    format!("{} · {}", words::caption(scenery, random, friend), random.random_range(2..1000));
            }
            let count = if random.random_bool(0.06) { random.random_range(2..=3) } else { 1 };
            let pictures =
                (0..count).map(|_| Picture { number: random.random(), scenery, shape: Shape::Small });
            let pictures = pictures.collect();
            let location = random.random_bool(0.6).then(|| words::place(scenery, random));
            Post { author, caption, location, pictures }
        })
        .collect();
    posts.shuffle(random);
    enlarge(&mut posts, size.images, graph, random);
    posts
}

/// Gives so many posts images of full size: those first that the demo person sees first.
fn enlarge(posts: &mut [Post], images: usize, graph: &SocialGraph, random: &mut StdRng) {
    let seen: HashSet<usize> =
        graph.followed.get(&DEMO).into_iter().flatten().copied().chain([DEMO]).collect();
    let mut order: Vec<usize> = (0..posts.len()).rev().collect();
    order.sort_by_key(|post| !seen.contains(&posts[*post].author));
    for post in order.into_iter().take(images) {
        for picture in &mut posts[post].pictures {
            picture.shape = [Shape::Portrait, Shape::Portrait, Shape::Square, Shape::Landscape]
                [random.random_range(0..4)];
        }
    }
}

fn likes(posts: &[Post], graph: &SocialGraph, random: &mut StdRng) -> Vec<(usize, usize)> {
    let mut likes = Vec::new();
    for (index, post) in posts.iter().enumerate() {
        let wanted = long_tail(1.6, random).min(150);
        let tries = std::iter::repeat_with(|| graph.neighbour(post.author, random)).take(wanted);
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
    graph: &SocialGraph,
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
                        graph.neighbour(post.author, random)
                    };
                    let whom = &people[comments[answered].author].username;
                    Comment { author, text: format!("@{whom} {}", words::reply(random)), answers }
                }
                None => Comment {
                    author: graph.neighbour(post.author, random),
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

fn talks(posts: &[Post], graph: &SocialGraph, random: &mut StdRng) -> Vec<Talk> {
    let mut pairs = HashSet::new();
    let mut talks = Vec::new();
    let (of_demo, others): (Vec<_>, Vec<_>) =
        graph.follows.iter().copied().partition(|(follower, _)| *follower == DEMO);
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
            if random.random_bool(0.3) { author } else { graph.neighbour(author, random) }
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
mod tests;
