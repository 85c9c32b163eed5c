//! Pages of lists, by keyset: a page starts behind the last row that was seen, so that rows which come
//! and go meanwhile neither repeat nor hide others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Result};

/// The most rows on a page.
pub const MAX_PAGE: u32 = 100;

/// Which list a cursor belongs to. The numbers are in the cursors that clients hold: they are never used
/// again for another list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    Followers = 1,
    Following = 2,
    PostsOfUser = 3,
    PostsOfHashtag = 4,
    LikesOfPost = 5,
    Comments = 6,
    Replies = 7,
    Feed = 8,
    Notifications = 9,
    Conversations = 10,
    Messages = 11,
    Members = 12,
    Sessions = 13,
    Users = 14,
    FollowRequests = 15,
}

/// A row's place in its list: a number or a moment, and the id that tells rows of one moment apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub at: i64,
    pub id: Uuid,
}

impl Place {
    /// Where the order is that of a number which no two rows share.
    pub const fn number(at: i64) -> Self {
        Self { at, id: Uuid::nil() }
    }

    /// Where the order is that of the ids, which is that of their making.
    pub const fn id(id: Uuid) -> Self {
        Self { at: 0, id }
    }

    /// Where the order is that of a moment and then of the ids; to the microsecond, as it is stored.
    pub fn moment(at: OffsetDateTime, id: Uuid) -> Self {
        let micros = i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX);
        Self { at: micros, id }
    }

    /// The moment of a [`Place::moment`]. No row is older than 1970; what is far older is no time to
    /// `PostgreSQL`.
    pub fn time(self) -> Result<OffsetDateTime> {
        if self.at < 0 {
            return Err(Error::CursorInvalid);
        }
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.at) * 1000)
            .map_err(|_| Error::CursorInvalid)
    }

    /// The cursor that clients hold: the list's number, then the place.
    pub fn encode(self, list: List) -> String {
        let mut bytes = [0; 25];
        bytes[0] = list as u8;
        bytes[1..9].copy_from_slice(&self.at.to_be_bytes());
        bytes[9..].copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor. One of another list is `CURSOR_INVALID`, as is a damaged one.
    pub fn decode(list: List, text: &str) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::CursorInvalid)?;
        let bytes: [u8; 25] = bytes.try_into().map_err(|_| Error::CursorInvalid)?;
        if bytes[0] != list as u8 {
            return Err(Error::CursorInvalid);
        }
        let (mut at, mut id) = ([0; 8], [0; 16]);
        at.copy_from_slice(&bytes[1..9]);
        id.copy_from_slice(&bytes[9..]);
        Ok(Self { at: i64::from_be_bytes(at), id: Uuid::from_bytes(id) })
    }
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// 1 to [`MAX_PAGE`].
    pub size: u32,
    pub after: Option<Place>,
    pub before: Option<Place>,
    /// The last rows of the range instead of the first.
    pub from_end: bool,
}

impl Page {
    /// The first rows behind a cursor.
    pub fn parse(list: List, first: i32, after: Option<&str>) -> Result<Self> {
        let after = given(after).map(|cursor| Place::decode(list, cursor)).transpose()?;
        Ok(Self { size: size("first", first)?, after, before: None, from_end: false })
    }

    /// Relay's four arguments; with neither `first` nor `last`, the last `default` rows.
    pub fn parse_both(
        of: List,
        (first, after): (Option<i32>, Option<&str>),
        (last, before): (Option<i32>, Option<&str>),
        default: u32,
    ) -> Result<Self> {
        let (after, before) = (given(after), given(before));
        let (size, from_end) = match (first, last) {
            (Some(_), Some(_)) => return Err(Error::invalid("last", "can't be given together with first")),
            (Some(first), None) => (size("first", first)?, false),
            (None, Some(last)) => (size("last", last)?, true),
            (None, None) => (default, after.is_none()),
        };
        let after = after.map(|cursor| Place::decode(of, cursor)).transpose()?;
        let before = before.map(|cursor| Place::decode(of, cursor)).transpose();
        Ok(Self { size, after, before: before.map_err(|_| Error::BeforeInvalid)?, from_end })
    }

    /// How many rows to read: one more than are shown tells whether there are more.
    pub fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }
}

