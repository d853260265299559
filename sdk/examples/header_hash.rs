//! A user stays at one member: the hash of a header over the candidates.

use equipoise_sdk::{Candidates, Env, Request, Selector, export_selector};

#[derive(Default)]
struct HeaderHash;

impl Selector for HeaderHash {
    fn select(
        &mut self,
        request: &dyn Request,
        all: &dyn Candidates,
        _: &dyn Env,
    ) -> Option<usize> {
        let user = request.header_hash("x-user")?;
        Some(user as usize % all.len())
    }
}

export_selector!(HeaderHash);
