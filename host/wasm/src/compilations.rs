//! Components that are being compiled, beside the thread that wants them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};

use super::compiler::Cancel;
use super::engine::{Code, Sandbox};
use equipoise_file_watch::{Content, Hash};

/// Components compiled at once: one that takes long must not hold up the others.
const MAX_AT_ONCE: usize = 4;

/// What has become of a component.
pub enum Compilation {
    /// It can be used.
    Done(Code),
    /// It cannot be compiled.
    Failed(Arc<Error>),
    /// It is being compiled: `on_end` is called when that has ended.
    UnderWay,
}

/// Components that are being compiled, and what came of those that were. For one thread.
pub struct Compilations {
    sandbox: Arc<Sandbox>,
    running: Vec<Running>,
    queued: VecDeque<Arc<Content>>,
    /// Outcomes, for as long as they are wanted.
    ended: BTreeMap<Hash, Result<Code, Arc<Error>>>,
    sender: Sender<Outcome>,
    receiver: Receiver<Outcome>,
    on_end: Arc<dyn Fn() + Send + Sync>,
}

/// A component that a thread compiles.
struct Running {
    hash: Hash,
    cancel: Arc<Cancel>,
}

/// What came of a component, and by what it could have been cancelled.
type Outcome = (Arc<Cancel>, Result<Code>);

impl Compilations {
    /// Compiles nothing yet. `on_end` is called from another thread whenever a compilation has ended.
    pub fn new(sandbox: Arc<Sandbox>, on_end: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (sender, receiver) = channel();
        Self {
            sandbox,
            running: Vec::new(),
            queued: VecDeque::new(),
            ended: BTreeMap::new(),
            sender,
            receiver,
            on_end,
        }
    }

    /// Where the components run.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// The code of a component, if it is compiled; else has it compiled.
    pub fn code(&mut self, content: &Arc<Content>) -> Compilation {
        match self.ended.get(&content.hash) {
            Some(Ok(code)) => return Compilation::Done(code.clone()),
            Some(Err(error)) => return Compilation::Failed(error.clone()),
            None => {}
        }
        if let Some(code) = self.sandbox.find(content.hash) {
            return Compilation::Done(code);
        }
        if !self.is_under_way(&content.hash) {
            self.queued.push_back(content.clone());
            self.start_queued();
        }
        Compilation::UnderWay
    }

    /// Whether a component is being compiled, or waits for its turn.
    pub fn is_under_way(&self, hash: &Hash) -> bool {
        let mut running = self.running.iter();
        running.any(|it| it.hash == *hash && !it.cancel.is_cancelled())
            || self.queued.iter().any(|queued| queued.hash == *hash)
    }

    /// Takes note of what has ended since.
    pub fn note_ended(&mut self) {
        while let Ok(outcome) = self.receiver.try_recv() {
            self.note(outcome);
        }
        self.start_queued();
    }

    /// Waits until a compilation has ended, at most for so long, and takes note of it.
    pub fn wait(&mut self, most: Duration) {
        if let Ok(outcome) = self.receiver.recv_timeout(most) {
            self.note(outcome);
        }
        self.note_ended();
    }

    /// Forgets outcomes, and ends the compilations of components, that are not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&Hash) -> bool) {
        self.ended.retain(|hash, _| wanted(hash));
        self.queued.retain(|content| wanted(&content.hash));
        for running in self.running.iter().filter(|it| !wanted(&it.hash)) {
            running.cancel.cancel();
        }
    }

    fn note(&mut self, (cancel, outcome): Outcome) {
        let mut running = self.running.iter();
        let Some(place) = running.position(|it| Arc::ptr_eq(&it.cancel, &cancel)) else {
            return;
        };
        let Running { hash, cancel } = self.running.swap_remove(place);
        if !cancel.is_cancelled() {
            self.ended.insert(hash, outcome.map_err(Arc::new));
        }
    }

    fn start_queued(&mut self) {
        while self.running.len() < MAX_AT_ONCE
            && let Some(content) = self.queued.pop_front()
        {
            self.start(content);
        }
    }

    fn start(&mut self, content: Arc<Content>) {
        let (sandbox, sender) = (self.sandbox.clone(), self.sender.clone());
        let (cancel, hash) = (Arc::new(Cancel::default()), content.hash);
        let (cancelled, on_end) = (cancel.clone(), self.on_end.clone());
        let compile = move || {
            let outcome = sandbox.compile(&content, &cancelled);
            // The receiver may be gone.
            let _ = sender.send((cancelled, outcome));
            on_end();
        };
        self.running.push(Running {
            hash,
            cancel: cancel.clone(),
        });
        let thread = thread::Builder::new().name("compiler".to_owned());
        if let Err(error) = thread.spawn(compile) {
            let error = anyhow!("a thread cannot be started to compile it: {error}");
            self.note((cancel, Err(error)));
            (self.on_end)();
        }
    }
}