/// The cursor, if there is one: many clients ask for the first page with an empty one.
pub fn given(cursor: Option<&str>) -> Option<&str> {
    cursor.filter(|cursor| !cursor.is_empty())
}

/// The size of a page that a client asks for in `field`, checked.
pub fn size(field: &'static str, asked: i32) -> Result<u32> {
    match u32::try_from(asked) {
        Ok(size @ 1..=MAX_PAGE) => Ok(size),
        _ => Err(Error::PageSizeInvalid { field, max: MAX_PAGE }),
    }
}

/// The rows of one page, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice<T> {
    pub items: Vec<T>,
    pub has_next: bool,
    pub has_previous: bool,
}

impl<T> Slice<T> {
    /// Makes a page of the [`Page::limit`] rows that were read from the end at which the page starts: in
    /// the list's order, or for a page from the end in the opposite one.
    pub fn cut(mut items: Vec<T>, page: &Page) -> Self {
        let more = items.len() > page.size as usize;
        items.truncate(page.size as usize);
        if page.from_end {
            items.reverse();
            return Self { items, has_next: page.before.is_some(), has_previous: more };
        }
        Self { items, has_next: more, has_previous: page.after.is_some() }
    }

    pub fn map<U>(self, with: impl FnMut(T) -> U) -> Slice<U> {
        let items = self.items.into_iter().map(with).collect();
        Slice { items, has_next: self.has_next, has_previous: self.has_previous }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Code;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let place = Place { at: -5, id: Uuid::new_v4() };
        let cursor = place.encode(List::Comments);
        assert_eq!(Place::decode(List::Comments, &cursor).expect("its own"), place);
        for bad in ["", "AAAA", "é", cursor.trim_end_matches(|_| true), &cursor[1..], &"A".repeat(1000)] {
            assert!(matches!(Place::decode(List::Comments, bad), Err(Error::CursorInvalid)), "{bad}");
        }
        assert!(Place::decode(List::Replies, &cursor).is_err());
    }

    #[test]
    fn a_place_in_time_is_one_that_rows_have() {
        let at = |at| Place { at, id: Uuid::nil() }.time();
        assert!(at(0).is_ok() && at(253_402_300_799_999_999).is_ok());
        assert!([-1, i64::MIN, i64::MAX].into_iter().all(|moment| at(moment).is_err()));
    }

    #[test]
    fn pages_have_1_to_100_rows() {
        for bad in [i32::MIN, -1, 0, 101, i32::MAX] {
            assert!(matches!(
                Page::parse(List::Feed, bad, None),
                Err(Error::PageSizeInvalid { field: "first", max: 100 })
            ));
            for (field, first, last) in [("first", Some(bad), None), ("last", None, Some(bad))] {
                let error =
                    Page::parse_both(List::Messages, (first, None), (last, None), 20).expect_err(field);
                assert_eq!((error.code(), error.field()), (Code::PageSizeInvalid, Some(field)));
            }
        }
        assert_eq!(Page::parse(List::Feed, 100, None).expect("a page").limit(), 101);
        assert!(Page::parse_both(List::Messages, (Some(1), None), (Some(1), None), 20).is_err());
    }

    #[test]
    fn an_empty_cursor_is_none() {
        let both =
            |after, before| Page::parse_both(List::Messages, (None, Some(after)), (None, Some(before)), 20);
        assert_eq!(both("", "").ok(), Page::parse_both(List::Messages, (None, None), (None, None), 20).ok());
        assert_eq!(Page::parse(List::Feed, 1, Some("")).ok(), Page::parse(List::Feed, 1, None).ok());
        for (after, before, field) in [(" ", "", "after"), ("", "AAAA", "before")] {
            let error = both(after, before).expect_err(field);
            assert_eq!((error.code(), error.field()), (Code::CursorInvalid, Some(field)));
        }
    }

    #[test]
    fn the_row_too_many_tells_that_there_are_more() {
        let page = Page::parse(List::Feed, 2, None).expect("a page");
        assert_eq!(
            Slice::cut(vec![1, 2, 3], &page),
            Slice { items: vec![1, 2], has_next: true, has_previous: false }
        );
        let newest = Page::parse_both(List::Messages, (None, None), (None, None), 2).expect("a page");
        assert_eq!(
            Slice::cut(vec![9, 8, 7], &newest),
            Slice { items: vec![8, 9], has_next: false, has_previous: true }
        );
    }
}
