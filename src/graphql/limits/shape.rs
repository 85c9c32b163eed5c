//! How deep and how large selections are, and whether that is too much.

use async_graphql::Pos;

use super::bound::{
    MAX_COST, MAX_DEPTH, MAX_DIRECTIVES, MAX_INTROSPECTION_COST, MAX_INTROSPECTION_DEPTH, MAX_LEVELS,
    MAX_ROOT_FIELDS, MAX_SELECTIONS,
};
use crate::graphql::error::Refusal;
use crate::model::Code;

/// How deep and how large a set of selections is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shape {
    pub cost: u64,
    pub introspection: u64,
    /// Selections, once fragments are expanded.
    pub selections: u64,
    /// Fields at the top.
    pub width: u64,
    pub depth: u32,
    pub introspection_depth: u32,
    pub levels: u32,
}

impl Shape {
    /// Adds what stands beside it.
    pub fn add(&mut self, other: Self) {
        self.cost = self.cost.saturating_add(other.cost);
        self.introspection = self.introspection.saturating_add(other.introspection);
        self.selections = self.selections.saturating_add(other.selections);
        self.width = self.width.saturating_add(other.width);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.levels = self.levels.max(other.levels);
    }

    /// Refuses what is too deep or too large.
    pub fn check(&self, pos: Pos) -> Result<(), Refusal> {
        let deep = [
            (self.depth, MAX_DEPTH),
            (self.introspection_depth, MAX_INTROSPECTION_DEPTH),
            (self.levels, MAX_LEVELS),
        ];
        if let Some((depth, limit)) = deep.into_iter().find(|(depth, limit)| depth > limit) {
            return Err(too_deep(depth, limit, pos));
        }
        let large = [
            (self.cost, MAX_COST, "costs"),
            (self.introspection, MAX_INTROSPECTION_COST, "asks the schema for"),
            (self.selections, MAX_SELECTIONS, "selects"),
            (self.width, MAX_ROOT_FIELDS, "has root fields:"),
        ];
        match large.into_iter().find(|(size, limit, _)| size > limit) {
            Some((size, limit, verb)) => Err(Refusal::at(
                Code::QueryTooComplex,
                format!("The operation {verb} {size}; at most {limit} is allowed."),
                pos,
            )),
            None => Ok(()),
        }
    }
}

pub fn too_deep(depth: u32, limit: u32, pos: Pos) -> Refusal {
    Refusal::at(
        Code::QueryTooDeep,
        format!("The operation is {depth} levels deep; at most {limit} are allowed."),
        pos,
    )
}

pub fn check_directives(count: usize, pos: Pos) -> Result<(), Refusal> {
    if count > MAX_DIRECTIVES {
        let message =
            format!("There are {count} directives in one place; at most {MAX_DIRECTIVES} are allowed.");
        return Err(Refusal::at(Code::QueryTooComplex, message, pos));
    }
    Ok(())
}
