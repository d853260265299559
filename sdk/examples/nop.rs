//! Decides nothing: what a call costs by itself.

use equipoise_sdk::{Candidates, Env, Request, Selector, export_selector};

#[derive(Default)]
struct Nop;

impl Selector for Nop {
    fn select(&mut self, _: &dyn Request, _: &dyn Candidates, _: &dyn Env) -> Option<usize> {
        None
    }
}

export_selector!(Nop);
