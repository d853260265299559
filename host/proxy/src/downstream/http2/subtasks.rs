//! Subtasks that serve the requests of a connection within its task: one for each request in flight. A subtask has a waker of its
//! own, so that only those are polled that were woken; it serves one request after the other, in the same memory.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The subtasks of a connection. What they serve is a `T`; `B` makes the future `F` of a subtask, which takes one after the other
/// from its [`SubtaskInput`].
pub(super) struct Subtasks<T, F, B> {
    open: B,
    subtasks: Vec<Subtask<T, F>>,
    idle: Vec<usize>,
    queue: Arc<ReadyQueue>,
    /// Those that are polled in this round; kept for its memory.
    round: Vec<usize>,
}

struct Subtask<T, F> {
    input: Rc<SubtaskInput<T>>,
    future: Pin<Box<F>>,
    wake_flag: Arc<WakeFlag>,
    waker: Waker,
}

/// What a subtask serves next.
pub(super) struct SubtaskInput<T> {
    next: Cell<Option<T>>,
    /// Whether the subtask has begun to wait for the next.
    is_idle: Cell<bool>,
}

/// Wakes one subtask; from any thread.
struct WakeFlag {
    subtask: usize,
    is_queued: AtomicBool,
    queue: Arc<ReadyQueue>,
}

/// Subtasks that may go on.
#[derive(Default)]
struct ReadyQueue(Mutex<Ready>);

#[derive(Default)]
struct Ready {
    subtasks: Vec<usize>,
    /// Whether the task polls its subtasks already, and need not be woken.
    is_awake: bool,
    task: Option<Waker>,
}

impl<T> SubtaskInput<T> {
    /// Waits for what is to be served next.
    pub(super) async fn next(&self) -> T {
        let mut has_waited = false;
        poll_fn(|_| match self.next.take() {
            Some(next) => Poll::Ready(next),
            None => {
                self.is_idle.set(!mem::replace(&mut has_waited, true));
                Poll::Pending
            }
        })
        .await
    }
}

impl ReadyQueue {
    /// Held for a moment only.
    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, AcqRel) {
            return;
        }
        let mut ready = self.queue.lock();
        ready.subtasks.push(self.subtask);
        let task = match ready.is_awake {
            true => None,
            false => ready.task.clone(),
        };
        drop(ready);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<T, F, B> Subtasks<T, F, B>
