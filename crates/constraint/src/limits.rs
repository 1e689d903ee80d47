//! Bounds on schemas and on the work that they make. All are far above real use by a model that fits this server.

/// Subschemas in one schema.
pub(crate) const SUBSCHEMAS: usize = 1000;
/// Nesting of subschemas.
pub(crate) const NESTING: usize = 32;
/// Bytes of the schema as JSON.
pub(crate) const BYTES: usize = 64 * 1024;
/// Named properties of one object.
pub(crate) const PROPERTIES: usize = 256;
/// Values of one `enum`.
pub(crate) const VALUES: usize = 500;
/// Options of one `anyOf`, `oneOf`, `allOf` or `prefixItems`.
pub(crate) const OPTIONS: usize = 64;
/// Characters of one pattern.
pub(crate) const PATTERN_CHARS: usize = 400;
/// Bytes of a compiled pattern.
pub(crate) const PATTERN_BYTES: usize = 256 * 1024;
/// Nesting of a pattern.
pub(crate) const PATTERN_NESTING: u32 = 32;
/// Largest `minLength` and `maxLength`.
pub(crate) const LENGTH: u64 = 10_000;
/// Largest `minItems` and `maxItems`.
pub(crate) const ITEMS: u64 = 1000;
/// Largest number, up to which all integers are exact in a double.
pub(crate) const NUMBER: f64 = 9_007_199_254_740_992.0;
/// Largest `multipleOf` once it is written without a decimal point.
pub(crate) const MULTIPLE: f64 = 1000.0;
/// Decimal places of `multipleOf`.
pub(crate) const PLACES: i32 = 6;

/// Tools that may be offered at once.
pub(crate) const TOOLS: usize = 128;
/// Calls in one answer.
pub(crate) const CALLS: usize = 16;

/// Steps that checking one answer may take.
pub(crate) const CHECK_STEPS: u32 = 200_000;
/// Nesting that checking one answer may reach.
pub(crate) const CHECK_NESTING: usize = 256;

/// Symbols of a compiled grammar.
pub(crate) const GRAMMAR_SIZE: usize = 100_000;
/// Work for building a lexer; 50,000 take about a millisecond.
pub(crate) const BUILD_FUEL: u64 = 1_000_000;
/// Work of the lexer for one token; 14,000 take about a millisecond.
pub(crate) const STEP_FUEL: u64 = 100_000;
/// Items of the parser for one token; 20,000 take about a millisecond.
pub(crate) const STEP_ITEMS: usize = 40_000;
/// States of one answer's lexer, one or two kilobytes each.
pub(crate) const LEXER_STATES: usize = 20_000;
/// Stack of the thread that compiles, in bytes: enough for all subschemas inside one another.
pub(crate) const COMPILE_STACK: usize = 64 << 20;
