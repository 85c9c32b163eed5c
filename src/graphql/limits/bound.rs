//! How much a document may be.

/// The longest document, in bytes.
pub const MAX_TEXT: usize = 32 * 1024;
/// How deep brackets nest in the text; the parser recurses as deep.
pub const MAX_BRACKETS: usize = 64;
/// How deep fields nest.
pub const MAX_DEPTH: u32 = 15;
/// How deep fields nest inside `__schema` and `__type`; what GraphiQL asks for is 15 deep.
pub const MAX_INTROSPECTION_DEPTH: u32 = 20;
/// How deep selections nest, counting fields, spreads and inline fragments: executors recurse as deep.
pub const MAX_LEVELS: u32 = 48;
/// What a document may cost: each field 1, a page its size times what is inside.
pub const MAX_COST: u64 = 20_000;
/// The same for what is asked of the schema about itself, with guessed sizes of its lists; GraphiQL's
/// question costs about a third.
pub const MAX_INTROSPECTION_COST: u64 = 600_000;
/// How many selections a document may have once its fragments are expanded.
pub const MAX_SELECTIONS: u64 = 10_000;
pub const MAX_ROOT_FIELDS: u64 = 50;
pub const MAX_ALIASES: usize = 500;
/// How many directives one field, spread, fragment, variable or operation may have.
pub const MAX_DIRECTIVES: usize = 4;
pub const MAX_OPERATIONS: usize = 10;
