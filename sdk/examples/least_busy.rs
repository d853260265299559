//! The member with the fewest requests in flight: the plugin that the README shows.

use equipoise_sdk::{Candidates, Column, Env, Request, Selector, export_selector};

#[derive(Default)]
struct LeastBusy;

impl Selector for LeastBusy {
    fn columns() -> &'static [Column] {
        &[Column::Busy]
    }

    fn select(&mut self, _: &dyn Request, all: &dyn Candidates, _: &dyn Env) -> Option<usize> {
        (0..all.len()).min_by_key(|&position| all.busy()[position])
    }
}
export_selector!(LeastBusy);
