//! The interfaces `selector`, `prefetch` and `schedule`, implemented by a [`Selector`].

use super::Instance;
use super::bindings::imports::equipoise::balancer::types::{Entry, MemberConfig as Member};
use super::bindings::prefetch::exports::equipoise::balancer::prefetch;
use super::bindings::schedule::exports::equipoise::balancer::schedule;
use super::bindings::selector::exports::equipoise::balancer::selector;
use super::call_context::{CallContext, position};
use crate::{PolicyConfig, Selector};

impl<I: Instance<Policy: Selector>> selector::Guest for I {
    fn configure(settings: Vec<Entry>, members: Vec<Member>) -> Result<(), String> {
        I::with(|policy| policy.configure(&PolicyConfig::received(settings, members)))
    }

    fn select(count: u32) -> Option<u32> {
        let context = CallContext::with_candidates(count);
        I::with(|policy| policy.select(&context, &context, &context)).map(position)
    }
}

impl<I: Instance<Policy: Selector>> prefetch::Guest for I {
    fn columns() -> Vec<String> {
        let columns = I::Policy::columns().iter();
        columns.map(|column| column.name().to_owned()).collect()
    }

    fn select(count: u32, random: u32, values: Vec<u32>) -> Option<u32> {
        let context = CallContext::with_columns(count, random, I::Policy::columns(), &values);
        I::with(|policy| policy.select(&context, &context, &context)).map(position)
    }
}

impl<I: Instance<Policy: Selector>> schedule::Guest for I {
    fn record_sticky(chosen: u32) {
        I::with(|policy| policy.record_sticky(&CallContext::default(), chosen as usize));
    }

    fn lbstatus(id: u32) -> i64 {
        I::with(|policy| policy.lbstatus(id))
    }

    fn reset() {
        I::with(Selector::reset);
    }
}
