//! What serves the requests of a connection, within the connection's task: a lane for each that is under way at once. A lane has a
//! waker of its own, so that one that may go on costs the others nothing; it serves one request after the other, in the same memory.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The lanes of a connection. What they serve is a `T`; `B` makes the future `F` of a lane, which takes one after the other
/// from its [`Seat`].
pub(super) struct Lanes<T, F, B> {
    open: B,
    lanes: Vec<Lane<T, F>>,
    free: Vec<usize>,
    queue: Arc<Queue>,
    /// Those that are polled in this round; kept for its memory.
    round: Vec<usize>,
}

struct Lane<T, F> {
    seat: Rc<Seat<T>>,
    future: Pin<Box<F>>,
    signal: Arc<Signal>,
    waker: Waker,
}

/// Where a lane is given what it serves next.
pub(super) struct Seat<T> {
    next: Cell<Option<T>>,
    /// Whether the lane has begun to wait for the next.
    is_free: Cell<bool>,
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

impl<T> Seat<T> {
    /// Waits for what is to be served next.
    pub(super) async fn next(&self) -> T {
        let mut has_told = false;
        poll_fn(|_| match self.next.take() {
            Some(next) => Poll::Ready(next),
            None => {
                self.is_free.set(!mem::replace(&mut has_told, true));
                Poll::Pending
            }
        })
        .await
    }
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

impl<T, F, B> Lanes<T, F, B>
where
    F: Future<Output = Infallible>,
    B: Fn(Rc<Seat<T>>) -> F,
{
    /// None yet; `open` makes them.
    pub(super) fn new(open: B) -> Self {
        Self {
            open,
            lanes: Vec::new(),
            free: Vec::new(),
            queue: Arc::default(),
            round: Vec::new(),
        }
    }

    /// How many serve something.
    pub(super) fn len(&self) -> usize {
        self.lanes.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has something served, from the next round on.
    pub(super) fn add(&mut self, what: T) {
        let place = self.free.pop().unwrap_or_else(|| self.open());
        if let Some(lane) = self.lanes.get(place) {
            lane.seat.next.set(Some(what));
            lane.signal.wake_by_ref();
        }
    }

    fn open(&mut self) -> usize {
        let place = self.lanes.len();
        let seat = Rc::new(Seat {
            next: Cell::new(None),
            is_free: Cell::new(false),
        });
        let signal = Arc::new(Signal {
            lane: place,
            is_queued: AtomicBool::new(false),
            queue: self.queue.clone(),
        });
        self.lanes.push(Lane {
            future: Box::pin((self.open)(seat.clone())),
            seat,
            waker: Waker::from(signal.clone()),
            signal,
        });
        place
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
        let mut context = Context::from_waker(&lane.waker);
        let Poll::Pending = lane.future.as_mut().poll(&mut context);
        if lane.seat.is_free.take() {
            self.free.push(place);
        }
    }

    /// Gives all memory back, if nothing is served.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.lanes = Vec::new();
            self.free = Vec::new();
            self.round = Vec::new();
            // Wakers of before wake none of those to come.
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

    /// Polls until no lane may go on, as the task of a connection does.
    fn run<F, B>(lanes: &mut Lanes<Rc<Gate>, F, B>, task: &Arc<Task>)
    where
        F: Future<Output = Infallible>,
        B: Fn(Rc<Seat<Rc<Gate>>>) -> F,
    {
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

    /// Passes one gate after the other.
    async fn pass(seat: Rc<Seat<Rc<Gate>>>) -> Infallible {
        loop {
            let gate = seat.next().await;
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
        let (task, mut lanes) = (Arc::default(), Lanes::new(pass));
        let gates = gates::<3>();
        for gate in &gates {
            lanes.add(gate.clone());
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
        let (task, mut lanes) = (Arc::<Task>::default(), Lanes::new(pass));
        let [first, second] = gates();
        lanes.add(first.clone());
        run(&mut lanes, &task);
        let waker = Waker::from(task.clone());
        lanes.resume(&Context::from_waker(&waker));
        lanes.add(second.clone());
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
        let (task, mut lanes) = (Arc::default(), Lanes::new(pass));
        let [first, second] = gates();
        lanes.add(first.clone());
        run(&mut lanes, &task);
        first.open();
        run(&mut lanes, &task);
        lanes.add(second.clone());
        run(&mut lanes, &task);
        assert_eq!(lanes.lanes.len(), 1);
        first.wake();
        run(&mut lanes, &task);
        assert_eq!((second.polls.get(), lanes.len()), (2, 1));
        second.open();
        run(&mut lanes, &task);
        for _ in 0..3 {
            second.wake();
            run(&mut lanes, &task);
            assert!(lanes.is_empty());
            assert_eq!(lanes.free, [0], "it is free once");
        }
    }

    #[test]
    fn another_thread_may_wake_one() {
        let (task, mut lanes) = (Arc::default(), Lanes::new(pass));
        let [gate] = gates();
        lanes.add(gate.clone());
        for turn in 1..100 {
            run(&mut lanes, &task);
            assert_eq!(gate.polls.get(), turn);
            let waker = gate.waker.borrow().clone().unwrap();
            thread::spawn(move || waker.wake()).join().unwrap();
            assert_eq!(task.wakes(), turn);
        }
    }

    #[test]
    fn memory_is_given_back_when_nothing_is_served() {
        let (task, mut lanes) = (Arc::default(), Lanes::new(pass));
        let gates = gates::<9>();
        for gate in &gates {
            lanes.add(gate.clone());
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
        gates[3].wake();
        lanes.add(Rc::default());
        run(&mut lanes, &task);
        assert_eq!((lanes.len(), gates[3].polls.get()), (1, 2));
    }

    #[test]
    fn what_is_served_ends_with_its_lane() {
        let (task, mut lanes) = (Arc::default(), Lanes::new(pass));
        let gates = gates::<3>();
        for gate in &gates {
            lanes.add(gate.clone());
        }
        run(&mut lanes, &task);
        lanes.add(gates[0].clone());
        assert_eq!(Rc::strong_count(&gates[0]), 3);
        drop(lanes);
        assert!(gates.iter().all(|gate| Rc::strong_count(gate) == 1));
    }
}
