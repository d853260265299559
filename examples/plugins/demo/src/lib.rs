//! The plugin of `equipoise demo`: a user stays at one member, by the hash of the header `x-user`; requests without it are
//! left to the fallback method.

use equipoise_sdk::{Candidates, Host, Request, Selector, export_selector};

#[derive(Default)]
struct Demo;

impl Selector for Demo {
    fn select(
        &mut self,
        request: &dyn Request,
        all: &dyn Candidates,
        _: &dyn Host,
    ) -> Option<usize> {
        let user = request.header_hash("x-user").map(|hash| hash as usize);
        user.map(|hash| hash % all.len()) // CHANGE THIS LINE, for example to: Some(2)
    }
}

export_selector!(Demo);
