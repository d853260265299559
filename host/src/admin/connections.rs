//! Connections to the admin listener, and which one is closed when there is no room for another.
//!
//! A new connection is always accepted. Beyond the limit another is closed in its place: the oldest one without the token, of
//! the address that has the most of them; one that has shown the token only where there are no others. Each has a grace period
//! first, unless there is a real crowd; one whose command is being carried out stays.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// How long a new connection is not closed for another.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

/// With so many times more connections than there should be, none is left alone.
pub(super) const CROWD: usize = 4;

/// The prefix length of a client's IPv6 network: a client that has one address of it has all.
const IPV6_PREFIX: u32 = 64;

/// The connections that are open.
pub(super) struct Connections {
    limit: usize,
    /// The oldest first.
    open: RefCell<Vec<Rc<State>>>,
}

/// A connection. It is no longer open when this is dropped.
pub(super) struct Connection {
    state: Rc<State>,
    all: Rc<Connections>,
}

/// An order of the connection's client is carried out for as long as this is there.
pub(super) struct Work<'connection>(&'connection State);

struct State {
    from: IpAddr,
    since: Instant,
    priority: Cell<Priority>,
    closing: Notify,
}

/// Which connections are closed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    /// Its client is not authorized yet.
    Unknown,
    /// It is: by the token, or where none is needed.
    Known,
    /// Its order is being carried out.
    AtWork,
    /// It is closing already.
    Closing,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            limit,
            open: RefCell::default(),
        })
    }

    /// A new connection from this address. If there are too many then, others are to be closed.
    pub(super) fn admit(self: &Rc<Self>, from: IpAddr, now: Instant) -> Connection {
        while let Some(state) = self.superfluous(now) {
            state.priority.set(Priority::Closing);
            state.closing.notify_one();
        }
        let state = Rc::new(State {
            from: network(from),
            since: now,
            priority: Cell::new(Priority::Unknown),
            closing: Notify::new(),
        });
        self.open.borrow_mut().push(state.clone());
        Connection {
            state,
            all: self.clone(),
        }
    }

    /// One that is to be closed, if there is no room for another.
    fn superfluous(&self, now: Instant) -> Option<Rc<State>> {
        let open = self.open.borrow();
        let staying = open.iter().filter(|it| !it.is_closing());
        let count = staying.clone().count();
        if count < self.limit {
            return None;
        }
        let is_crowd = count >= CROWD * self.limit;
        let had_time =
            |it: &State| is_crowd || now.saturating_duration_since(it.since) >= GRACE_PERIOD;
        let weakest = staying.clone().map(|it| it.priority.get()).min()?;
        let weakest = Some(weakest).filter(|it| *it < Priority::AtWork)?;
        let candidates = staying.filter(|it| it.priority.get() == weakest && had_time(it));
        let mut by_address = BTreeMap::<_, (usize, &Rc<State>)>::new();
        for state in candidates {
            by_address.entry(state.from).or_insert((0, state)).0 += 1;
        }
        let most = by_address.values().map(|(count, _)| *count).max()?;
        let longest = by_address.values().filter(|(count, _)| *count == most);
        let longest = longest.min_by_key(|(_, state)| state.since);
        longest.map(|(_, state)| Rc::clone(state))
    }
}

impl State {
    fn is_closing(&self) -> bool {
        self.priority.get() == Priority::Closing
    }

    fn set(&self, priority: Priority) {
        if !self.is_closing() {
            self.priority.set(priority);
        }
    }
}

impl Connection {
    /// Its client has shown that it may ask.
    pub(super) fn mark_authorized(&self) {
        self.state.set(Priority::Known);
    }

    /// An order of its client, who may ask, begins to be carried out.
    pub(super) fn work(&self) -> Work<'_> {
        self.state.set(Priority::AtWork);
        Work(&self.state)
    }

    /// Waits until it is to be closed for another.
    pub(super) async fn closing(&self) {
        self.state.closing.notified().await;
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.set(Priority::Known);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.all.open.borrow_mut();
        open.retain(|state| !Rc::ptr_eq(state, &self.state));
    }
}

/// What an address counts as.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host = u128::MAX >> IPV6_PREFIX;
            IpAddr::V6((address.to_bits() & !host).into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections as `a` (unknown, of address a), `A` (known) or `a!` (at work), the oldest first and a second apart; which of
    /// them are closed for another that comes so many seconds after the last, from 0.
    #[track_caller]
    fn closed(limit: usize, given: &str, after: u64) -> Vec<usize> {
        let connections = Connections::new(usize::MAX / CROWD);
        let start = Instant::now();
        let mut now = start;
        let mut open = Vec::new();
        for word in given.split(' ') {
            let letter = word.as_bytes()[0];
            let connection = connections.admit([10, 0, 0, letter.to_ascii_lowercase()].into(), now);
            match word.ends_with('!') {
                true => std::mem::forget(connection.work()),
                false if letter.is_ascii_uppercase() => connection.mark_authorized(),
                false => {}
            }
            open.push(connection);
            now += GRACE_PERIOD;
        }
        let crowd = Rc::new(Connections {
            limit,
            open: RefCell::new(connections.open.borrow().clone()),
        });
        let _another = crowd.admit(
            [10, 0, 1, 1].into(),
            now - GRACE_PERIOD + Duration::from_secs(after),
        );
        let closing = open.iter().enumerate();
        let closing = closing.filter(|(_, it)| it.state.is_closing());
        closing.map(|(place, _)| place).collect()
    }

    #[test]
    fn who_has_to_go_is_the_longest_there_of_the_unknown_of_the_address_with_most() {
        for (most, given, expected) in [
            (3, "a b", vec![]),
            (3, "a b c", vec![0]),
            (3, "a b b", vec![1]),
            (4, "c a b b", vec![2]),
            (4, "A B b C", vec![2]),
            (3, "c a b b a", vec![1, 2, 0]),
            // There is no other.
            (3, "A B C", vec![0]),
            (3, "a! B! C", vec![2]),
            (3, "a! b! c!", vec![]),
            (3, "a! B c", vec![2]),
        ] {
            let mut expected = expected;
            expected.sort_unstable();
            assert_eq!(closed(most, given, 1), expected, "{most}: {given}");
        }
    }

    #[test]
    fn every_connection_has_a_grace_period_unless_there_is_a_crowd() {
        assert_eq!(closed(1, "a", 0), [0; 0]);
        assert_eq!(closed(1, "a", 1), [0]);
        assert_eq!(closed(2, "a b c", 0), [0, 1]);
        // One that has shown that it may ask is not closed for those who have not.
        assert_eq!(closed(2, "A B c", 0), [0; 0]);
        assert_eq!(closed(1, "a! b! c! d", 0), [3]);
    }

    #[tokio::test]
    async fn one_that_is_to_go_is_told_once_and_counts_no_more() {
        let connections = Connections::new(2);
        let now = Instant::now();
        let admit = |number: u8, after: u32| {
            connections.admit([10, 0, 0, number].into(), now + GRACE_PERIOD * after)
        };
        let (first, second) = (admit(1, 0), admit(2, 1));
        let _third = admit(3, 2);
        first.closing().await;
        // It shows now that it may ask, which comes too late.
        first.mark_authorized();
        drop(first);
        let _fourth = admit(4, 3);
        second.closing().await;
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
