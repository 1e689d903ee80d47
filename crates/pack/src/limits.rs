//! Bounds on what is read. A pack is written by one person and read by a small model: all are far above real use.

/// Bytes of one text file.
pub(crate) const TEXT_BYTES: u64 = 256 * 1024;
/// Bytes of one adapter file.
pub(crate) const ADAPTER_BYTES: u64 = 1 << 30;
/// Entries of one folder of a pack.
pub(crate) const FOLDER_ENTRIES: usize = 128;
/// Entries of a folder of packs.
pub(crate) const CATALOG_ENTRIES: usize = 1024;
/// Cases of one pack.
pub(crate) const CASES: usize = 512;
/// Checks of one case, and texts of one `contains_any`.
pub(crate) const CHECKS: usize = 32;
/// Items of `scope.covers` and of `scope.excludes`.
pub(crate) const SCOPE_ITEMS: usize = 32;
/// Files of rules.
pub(crate) const RULE_FILES: usize = 16;
/// Bytes of one file of rules. Small also because a reader of rules may go as deep as they are nested.
pub(crate) const RULE_BYTES: u64 = 32 * 1024;
/// Topics of a pack's decisions.
pub(crate) const TOPICS: usize = 64;
/// Decision spaces of a pack.
pub(crate) const SPACES: usize = 64;
/// Conductors, processes or products of one decision space.
pub(crate) const SPACE_NAMES: usize = 64;
/// Answers that a decision question allows.
pub(crate) const ANSWERS: usize = 32;
/// Values in the list that one check on JSON compares with, at all depths.
pub(crate) const JSON_VALUES: usize = 64;
/// Days within which a review is due.
pub(crate) const REVIEW_DAYS: u32 = 365;
/// Hours for which an approval is good: four weeks.
pub(crate) const APPROVAL_HOURS: u32 = 672;
/// Bytes of the record of a pack's cases on a model.
pub(crate) const TRIAL_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of the journal of a twin's versions: some ten thousand of them.
pub(crate) const JOURNAL_BYTES: u64 = 4 * 1024 * 1024;
/// Characters of a name, a title or another short line.
pub(crate) const LINE_CHARS: usize = 120;
/// Characters of one item of the scope, or of one text that a check looks for.
pub(crate) const ITEM_CHARS: usize = 240;
/// Characters of a case's question.
pub(crate) const QUESTION_CHARS: usize = 4000;
/// Characters of a regular expression.
pub(crate) const PATTERN_CHARS: usize = 400;
/// Bytes of a compiled regular expression.
pub(crate) const PATTERN_BYTES: usize = 256 * 1024;
/// Nesting of a regular expression.
pub(crate) const PATTERN_NESTING: u32 = 32;
/// Tokens of a context budget, and of an answer.
pub(crate) const TOKENS: u32 = 131_072;
