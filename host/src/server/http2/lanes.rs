//! Futures of a connection's requests, polled by the task of the connection: each has a waker of its own, so that one that may go
//! on costs the others nothing.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Lanes that are kept while none is in use.
const KEPT: usize = 4;

/// A future for each request under way.
pub(super) struct Lanes<F> {
    lanes: Vec<Lane<F>>,
    free: Vec<usize>,
    queue: Arc<Queue>,
    /// Those that are polled in this round; kept for its memory.
    round: Vec<usize>,
}

struct Lane<F> {
    future: Option<Pin<Box<F>>>,
    signal: Arc<Signal>,
    waker: Waker,
}

/// Wakes one lane; from any thread.
struct Signal {
    lane: usize,
    is_queued: AtomicBool,
    queue: Arc<Queue>,
}

/// Lanes that may go on.
#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lanes: Vec<usize>,
    /// Whether the task is looking after its lanes already, and need not be woken.
    is_awake: bool,
    task: Option<Waker>,
}

impl Queue {
    /// Held for a moment only.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, AcqRel) {
            return;
        }
        let mut waiting = self.queue.lock();
        waiting.lanes.push(self.lane);
        let task = match waiting.is_awake {
            true => None,
            false => waiting.task.clone(),
        };
        drop(waiting);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Default for Lanes<F> {
    fn default() -> Self {
        Self {
            lanes: Vec::new(),
            free: Vec::new(),
            queue: Arc::default(),
            round: Vec::new(),
        }
    }
}

