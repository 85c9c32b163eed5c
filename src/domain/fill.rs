//! Pages of lists in which the viewer may not see every row. What is hidden is left out, and the page is filled
//! with the rows behind it.

use std::hash::Hash;
use std::sync::Arc;

use super::Domain;
use super::policy::VisiblePost;
use super::viewer::Viewer;
use crate::model::Error;
use crate::model::id::{PostId, UserId};
use crate::model::page::{MAX_PAGE, Page, Place, Slice};
use crate::store::{Loaded, user};

/// How often the list is read for one page. From the second time on [`MAX_PAGE`] rows are read at once.
pub const MAX_READS: usize = 5;

/// A row of a list, as the viewer sees it.
#[derive(Debug, Clone)]
pub enum Seen<V> {
    Visible(V),
    /// Its shard can't be read now.
    Unavailable(Error),
    /// The viewer may not see it, or it is gone.
    Hidden,
}

/// A page with all its rows that the viewer may see.
#[derive(Debug)]
pub struct FilledPage<V> {
    /// Null marks a row whose shard can't be read now.
    pub slice: Slice<(Place, Option<V>)>,
    /// Where the next page begins if so many rows in a row were hidden that the page could not be filled.
    pub end: Option<Place>,
    /// Why a row is null.
    pub unavailable: Option<Error>,
}

/// A page of users.
pub type UserPage = FilledPage<Arc<user::Model>>;
/// A page of posts.
pub type PostPage = FilledPage<VisiblePost>;

impl<V> FilledPage<V> {
    pub fn map<U>(self, mut with: impl FnMut(V) -> U) -> FilledPage<U> {
        let slice = self.slice.map(|(place, row)| (place, row.map(&mut with)));
        FilledPage { slice, end: self.end, unavailable: self.unavailable }
    }
}

/// A page that is being filled: as long as it [wants](Filling::wanted) rows, the list is read.
#[derive(Debug)]
pub struct Filling<V> {
    page: Page,
    /// What is to be read next.
    next: Page,
    reads: usize,
    is_end: bool,
    items: Vec<(Place, Option<V>)>,
    unavailable: Option<Error>,
}

impl<V> Filling<V> {
    pub const fn of(page: &Page) -> Self {
        Self { page: *page, next: *page, reads: 0, is_end: false, items: Vec::new(), unavailable: None }
    }

    fn is_full(&self) -> bool {
        // One more row shows whether there is a next page.
        self.items.len() > self.page.size as usize
    }

    /// Which rows to read and to [add](Filling::add), if there is anything left to read: [`Page::limit`] of them.
    pub fn wanted(&self) -> Option<Page> {
        (!self.is_end && !self.is_full() && self.reads < MAX_READS).then_some(self.next)
    }

    /// Adds what was read, in the order of the list.
    pub fn add(&mut self, rows: Vec<(Place, Seen<V>)>) {
        self.reads += 1;
        self.is_end = rows.len() <= self.next.size as usize;
        let after = rows.last().map(|(place, _)| *place);
        self.next = Page { size: MAX_PAGE, after, ..self.next };
        for (place, row) in rows {
            match row {
                Seen::Visible(row) => self.items.push((place, Some(row))),
                Seen::Unavailable(error) => {
                    self.unavailable.get_or_insert(error);
                    self.items.push((place, None));
                }
                Seen::Hidden => {}
            }
        }
    }

    pub fn finish(self) -> FilledPage<V> {
        let end = self.next.after.filter(|_| !self.is_end && !self.is_full());
        let mut slice = Slice::cut(self.items, &self.page);
        slice.has_next |= end.is_some();
        FilledPage { slice, end, unavailable: self.unavailable }
    }
}

/// How the viewer sees rows of which these were found.
pub fn seen<K: Copy + Eq + Hash, V: Clone>(
    rows: impl IntoIterator<Item = (Place, K)>,
    (found, away): &Loaded<K, V>,
) -> Vec<(Place, Seen<V>)> {
    let seen = |key: K| match (found.get(&key), away.get(&key)) {
        (Some(row), _) => Seen::Visible(row.clone()),
        (None, Some(error)) => Seen::Unavailable(error.clone()),
        (None, None) => Seen::Hidden,
    };
    rows.into_iter().map(|(place, key)| (place, seen(key))).collect()
}

impl Domain {
    /// How the viewer sees the users of a list.
    pub(super) async fn see_users(
        &self,
        viewer: Option<&Viewer>,
        rows: Vec<(Place, UserId)>,
    ) -> Vec<(Place, Seen<Arc<user::Model>>)> {
        let ids: Vec<UserId> = rows.iter().map(|(_, id)| *id).collect();
        let users = self.visible_users(viewer, &ids).await;
        seen(rows, &users)
    }

    /// How the viewer sees the posts of a list.
    pub(super) async fn see_posts(
        &self,
        viewer: Option<&Viewer>,
        rows: Vec<(Place, PostId)>,
    ) -> Vec<(Place, Seen<VisiblePost>)> {
        let ids: Vec<PostId> = rows.iter().map(|(_, id)| *id).collect();
        let posts = self.visible_posts(viewer, &ids).await;
        seen(rows, &posts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A list of numbers, of which some are hidden.
    fn page_of(hidden: &[bool], size: u32, after: Option<Place>) -> (FilledPage<i64>, usize) {
        let mut filling = Filling::of(&Page { size, after, before: None, from_end: false });
        while let Some(page) = filling.wanted() {
            let from = page.after.map_or(0, |place| place.at + 1);
            let rows = (from..i64::try_from(hidden.len()).expect("few")).take(page.size as usize + 1);
            let see = |row: i64| {
                if hidden[usize::try_from(row).expect("a row")] { Seen::Hidden } else { Seen::Visible(row) }
            };
            filling.add(rows.map(|row| (Place::number(row), see(row))).collect());
        }
        let reads = filling.reads;
        (filling.finish(), reads)
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..ProptestConfig::default() })]

        /// Page by page all that is visible comes once and in order; each page but the last is full, and the last one
        /// says so.
        #[test]
        fn pages_are_full(hidden in prop::collection::vec(prop::bool::weighted(0.8), 0..300), size in 1..8_u32) {
            let wanted: Vec<i64> = (0..).zip(&hidden).filter(|(_, hidden)| !**hidden).map(|(row, _)| row).collect();
            let (mut shown, mut after) = (Vec::new(), None);
            loop {
                let (filled, reads) = page_of(&hidden, size, after);
                prop_assert!(reads <= MAX_READS && filled.end.is_none());
                let rows = &filled.slice.items;
                shown.extend(rows.iter().filter_map(|(_, row)| *row));
                after = rows.last().map(|(place, _)| *place);
                if !filled.slice.has_next {
                    break;
                }
                prop_assert_eq!(rows.len(), size as usize);
            }
            prop_assert_eq!(shown, wanted);
        }
    }

    #[test]
    fn a_page_goes_on_behind_many_hidden_rows() {
        let mut hidden = vec![true; 1_000];
        hidden.push(false);
        let (mut after, mut pages) = (None, 0);
        let shown = loop {
            let (filled, reads) = page_of(&hidden, 3, after);
            pages += 1;
            if !filled.slice.has_next {
                break filled.slice.items;
            }
            assert_eq!((filled.slice.items.len(), reads), (0, MAX_READS));
            after = Some(filled.end.expect("a place to go on from"));
        };
        assert_eq!((shown.len(), pages), (1, 3));
    }
}
