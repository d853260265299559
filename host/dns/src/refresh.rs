//! Asks for one name again and again.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::sleep;

use super::Addresses;
use super::lifetime::{lifetime, retry_after};
use super::resolver::Resolver;

/// Asks for one name whenever what is known of it has had its time, until the future is dropped.
pub async fn refresh(addresses: Arc<Addresses>, resolver: Rc<Resolver>) {
    let mut failures = 0_u32;
    loop {
        let pause = match resolver.resolve(addresses.host()).await {
            Ok(answer) => {
                failures = 0;
                addresses.learn(&answer);
                let is_partial = answer.targets.iter().any(|it| it.unanswered.is_some());
                lifetime(answer.ttl, is_partial, resolver.settings())
            }
            Err(why) => {
                failures = failures.saturating_add(1);
                addresses.note_failure(why);
                let wait = retry_after(failures, resolver.settings());
                // Names that fail together are not asked for together again.
                wait.mul_f64(0.9 + 0.1 * fastrand::f64())
            }
        };
        sleep(pause).await;
    }
}

/// Asks for one name once.
pub async fn refresh_once(addresses: &Addresses, resolver: &Resolver) {
    match resolver.resolve(addresses.host()).await {
        Ok(answer) => addresses.learn(&answer),
        Err(why) => addresses.note_failure(why),
    }
}
