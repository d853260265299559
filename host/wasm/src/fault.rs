//! Faults of plugins.

use std::cell::Cell;

use equipoise_balancer::FaultKind;
use thiserror::Error;
use wasmtime::Trap;

/// A fault of a plugin in one call: the fallback decides instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind}: {detail}")]
pub(super) struct Fault {
    pub kind: FaultKind,
    /// What happened, on one line.
    pub detail: String,
}

thread_local! {
    /// The last fault on this thread.
    static LAST: Cell<Option<FaultKind>> = const { Cell::new(None) };
}

/// Takes the last fault on this thread: of the call that was just made, or denied for lack of budget.
pub(super) fn take_fault() -> Option<FaultKind> {
    LAST.take()
}

/// A fault happened on this thread.
pub(super) fn note_fault(kind: FaultKind) {
    LAST.set(Some(kind));
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
        Self::new(FaultKind::Deadline, "did not return within its deadline")
    }

    /// The fault behind wasmtime's error; `was_refused` says whether the call was refused memory.
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

/// A host function that a plugin called with invalid arguments.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct HostCallError(pub(super) String);

fn is_by_guest(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<HostCallError>().is_some()
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
