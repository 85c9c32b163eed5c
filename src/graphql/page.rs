//! Relay connections: one generic type, named after its node.

use std::borrow::Cow;

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, Object, ObjectType, OutputType, SimpleObject, TypeName};

use super::error::add_error;
use super::scalar::Cursor;
use crate::domain::fill::FilledPage;
use crate::model::Result;
use crate::model::page::{List, Page, Place, Slice};

/// How many rows a page has when nothing else is asked for.
pub const DEFAULT_PAGE: i32 = 20;

/// Reads the arguments of a forward list; a null `first` is the same as none.
pub fn forward(list: List, first: impl Into<Option<i32>>, after: Option<&Cursor>) -> Result<Page> {
    Page::parse(list, first.into().unwrap_or(DEFAULT_PAGE), after.map(|cursor| cursor.0.as_str()))
}

/// The position of a page in its list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    pub has_next_page: bool,
    pub has_previous_page: bool,
    pub start_cursor: Option<Cursor>,
    pub end_cursor: Option<Cursor>,
}

/// A row of a page. The node is null where its shard can't be read.
pub struct Edge<T> {
    cursor: Cursor,
    node: Option<T>,
}

impl<T: OutputType> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

#[Object(name_type)]
impl<T: OutputType> Edge<T> {
    async fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    async fn node(&self) -> Option<&T> {
        self.node.as_ref()
    }
}

/// What a connection says beside its rows; and, where it is not called after its node, its name.
pub trait Extra: ObjectType {
    const NAME: Option<&'static str> = None;
}

impl Extra for EmptyFields {}

/// A page of a list, with fields of its own where `E` says so.
pub struct Connection<T, E = EmptyFields> {
    edges: Vec<Edge<T>>,
    page_info: PageInfo,
    extra: E,
}

impl<T: OutputType> Connection<T> {
    /// Makes a page of rows with their places.
    pub fn new(list: List, slice: Slice<(Place, Option<T>)>) -> Self {
        Self::with(list, slice, EmptyFields)
    }

    /// Makes a page of rows whose cursors are written already.
    pub fn of_cursors(slice: Slice<(Cursor, Option<T>)>) -> Self {
        Self::build(slice, EmptyFields)
    }
}

impl<T: OutputType> Connection<T> {
    /// Makes a page that was filled; errors of rows that could not be read go beside it.
    pub fn filled<V: Into<T>>(ctx: &Context<'_>, list: List, page: FilledPage<V>) -> Self {
        Self::filled_with(ctx, list, page, EmptyFields)
    }

    /// The page of a list that is known to have no rows.
    pub fn empty() -> Self {
        let page_info =
            PageInfo { has_next_page: false, has_previous_page: false, start_cursor: None, end_cursor: None };
        Self { edges: Vec::new(), page_info, extra: EmptyFields }
    }
}

impl<T: OutputType, E: Extra> Connection<T, E> {
    /// Makes a page of rows with their places, and fields beside them.
    pub fn with(list: List, slice: Slice<(Place, Option<T>)>, extra: E) -> Self {
        Self::build(slice.map(|(place, node)| (Cursor(place.encode(list)), node)), extra)
    }

    /// The same with extra fields.
    pub fn filled_with<V: Into<T>>(ctx: &Context<'_>, list: List, page: FilledPage<V>, extra: E) -> Self {
        add_error(ctx, page.unavailable);
        let slice = page.slice.map(|(place, row)| (place, row.map(Into::into)));
        let mut connection = Self::with(list, slice, extra);
        if let Some(end) = page.end {
            connection.page_info.end_cursor = Some(Cursor(end.encode(list)));
        }
        connection
    }

    fn build(slice: Slice<(Cursor, Option<T>)>, extra: E) -> Self {
        let (has_next_page, has_previous_page) = (slice.has_next, slice.has_previous);
        let edges: Vec<Edge<T>> =
            slice.items.into_iter().map(|(cursor, node)| Edge { cursor, node }).collect();
        let page_info = PageInfo {
            has_next_page,
            has_previous_page,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self { edges, page_info, extra }
    }
}

impl<T: OutputType, E: Extra> TypeName for Connection<T, E> {
    fn type_name() -> Cow<'static, str> {
        E::NAME.map_or_else(|| format!("{}Connection", T::type_name()).into(), Cow::Borrowed)
    }
}

#[Object(name_type)]
impl<T: OutputType, E: Extra> Connection<T, E> {
    async fn edges(&self) -> &[Edge<T>] {
        &self.edges
    }

    async fn nodes(&self) -> Vec<Option<&T>> {
        self.edges.iter().map(|edge| edge.node.as_ref()).collect()
    }

    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "what the macro flattens has to be async")]
    async fn extra(&self) -> &E {
        &self.extra
    }
}
