//! Names and faces.

use std::collections::HashSet;

use fake::Fake;
use fake::faker::name;
use imaging::landscape::{Picture, Shape};
use rand::RngExt;
use rand::rngs::StdRng;
use unicode_normalization::UnicodeNormalization;

use crate::seed::size::{DEMO_LOGIN, Size};
use crate::seed::words;

/// Somebody. People are known by their place in `Plan::people`.
#[derive(Debug, Clone)]
pub struct Person {
    pub username: String,
    pub full_name: String,
    pub bio: Option<String>,
    pub avatar: Option<Picture>,
}

/// Draws everybody, the demo person first.
pub fn draw(size: &Size, random: &mut StdRng) -> Vec<Person> {
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
    Picture { number: random.random(), scenery: words::scenery(random), shape: Shape::Small }
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
