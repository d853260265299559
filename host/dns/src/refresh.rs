//! Keeps the addresses of one name up to date.

use std::rc::Rc;
use std::sync::Arc;

use tokio::time::sleep;

use super::Addresses;
use super::resolver::Resolver;
use super::ttl::{clamp_ttl, retry_after};

/// Looks up one name whenever its TTL is over, until the future is dropped.
pub async fn refresh(addresses: Arc<Addresses>, resolver: Rc<Resolver>) {
    let mut failures = 0_u32;
    loop {
        let pause = match resolver.resolve(addresses.host()).await {
            Ok(answer) => {
                failures = 0;
                addresses.update(&answer);
                let is_partial = answer.targets.iter().any(|it| it.missing_family.is_some());
                clamp_ttl(answer.ttl, is_partial, resolver.settings())
            }
            Err(why) => {
                failures = failures.saturating_add(1);
                addresses.record_failure(why);
                let wait = retry_after(failures, resolver.settings());
                // Jitter: names that fail together are not looked up together again.
                wait.mul_f64(0.9 + 0.1 * fastrand::f64())
            }
        };
        sleep(pause).await;
    }
}

/// Looks up one name once.
pub async fn refresh_once(addresses: &Addresses, resolver: &Resolver) {
    match resolver.resolve(addresses.host()).await {
        Ok(answer) => addresses.update(&answer),
        Err(why) => addresses.record_failure(why),
    }
}
