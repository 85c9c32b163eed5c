//! What the demo people write.

use imaging::landscape::Scenery;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// What is said about a scenery.
struct Words {
    captions: &'static [&'static str],
    tags: &'static [&'static str],
    places: &'static [&'static str],
    alt: &'static str,
}

const SEA: Words = Words {
    captions: &[
        "Low tide and nobody else here",
        "The water was colder than it looks",
        "First swim of the year",
        "Salt in my hair, sand in my shoes",
        "The ferry was late and I did not mind",
        "Caught the last light on the waves",
        "Breakfast by the harbour",
        "You can hear the bell buoy from here",
    ],
    tags: &["sea", "coast", "waves", "sunset", "harbour", "beachwalk", "horizon", "lowtide"],
    places: &["Lisbon", "Tromsø", "Brighton", "Gdańsk", "Cape Town", "Nice", "Valparaíso"],
    alt: "Calm water under a wide sky",
};

const MOUNTAINS: Words = Words {
    captions: &[
        "Six hours up, two hours down",
        "Above the clouds before breakfast",
        "The hut had soup. Best soup ever",
        "My knees will complain tomorrow",
        "Every ridge hides another ridge",
        "We turned back here, and that was right",
        "Snow in June",
        "The map said it was flat",
    ],
    tags: &["mountains", "hiking", "alpine", "ridge", "trail", "summit", "outdoors", "bluehour"],
    places: &["Innsbruck", "Chamonix", "Zakopane", "Bergen", "Queenstown", "Cusco", "Dolomites"],
    alt: "Layers of mountains fading into the haze",
};

const FOREST: Words = Words {
    captions: &[
        "Fog between the trees all morning",
        "Found the path again, eventually",
        "It smells of rain and pine",
        "No signal. Perfect",
        "Mushrooms everywhere, left them all",
        "A woodpecker, somewhere up there",
        "The quiet after the storm",
    ],
    tags: &["forest", "fog", "trees", "autumn", "woodland", "slowliving", "nature"],
    places: &["Freiburg", "Białowieża", "Vancouver", "Sintra", "Kyoto", "Tampere"],
    alt: "Hills covered with trees in the fog",
};

const DESERT: Words = Words {
    captions: &[
        "Forty degrees in the shade, and no shade",
        "The dunes were somewhere else yesterday",
        "We drove all night for this",
        "Stars you can almost touch",
        "Nothing for miles, in the best way",
        "Sand gets into everything",
    ],
    tags: &["desert", "dunes", "roadtrip", "goldenhour", "emptiness", "heat"],
    places: &["Merzouga", "Wadi Rum", "Joshua Tree", "Atacama", "Alice Springs"],
    alt: "Dunes in warm light",
};

const CITY: Words = Words {
    captions: &[
        "Home, from the other side of the river",
        "Somebody is always awake here",
        "Coffee number three",
        "Missed the last tram and found this",
        "New flat, new view",
        "The bakery on the corner is open again",
        "Rooftops, because why not",
        "Rain on the windows, records on",
    ],
    tags: &["city", "skyline", "nightwalk", "architecture", "streets", "rooftop", "coffee", "urban"],
    places: &["Berlin", "Porto", "Montréal", "Istanbul", "São Paulo", "Utrecht", "Melbourne", "Milano"],
    alt: "A skyline with lit windows",
};

const SKY: Words = Words {
    captions: &[
        "The sky showed off tonight",
        "No filter. Really",
        "Looked up at the right moment",
        "Ten minutes later it was all grey",
        "Pink, then orange, then gone",
        "Weather report: dramatic",
        "The moon was in the way, so I took the moon",
    ],
    tags: &["sky", "clouds", "sunrise", "moon", "colours", "lookup", "light"],
    places: &["Reykjavík", "Edinburgh", "Wellington", "Copenhagen", "Ljubljana"],
    alt: "Soft colours with a pale moon",
};

/// Tags that go with everything.
const TAGS: &[&str] = &["photography", "35mm", "weekend", "today", "traveldiary", "fromwhereistand"];
const ENDINGS: &[&str] =
    &["", "", "", "", " ✨", " 🌊", " 🙃", ". Again.", ". More soon.", ". Who comes along?"];
const WITH: &[&str] = &["With", "Thanks for the company,", "Photo lesson by", "You were right,", "Miss you,"];