where
    F: Future<Output = Infallible>,
    B: Fn(Rc<SubtaskInput<T>>) -> F,
{
    /// None yet; `open` makes them.
    pub(super) fn new(open: B) -> Self {
        Self {
            open,
            subtasks: Vec::new(),
            idle: Vec::new(),
            queue: Arc::default(),
            round: Vec::new(),
        }
    }

    /// How many serve something.
    pub(super) fn len(&self) -> usize {
        self.subtasks.len() - self.idle.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has `what` served, from the next round on.
    pub(super) fn add(&mut self, what: T) {
        let index = self.idle.pop().unwrap_or_else(|| self.open());
        if let Some(subtask) = self.subtasks.get(index) {
            subtask.input.next.set(Some(what));
            subtask.wake_flag.wake_by_ref();
        }
    }

    fn open(&mut self) -> usize {
        let index = self.subtasks.len();
        let input = Rc::new(SubtaskInput {
            next: Cell::new(None),
            is_idle: Cell::new(false),
        });
        let wake_flag = Arc::new(WakeFlag {
            subtask: index,
            is_queued: AtomicBool::new(false),
            queue: self.queue.clone(),
        });
        self.subtasks.push(Subtask {
            future: Box::pin((self.open)(input.clone())),
            input,
            waker: Waker::from(wake_flag.clone()),
            wake_flag,
        });
        index
    }

    /// The task polls its subtasks until it [pauses](Self::pause): it need not be woken for them.
    pub(super) fn resume(&self, context: &Context<'_>) {
        let mut ready = self.queue.lock();
        ready.is_awake = true;
        match &mut ready.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// The task is to be woken when a subtask is. False if one was already.
    pub(super) fn pause(&self) -> bool {
        let mut ready = self.queue.lock();
        ready.is_awake = !ready.subtasks.is_empty();
        !ready.is_awake
    }

    /// Polls those that were woken, each once.
    pub(super) fn poll(&mut self) {
        let mut round = mem::take(&mut self.round);
        mem::swap(&mut round, &mut self.queue.lock().subtasks);
        for index in &round {
            self.poll_one(*index);
        }
        round.clear();
        self.round = round;
    }

    fn poll_one(&mut self, index: usize) {
        let Some(subtask) = self.subtasks.get_mut(index) else {
            return;
        };
        subtask.wake_flag.is_queued.swap(false, AcqRel);
        let mut context = Context::from_waker(&subtask.waker);
        let Poll::Pending = subtask.future.as_mut().poll(&mut context);
        if subtask.input.is_idle.take() {
            self.idle.push(index);
        }
    }

    /// Frees all memory, if nothing is served.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.subtasks = Vec::new();
            self.idle = Vec::new();
            self.round = Vec::new();
            // Old wakers wake no new subtask.
            self.queue = Arc::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    impl Task {
        fn wakes(&self) -> usize {
            self.0.load(std::sync::atomic::Ordering::Acquire)
        }
    }

    /// Polls until no subtask is woken, as the task of a connection does.
    fn run<F, B>(subtasks: &mut Subtasks<Rc<Gate>, F, B>, task: &Arc<Task>)
    where
        F: Future<Output = Infallible>,
        B: Fn(Rc<SubtaskInput<Rc<Gate>>>) -> F,
    {
        let waker = Waker::from(task.clone());
        subtasks.resume(&Context::from_waker(&waker));
        while !subtasks.pause() {
            subtasks.poll();
        }
    }

    /// What a future waits for, how often it was polled, and its waker.
    #[derive(Default)]
    struct Gate {
        is_open: Cell<bool>,
        polls: Cell<usize>,
        waker: RefCell<Option<Waker>>,
    }

    impl Gate {
        fn open(&self) {
            self.is_open.set(true);
            self.wake();
        }

        fn wake(&self) {
            self.waker.borrow().as_ref().unwrap().wake_by_ref();
        }
    }

    /// Passes one gate after the other.
    async fn pass(input: Rc<SubtaskInput<Rc<Gate>>>) -> Infallible {
        loop {
            let gate = input.next().await;
            poll_fn(|context| {
                gate.polls.update(|polls| polls + 1);
                *gate.waker.borrow_mut() = Some(context.waker().clone());
                match gate.is_open.get() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    }

    fn gates<const N: usize>() -> [Rc<Gate>; N] {
        std::array::from_fn(|_| Rc::default())
    }

    #[test]
    fn only_those_are_polled_that_were_woken() {
        let (task, mut subtasks) = (Arc::default(), Subtasks::new(pass));
        let gates = gates::<3>();
        for gate in &gates {
            subtasks.add(gate.clone());
        }
        run(&mut subtasks, &task);
        let polls = || gates.each_ref().map(|gate| gate.polls.get());
        assert_eq!((polls(), subtasks.len()), ([1, 1, 1], 3));
        gates[1].wake();
        gates[1].wake();
        assert_eq!(task.wakes(), 1, "once for all of them");
        run(&mut subtasks, &task);
        assert_eq!(polls(), [1, 2, 1]);
        gates[2].open();
        run(&mut subtasks, &task);
        assert_eq!((polls(), subtasks.len()), ([1, 2, 2], 2));
    }

    #[test]
    fn the_task_is_not_woken_while_it_polls_its_subtasks() {
        let (task, mut subtasks) = (Arc::<Task>::default(), Subtasks::new(pass));
        let [first, second] = gates();
        subtasks.add(first.clone());
        run(&mut subtasks, &task);
        let waker = Waker::from(task.clone());
        subtasks.resume(&Context::from_waker(&waker));
        subtasks.add(second.clone());
        first.open();
        assert!(!subtasks.pause(), "there is something to do");
        subtasks.poll();
        assert!(subtasks.pause());
        assert_eq!((task.wakes(), subtasks.len()), (0, 1));
        second.open();
        assert_eq!(task.wakes(), 1);
        run(&mut subtasks, &task);
        assert!(subtasks.is_empty());
    }

    #[test]
    fn a_subtask_is_used_again_and_an_old_waker_wakes_in_vain() {
        let (task, mut subtasks) = (Arc::default(), Subtasks::new(pass));
        let [first, second] = gates();
        subtasks.add(first.clone());
        run(&mut subtasks, &task);
        first.open();
        run(&mut subtasks, &task);
        subtasks.add(second.clone());
        run(&mut subtasks, &task);
        assert_eq!(subtasks.subtasks.len(), 1);
        first.wake();
        run(&mut subtasks, &task);
        assert_eq!((second.polls.get(), subtasks.len()), (2, 1));
        second.open();
        run(&mut subtasks, &task);
        for _ in 0..3 {
            second.wake();
            run(&mut subtasks, &task);
            assert!(subtasks.is_empty());
            assert_eq!(subtasks.idle, [0], "it is idle once");
        }
    }

    #[test]
    fn another_thread_may_wake_one() {
        let (task, mut subtasks) = (Arc::default(), Subtasks::new(pass));
        let [gate] = gates();
        subtasks.add(gate.clone());
        for turn in 1..100 {
            run(&mut subtasks, &task);
            assert_eq!(gate.polls.get(), turn);
            let waker = gate.waker.borrow().clone().unwrap();
            thread::spawn(move || waker.wake()).join().unwrap();
            assert_eq!(task.wakes(), turn);
        }
    }

    #[test]
    fn memory_is_freed_when_nothing_is_served() {
        let (task, mut subtasks) = (Arc::default(), Subtasks::new(pass));
        let gates = gates::<9>();
        for gate in &gates {
            subtasks.add(gate.clone());
        }
        run(&mut subtasks, &task);
        subtasks.shrink();
        assert_eq!(subtasks.len(), gates.len(), "they are in use");
        for gate in &gates {
            gate.open();
        }
        run(&mut subtasks, &task);
        subtasks.shrink();
        assert_eq!(subtasks.subtasks.capacity(), 0);
        gates[3].wake();
        subtasks.add(Rc::default());
        run(&mut subtasks, &task);
        assert_eq!((subtasks.len(), gates[3].polls.get()), (1, 2));
    }

    #[test]
    fn what_is_served_ends_with_its_subtask() {
        let (task, mut subtasks) = (Arc::default(), Subtasks::new(pass));
        let gates = gates::<3>();
        for gate in &gates {
            subtasks.add(gate.clone());
        }
        run(&mut subtasks, &task);
        subtasks.add(gates[0].clone());
        assert_eq!(Rc::strong_count(&gates[0]), 3);
        drop(subtasks);
        assert!(gates.iter().all(|gate| Rc::strong_count(gate) == 1));
    }
}
