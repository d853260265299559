//! The plugin of `equipoise demo`: a user stays at one member, by the hash of the header `x-user`; the fallback
//! method decides for requests without it.

use equipoise_sdk::{Candidates, Env, Request, Selector, export_selector};

#[derive(Default)]
struct Demo;

impl Selector for Demo {
    fn select(
        &mut self,
        request: &dyn Request,
        all: &dyn Candidates,
        _: &dyn Env,
    ) -> Option<usize> {
        let user = request.header_hash("x-user").map(|hash| hash as usize);
        user.map(|hash| hash % all.len()) // CHANGE THIS LINE, for example to: Some(2)
    }
}

export_selector!(Demo);
