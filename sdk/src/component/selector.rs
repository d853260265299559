//! The interfaces `selector`, `prefetch` and `schedule`, answered by a [`Selector`].

use super::Instance;
use super::ambient::{Ambient, position};
use super::bindings::imports::equipoise::balancer::types::{Entry, Member};
use super::bindings::prefetch::exports::equipoise::balancer::prefetch;
use super::bindings::schedule::exports::equipoise::balancer::schedule;
use super::bindings::selector::exports::equipoise::balancer::selector;
use crate::{Selector, Setup};

impl<I: Instance<Policy: Selector>> selector::Guest for I {
    fn configure(settings: Vec<Entry>, members: Vec<Member>) -> Result<(), String> {
        I::with(|policy| policy.configure(&Setup::received(settings, members)))
    }

    fn select(count: u32) -> Option<u32> {
        let ambient = Ambient::with_candidates(count);
        I::with(|policy| policy.select(&ambient, &ambient, &ambient)).map(position)
    }
}

impl<I: Instance<Policy: Selector>> prefetch::Guest for I {
    fn columns() -> Vec<String> {
        let columns = I::Policy::columns().iter();
        columns.map(|column| column.name().to_owned()).collect()
    }

    fn select(count: u32, random: u32, numbers: Vec<u32>) -> Option<u32> {
        let ambient = Ambient::with_columns(count, random, I::Policy::columns(), &numbers);
        I::with(|policy| policy.select(&ambient, &ambient, &ambient)).map(position)
    }
}

impl<I: Instance<Policy: Selector>> schedule::Guest for I {
    fn charge(chosen: u32) {
        I::with(|policy| policy.charge(&Ambient::default(), chosen as usize));
    }

    fn load(id: u32) -> i64 {
        I::with(|policy| policy.load(id))
    }

    fn reset() {
        I::with(Selector::reset);
    }
}