impl Drop for Compilations {
    /// Waits for nothing: the threads end their compilers, and themselves.
    fn drop(&mut self) {
        self.retain(|_| false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Compiler;

    /// Compilations, and where their ends are reported.
    fn compilations() -> (Compilations, Receiver<()>) {
        let sandbox = Sandbox::new(Compiler::Here, None).unwrap();
        let (sender, ends) = channel();
        let on_end = move || sender.send(()).unwrap_or_default();
        (Compilations::new(sandbox, Arc::new(on_end)), ends)
    }

    fn component(text: &str) -> Arc<Content> {
        Arc::new(Content::of(wat::parse_str(text).unwrap()))
    }

    fn is_under_way(compilations: &mut Compilations, content: &Arc<Content>) -> bool {
        matches!(compilations.code(content), Compilation::UnderWay)
    }

    #[test]
    fn component_is_compiled_once_and_then_at_hand() {
        let (mut compilations, ends) = compilations();
        let content = component("(component)");
        assert!(is_under_way(&mut compilations, &content));
        // It may have been compiled by now; it is asked for again all the same.
        assert!(!matches!(
            compilations.code(&content),
            Compilation::Failed(_)
        ));
        ends.recv().unwrap();
        compilations.note_ended();
        assert!(matches!(compilations.code(&content), Compilation::Done(_)));
        compilations.retain(|_| false);
        assert!(matches!(compilations.code(&content), Compilation::Done(_)));
        assert!(ends.try_recv().is_err(), "it was compiled once");
    }

    #[test]
    fn failure_is_told_until_it_is_not_wanted_any_more() {
        let (mut compilations, ends) = compilations();
        let content = Arc::new(Content::of(b"\0asm\x0d\0\x01\0\xff".to_vec()));
        assert!(is_under_way(&mut compilations, &content));
        ends.recv().unwrap();
        compilations.note_ended();
        for _ in 0..2 {
            let Compilation::Failed(error) = compilations.code(&content) else {
                panic!("it should be refused");
            };
            assert!(error.to_string().contains("no valid component"), "{error}");
        }
        compilations.retain(|_| false);
        assert!(
            is_under_way(&mut compilations, &content),
            "it is tried again"
        );
    }

    #[test]
    fn what_is_wanted_again_after_it_was_cancelled_is_compiled_again() {
        let (mut compilations, ends) = compilations();
        let content = Arc::new(Content::of(b"\0asm\x0d\0\x01\0\xff".to_vec()));
        assert!(is_under_way(&mut compilations, &content));
        compilations.retain(|_| false);
        assert!(!compilations.is_under_way(&content.hash));
        assert!(is_under_way(&mut compilations, &content));
        for _ in 0..2 {
            ends.recv().unwrap();
        }
        compilations.note_ended();
        assert!(matches!(
            compilations.code(&content),
            Compilation::Failed(_)
        ));
    }

    #[test]
    fn more_than_may_run_at_once_wait_for_their_turn() {
        let (mut compilations, ends) = compilations();
        let components: Vec<_> = (0..2 * MAX_AT_ONCE)
            .map(|number| component(&format!("(component (core module (memory {number})))")))
            .collect();
        for content in &components {
            assert!(is_under_way(&mut compilations, content));
        }
        assert_eq!(compilations.running.len(), MAX_AT_ONCE);
        for _ in &components {
            ends.recv().unwrap();
            compilations.note_ended();
        }
        for content in &components {
            assert!(matches!(compilations.code(content), Compilation::Done(_)));
        }
    }
}
