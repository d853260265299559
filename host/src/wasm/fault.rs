//! What a plugin did wrong.

use std::cell::Cell;
use std::fmt;

use thiserror::Error;
use wasmtime::Trap;

/// A mistake of a plugin in one call: the fallback answers instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}: {detail}")]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// What happened, on one line.
    pub(crate) detail: String,
}

/// The kinds that faults are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It trapped: unreachable code (a panic), a division by zero, an access out of bounds.
    Trap,
    /// It did not answer within `deadline`.
    Deadline,
    /// It wanted more than `memory`, or more table elements than there may be.
    Memory,
    /// It called itself too deeply.
    Stack,
    /// It answered a position that is no candidate's.
    Position,
    /// It answered a session or a cookie that may not be.
    Session,
    /// It handed over something that cannot be read: a list or text out of bounds, too long, not UTF-8.
    Malformed,
    /// Its calls took more than `cpu-budget` in sum, for more than half of a second.
    OverBudget,
}

impl FaultKind {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 8] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Stack,
        Self::Position,
        Self::Session,
        Self::Malformed,
        Self::OverBudget,
    ];

    /// The word for it, as in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Position => "position",
            Self::Session => "session",
            Self::Malformed => "malformed",
            Self::OverBudget => "over-budget",
        }
    }
}

thread_local! {
    /// The last fault on this thread.
    static LAST: Cell<Option<FaultKind>> = const { Cell::new(None) };
}

/// The last fault on this thread since this was last asked: what a plugin that was just asked in vain did wrong, or that it was
/// not asked since it was over its budget.
pub(crate) fn take_fault() -> Option<FaultKind> {
    LAST.take()
}

/// A fault happened on this thread.
pub(super) fn note_fault(kind: FaultKind) {
    LAST.set(Some(kind));
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fault {
    pub(super) fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }

    /// It took longer than its deadline.
    pub(super) fn late() -> Self {
        Self::new(FaultKind::Deadline, "did not answer within its deadline")
    }

    /// What is behind wasmtime's error; `was_refused` says whether the call was refused memory.
    pub(super) fn from_error(error: &wasmtime::Error, was_refused: bool) -> Self {
        let detail = describe(error);
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => return Self::late(),
            Some(Trap::StackOverflow) => FaultKind::Stack,
            // What a language's runtime does when it gets no memory.
            Some(_) if was_refused => {
                return Self::new(FaultKind::Memory, "wanted more memory than it may have");
            }
            Some(_) => FaultKind::Trap,
            None if was_refused => FaultKind::Memory,
            None if is_by_guest(error) => FaultKind::Trap,
            None => FaultKind::Malformed,
        };
        Self::new(kind, detail)
    }
}

/// An error of a host function that a plugin called in a way it must not.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct Misuse(pub(super) String);

fn is_by_guest(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<Misuse>().is_some()
}

/// The causes of an error on one line, without wasm backtraces.
pub(super) fn describe(error: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        let line = cause.lines().next().unwrap_or_default().trim();
        if !line.is_empty() && !line.starts_with("error while executing") {
            causes.push(line.to_owned());
        }
    }
    causes.dedup();
    causes.join(": ")
}