const DOES: &[&str] = &[
    "Bakes bread",
    "Rides a very old bicycle",
    "Collects maps",
    "Teaches maths",
    "Plays the cello, badly",
    "Draws birds",
    "Fixes radios",
    "Grows tomatoes on a balcony",
    "Writes software by day",
    "Nurse",
    "Architect",
    "Runs slowly",
    "Film cameras only",
    "Night trains over planes",
    "Mother of two, owner of one plant",
    "Learning to surf",
];

const COMMENTS: &[&str] = &[
    "Wow!",
    "This one is my favourite so far",
    "Where is this?",
    "Those colours 😍",
    "I need to go there",
    "How early did you get up for this?",
    "Take me with you next time",
    "Print it, frame it",
    "Looks cold!",
    "So calm",
    "I was there last year, still dream of it",
    "Which camera?",
    "The light!",
    "Beautiful",
    "My new wallpaper, thank you",
    "Great shot 👏",
    "You have an eye for this",
    "Is that real?",
];

const REPLIES: &[&str] = &[
    "Thank you!",
    "Only a short walk from the station",
    "Half past four. Worth it",
    "Deal, next time you come along",
    "An old 35 mm lens, nothing special",
    "It was! Two pairs of gloves",
    "Very real, I promise",
    "I'll send you the route",
    "Right? I could not believe it either",
];

const OPENERS: &[&str] = &[
    "Hey, are you around this weekend?",
    "I saw your last post. Where was that?",
    "Did you get home all right?",
    "Do you still have that tripod?",
    "Long time no see!",
    "Quick question about your trip",
];

const MESSAGES: &[&str] = &[
    "Haha, yes",
    "Saturday works for me",
    "Let me check and come back to you",
    "It was about two hours by train",
    "I'll bring the coffee",
    "Perfect",
    "No idea, but we can find out",
    "You have to see it yourself",
    "Same place as last time?",
    "On my way",
    "Sorry, I was on a train without signal",
    "That's a great idea",
    "Eight is too early. Nine?",
    "👍",
    "I'd love that",
    "Can you send me the pictures?",
    "Of course, give me a minute",
];

const SCENERIES: [Scenery; 6] =
    [Scenery::Sea, Scenery::Mountains, Scenery::Forest, Scenery::Desert, Scenery::City, Scenery::Sky];

/// What a post shows: any of them.
pub fn scenery(random: &mut impl Rng) -> Scenery {
    SCENERIES[random.random_range(0..SCENERIES.len())]
}

const fn of(scenery: Scenery) -> &'static Words {
    match scenery {
        Scenery::Sea => &SEA,
        Scenery::Mountains => &MOUNTAINS,
        Scenery::Forest => &FOREST,
        Scenery::Desert => &DESERT,
        Scenery::City => &CITY,
        Scenery::Sky => &SKY,
    }
}

/// What the image shows, for those who don't see it.
pub const fn alt(scenery: Scenery) -> &'static str {
    of(scenery).alt
}

/// A sentence, perhaps a person, some hashtags.
pub fn caption(scenery: Scenery, random: &mut impl Rng, with: Option<&str>) -> String {
    let words = of(scenery);
    let mut caption = format!("{}{}", pick(words.captions, random), pick(ENDINGS, random));
    if let Some(username) = with {
        caption = format!("{caption}\n{} @{username}", pick(WITH, random));
    }
    let count = random.random_range(0..=4);
    for tag in words.tags.sample(random, count) {
        caption = format!("{caption} #{tag}");
    }
    if random.random_bool(0.3) {
        caption = format!("{caption} #{}", pick(TAGS, random));
    }
    caption
}

/// Where it was taken.
pub fn place(scenery: Scenery, random: &mut impl Rng) -> &'static str {
    pick(of(scenery).places, random)
}

/// What people say about themselves.
pub fn bio(random: &mut impl Rng) -> String {
    let count = random.random_range(1..=3);
    let parts: Vec<&str> = DOES.sample(random, count).copied().collect();
    format!("{}.", parts.join(". "))
}

/// What people say about a post.
pub fn comment(random: &mut impl Rng) -> &'static str {
    pick(COMMENTS, random)
}

/// What they are answered.
pub fn reply(random: &mut impl Rng) -> &'static str {
    pick(REPLIES, random)
}

/// How a conversation begins.
pub fn opener(random: &mut impl Rng) -> &'static str {
    pick(OPENERS, random)
}

/// How it goes on.
pub fn message(random: &mut impl Rng) -> &'static str {
    pick(MESSAGES, random)
}

fn pick(texts: &'static [&'static str], random: &mut impl Rng) -> &'static str {
    texts.choose(random).copied().unwrap_or_default()
}