impl<F: Future<Output = ()>> Lanes<F> {
    /// How many futures there are.
    pub(super) fn len(&self) -> usize {
        self.lanes.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a future, which is polled in the next round.
    pub(super) fn add(&mut self, future: F) {
        let place = self.free.pop().unwrap_or_else(|| {
            let lane = self.lanes.len();
            let signal = Arc::new(Signal {
                lane,
                is_queued: AtomicBool::new(false),
                queue: self.queue.clone(),
            });
            self.lanes.push(Lane {
                future: None,
                waker: Waker::from(signal.clone()),
                signal,
            });
            lane
        });
        if let Some(lane) = self.lanes.get_mut(place) {
            lane.future = Some(Box::pin(future));
            lane.signal.wake_by_ref();
        }
    }

    /// The task looks after its lanes until it [pauses](Self::pause): it need not be woken for them.
    pub(super) fn resume(&self, context: &Context<'_>) {
        let mut waiting = self.queue.lock();
        waiting.is_awake = true;
        match &mut waiting.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// The task is to be woken when a lane may go on. False where one may already.
    pub(super) fn pause(&self) -> bool {
        let mut waiting = self.queue.lock();
        waiting.is_awake = !waiting.lanes.is_empty();
        !waiting.is_awake
    }

    /// Polls those that may go on, each once.
    pub(super) fn poll(&mut self) {
        let mut round = mem::take(&mut self.round);
        mem::swap(&mut round, &mut self.queue.lock().lanes);
        for place in &round {
            self.poll_one(*place);
        }
        round.clear();
        self.round = round;
    }

    fn poll_one(&mut self, place: usize) {
        let Some(lane) = self.lanes.get_mut(place) else {
            return;
        };
        lane.signal.is_queued.swap(false, AcqRel);
        let Some(future) = &mut lane.future else {
            return;
        };
        let mut context = Context::from_waker(&lane.waker);
        if let Poll::Ready(()) = future.as_mut().poll(&mut context) {
            lane.future = None;
            self.free.push(place);
        }
    }

    /// Gives memory back, if no future is left.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.lanes.len() > KEPT {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::{pending, poll_fn};
    use std::rc::Rc;
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

    /// Polls until no lane may go on, as the task of a connection does.
    fn run<F: Future<Output = ()>>(lanes: &mut Lanes<F>, task: &Arc<Task>) {
        let waker = Waker::from(task.clone());
        lanes.resume(&Context::from_waker(&waker));
        while !lanes.pause() {
            lanes.poll();
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

    async fn pass(gate: Rc<Gate>) {
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

    fn gates<const N: usize>() -> [Rc<Gate>; N] {
        std::array::from_fn(|_| Rc::default())
    }

    #[test]
    fn only_those_are_polled_that_were_woken() {
        let (task, mut lanes) = (Arc::default(), Lanes::default());
        let gates = gates::<3>();
        for gate in &gates {
            lanes.add(pass(gate.clone()));
        }
        run(&mut lanes, &task);
        let polls = || gates.each_ref().map(|gate| gate.polls.get());
        assert_eq!((polls(), lanes.len()), ([1, 1, 1], 3));
        gates[1].wake();
        gates[1].wake();
        assert_eq!(task.wakes(), 1, "once for all of them");
        run(&mut lanes, &task);
        assert_eq!(polls(), [1, 2, 1]);
        gates[2].open();
        run(&mut lanes, &task);
        assert_eq!((polls(), lanes.len()), ([1, 2, 2], 2));
    }

    #[test]
    fn the_task_is_not_woken_for_what_it_looks_after_already() {
        let (task, mut lanes) = (Arc::<Task>::default(), Lanes::default());
        let [first, second] = gates();
        lanes.add(pass(first.clone()));
        run(&mut lanes, &task);
        let waker = Waker::from(task.clone());
        lanes.resume(&Context::from_waker(&waker));
        lanes.add(pass(second.clone()));
        first.open();
        assert!(!lanes.pause(), "there is something to do");
        lanes.poll();
        assert!(lanes.pause());
        assert_eq!((task.wakes(), lanes.len()), (0, 1));
        second.open();
        assert_eq!(task.wakes(), 1);
        run(&mut lanes, &task);
        assert!(lanes.is_empty());
    }

    #[test]
    fn a_lane_is_used_again_and_a_waker_of_before_wakes_in_vain() {
        let (task, mut lanes) = (Arc::default(), Lanes::default());
        let [first, second] = gates();
        lanes.add(pass(first.clone()));
        run(&mut lanes, &task);
        first.open();
        run(&mut lanes, &task);
        lanes.add(pass(second.clone()));
        run(&mut lanes, &task);
        assert_eq!(lanes.lanes.len(), 1);
        first.wake();
        run(&mut lanes, &task);
        assert_eq!((second.polls.get(), lanes.len()), (2, 1));
        second.open();
        run(&mut lanes, &task);
        assert!(lanes.is_empty());
        second.wake();
        run(&mut lanes, &task);
    }

    #[test]
    fn another_thread_may_wake_one() {
        let (task, mut lanes) = (Arc::default(), Lanes::default());
        let [gate] = gates();
        lanes.add(pass(gate.clone()));
        for turn in 1..100 {
            run(&mut lanes, &task);
            assert_eq!(gate.polls.get(), turn);
            let waker = gate.waker.borrow().clone().unwrap();
            thread::spawn(move || waker.wake()).join().unwrap();
            assert_eq!(task.wakes(), turn);
        }
    }

    #[test]
    fn the_memory_of_many_is_given_back_when_all_have_ended() {
        let (task, mut lanes) = (Arc::default(), Lanes::default());
        let gates = gates::<{ KEPT + 1 }>();
        for gate in &gates {
            lanes.add(pass(gate.clone()));
        }
        run(&mut lanes, &task);
        lanes.shrink();
        assert_eq!(lanes.len(), gates.len(), "they are in use");
        for gate in &gates {
            gate.open();
        }
        run(&mut lanes, &task);
        lanes.shrink();
        assert_eq!(lanes.lanes.capacity(), 0);
    }

    #[test]
    fn futures_that_have_not_ended_end_with_their_lanes() {
        let (task, mut lanes) = (Arc::default(), Lanes::default());
        let held = Rc::new(());
        for _ in 0..3 {
            let held = held.clone();
            lanes.add(async move {
                let _held = held;
                pending::<()>().await;
            });
        }
        run(&mut lanes, &task);
        assert_eq!(Rc::strong_count(&held), 4);
        drop(lanes);
        assert_eq!(Rc::strong_count(&held), 1);
    }
}
