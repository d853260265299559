//! The rules of balancing, with the built-in policies: one file a subject.

mod apache;
mod choosing;
mod counters;
mod eligible;
mod explaining;
mod health;
mod judgement;
mod knowing;
mod recovery;
mod site;
mod sticky;
mod threads;
mod tried;
