//! Sends a user to the same member every time, and other requests to the least busy one.

use equipoise_sdk::{Candidates, Env, PolicyConfig, Request, Selector, export_selector};

/// The policy. The setting `header` names the header field of the user.
struct HashOrLeastBusy {
    header: String,
}

impl Default for HashOrLeastBusy {
    fn default() -> Self {
        Self {
            header: "x-user".to_owned(),
        }
    }
}

impl Selector for HashOrLeastBusy {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        config.deny_unknown(&["header"])?;
        *self = Self::default();
        if let Some(header) = config.setting("header") {
            header.clone_into(&mut self.header);
        }
        Ok(())
    }

    fn select(
        &mut self,
        request: &dyn Request,
        candidates: &dyn Candidates,
        _: &dyn Env,
    ) -> Option<usize> {
        if let Some(hash) = request.header_hash(&self.header) {
            return Some(hash as usize % candidates.len());
        }
        let busy = candidates.busy().iter().enumerate();
        // The first of those that are equal.
        let (least, _) = busy.min_by_key(|(_, busy)| **busy)?;
        Some(least)
    }
}

export_selector!(HashOrLeastBusy);

#[cfg(test)]
mod tests {
    use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};

    use super::*;

    fn candidates(busy: &[u32]) -> FakeCandidates {
        let busy = busy.iter().zip(0..);
        busy.map(|(&busy, id)| FakeCandidate {
            busy,
            ..FakeCandidate::new(id)
        })
        .collect()
    }

    fn select(policy: &mut HashOrLeastBusy, request: &FakeRequest, busy: &[u32]) -> Option<usize> {
        policy.select(request, &candidates(busy), &FakeEnv::default())
    }

    #[test]
    fn a_user_stays_whatever_the_members_do() {
        let mut policy = HashOrLeastBusy::default();
        let request = FakeRequest::get("/").with_header("x-user", "ada");
        let first = select(&mut policy, &request, &[0, 0, 0]);
        for busy in [[9, 0, 0], [0, 9, 0], [0, 0, 9]] {
            assert_eq!(select(&mut policy, &request, &busy), first);
        }
    }

    #[test]
    fn users_spread() {
        let mut policy = HashOrLeastBusy::default();
        let mut users = [0; 3];
        for user in 0..300 {
            let request = FakeRequest::get("/").with_header("x-user", &user.to_string());
            let position = select(&mut policy, &request, &[0, 0, 0]).expect("a member");
            users[position] += 1;
        }
        assert!(users.iter().all(|&users| users > 60), "{users:?}");
    }

    #[test]
    fn request_without_a_user_goes_to_the_first_of_the_least_busy() {
        let mut policy = HashOrLeastBusy::default();
        let request = FakeRequest::get("/");
        for (busy, least) in [([2, 1, 1], 1), ([0, 0, 0], 0), ([3, 2, 1], 2)] {
            assert_eq!(select(&mut policy, &request, &busy), Some(least));
        }
    }

    #[test]
    fn the_setting_names_the_header_field() {
        let mut policy = HashOrLeastBusy::default();
        let config = PolicyConfig::from_settings([("header", "x-tenant")]);
        assert_eq!(policy.configure(&config), Ok(()));
        let request = FakeRequest::get("/").with_header("x-user", "ada");
        assert_eq!(select(&mut policy, &request, &[1, 1, 0]), Some(2));
        let expected = equipoise_sdk::hash::bytes(b"acme") as usize % 3;
        let request = request.with_header("X-Tenant", "acme");
        assert_eq!(select(&mut policy, &request, &[1, 1, 0]), Some(expected));
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let config = PolicyConfig::from_settings([("headr", "x-user")]);
        let refused = HashOrLeastBusy::default().configure(&config);
        assert!(refused.is_err_and(|reason| reason.contains("headr")));
    }
}
