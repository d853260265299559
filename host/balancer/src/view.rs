//! The candidates of one decision, as the columns a selector reads.

use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::addr_eq;
use std::sync::{Arc, Weak};
use std::time::Duration;

use equipoise_sdk::Candidates;

use crate::{Counters, Member};

/// The memory of the columns; kept between decisions.
#[derive(Default)]
pub(crate) struct Columns {
    /// Whose ids and weights were gathered, which stay the same: members, and positions among them.
    members: Option<Weak<[Arc<Member>]>>,
    positions: Vec<usize>,
    ids: Column<u32>,
    weights: Column<u32>,
    busy: Column<u32>,
    elected: Column<u64>,
    transferred: Column<u64>,
    read: Column<u64>,
    latency_us: Column<u32>,
    consecutive_failures: Column<u32>,
    ready_slots: Column<u32>,
    busy_slots: Column<u32>,
    heartbeat_age_ms: Column<u32>,
    /// Whether anything but ids and weights was gathered.
    has_counters: Cell<bool>,
    narrowed: RefCell<Vec<usize>>,
}

impl Columns {
    /// The members that the decision before was narrowed to, as places in its `positions`.
    pub(crate) fn take_narrowed(&mut self) -> Vec<usize> {
        std::mem::take(self.narrowed.get_mut())
    }

    /// Forgets the counters of the decision before and views `members` at `positions`.
    pub(crate) fn view<'a>(
        &'a mut self,
        members: &'a Arc<[Arc<Member>]>,
        positions: &'a [usize],
        now: Duration,
    ) -> View<'a> {
        if !self.are_of(members, positions) {
            self.begin(members, positions);
        }
        self.narrowed.get_mut().clear();
        if self.has_counters.take() {
            self.clear_counters();
        }
        View {
            members,
            positions,
            now,
            columns: self,
        }
    }

    /// Whether the decision before was among the same.
    fn are_of(&self, members: &Arc<[Arc<Member>]>, positions: &[usize]) -> bool {
        let before = self.members.as_ref();
        before.is_some_and(|before| addr_eq(before.as_ptr(), Arc::as_ptr(members)))
            && self.positions == positions
    }

    #[cold]
    fn begin(&mut self, members: &Arc<[Arc<Member>]>, positions: &[usize]) {
        // Their memory is not used for others while this is held.
        self.members = Some(Arc::downgrade(members));
        self.positions.clear();
        self.positions.extend_from_slice(positions);
        self.ids.clear();
        self.weights.clear();
    }

    fn clear_counters(&mut self) {
        self.busy.clear();
        self.elected.clear();
        self.transferred.clear();
        self.read.clear();
        self.latency_us.clear();
        self.consecutive_failures.clear();
        self.ready_slots.clear();
        self.busy_slots.clear();
        self.heartbeat_age_ms.clear();
    }
}

/// One column: gathered when first asked for, its memory taken over from the decision before.
#[derive(Default)]
struct Column<T> {
    gathered: OnceCell<Vec<T>>,
    spare: Cell<Vec<T>>,
}

impl<T> Column<T> {
    fn clear(&mut self) {
        if let Some(numbers) = self.gathered.take() {
            self.spare.set(numbers);
        }
    }

    fn gather(&self, numbers: impl Iterator<Item = T>) -> &[T] {
        self.gathered.get_or_init(|| {
            let mut column = self.spare.take();
            column.clear();
            column.extend(numbers);
            column
        })
    }
}

/// Some members of a balancer, as candidates.
pub(crate) struct View<'a> {
    members: &'a [Arc<Member>],
    positions: &'a [usize],
    now: Duration,
    columns: &'a Columns,
}

impl View<'_> {
    fn members(&self) -> impl Iterator<Item = &Member> {
        self.positions
            .iter()
            .map(|&position| &*self.members[position])
    }

    fn counters(&self) -> impl Iterator<Item = &Counters> {
        self.columns.has_counters.set(true);
        self.members().map(|member| &*member.counters)
    }
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.positions.len()
    }

    fn ids(&self) -> &[u32] {
        let ids = self.members().map(|member| member.id);
        self.columns.ids.gather(ids)
    }

    fn weights(&self) -> &[u32] {
        let weights = self.members().map(|member| member.settings.lbfactor);
        self.columns.weights.gather(weights)
    }

    fn busy(&self) -> &[u32] {
        self.columns
            .busy
            .gather(self.counters().map(Counters::busy))
    }

    fn elected(&self) -> &[u64] {
        let elected = self.counters().map(Counters::elected);
        self.columns.elected.gather(elected)
    }

    fn transferred(&self) -> &[u64] {
        let transferred = self.counters().map(Counters::transferred);
        self.columns.transferred.gather(transferred)
    }

    fn read(&self) -> &[u64] {
        self.columns
            .read
            .gather(self.counters().map(Counters::read))
    }

    fn latency_us(&self) -> &[u32] {
        let latency = self.counters().map(Counters::latency_us);
        self.columns.latency_us.gather(latency)
    }

    fn consecutive_failures(&self) -> &[u32] {
        let failures = self.counters().map(Counters::consecutive_failures);
        self.columns.consecutive_failures.gather(failures)
    }

    fn ready_slots(&self) -> &[u32] {
        let reports = self.counters().map(Counters::heartbeat);
        let ready = reports.map(|report| report.map_or(0, |report| report.ready));
        self.columns.ready_slots.gather(ready)
    }

    fn busy_slots(&self) -> &[u32] {
        let reports = self.counters().map(Counters::heartbeat);
        let busy = reports.map(|report| report.map_or(0, |report| report.busy));
        self.columns.busy_slots.gather(busy)
    }

    fn heartbeat_age_ms(&self) -> &[u32] {
        let reports = self.counters().map(Counters::heartbeat);
        let ages = reports.map(|report| report.map_or(u32::MAX, |report| report.age_ms(self.now)));
        self.columns.heartbeat_age_ms.gather(ages)
    }

    fn narrow(&self, positions: &[usize]) {
        let mut narrowed = self.columns.narrowed.borrow_mut();
        narrowed.clear();
        narrowed.extend_from_slice(positions);
    }
}
