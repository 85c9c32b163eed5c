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
