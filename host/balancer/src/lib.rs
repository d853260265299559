//! The rules of balancing, as a pure core: no socket, no clock, no async, no unsafe.
//!
//! `now` and random numbers are parameters, so that every rule can be tested as a table and a decision replays exactly.
//! [`Balancer::choose`] ties the rules together; who may be chosen is decided here, who is chosen by an
//! [`equipoise_sdk::Selector`].

mod balancer;
mod counters;
mod desk;
mod eligible;
mod explanation;
mod generation;
mod health;
mod judgement;
mod known;
mod member;
mod moment;
mod observer;
mod plugin;
mod recovery;
mod rendezvous;
mod roster;
mod slow_start;
mod status;
mod sticky;
mod view;

pub use balancer::{Balancer, Choice, Methods, Outcome, Query, Refusal, Settings};
pub use counters::{Counters, Lease, Report};
pub use explanation::{By, Explanation, Standing};
pub use judgement::{Judgement, PluginJudge};
pub use member::{Member, MemberSettings};
pub use observer::{Change, Observer};
pub use plugin::{FaultKind, PluginVersion, Role};
pub use status::{ParseStatusError, Status};
