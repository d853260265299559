//! The interface `state`, implemented by a policy of any role.

use super::Instance;
use super::bindings::state::exports::equipoise::balancer::state;

impl<I: Instance> state::Guest for I {
    fn save() -> Vec<u8> {
        I::save()
    }

    fn restore(blob: Vec<u8>) -> Result<(), String> {
        I::restore(&blob)
    }
}
