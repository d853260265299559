//! Before anything is measured: whether a contender follows its policy. A script that fails is passed over by some proxies,
//! which would look fast.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::proxy::ask;

/// So many that a hash does not send all of them to one member.
const USERS: usize = 16;

/// How often each of them comes.
const VISITS: usize = 4;

/// Asks as different users.
///
/// # Errors
/// When a user gets to different members, or all users to the same.
pub(crate) fn rehearse(name: &str, address: SocketAddr) -> Result<()> {
    let mut members = Vec::new();
    for user in 0..USERS {
        let line = format!("x-user: user-{user:02}");
        for _ in 0..VISITS {
            // The last letter of the body is the member's.
            members.push(ask(address, &[&line])?.body.bytes.pop());
        }
        let visited = &members[user * VISITS..];
        ensure!(
            visited.iter().all(|member| *member == visited[0]),
            "{name} does not follow its policy: one user gets to different members"
        );
    }
    ensure!(
        members.iter().any(|member| *member != members[0]),
        "{name} does not follow its policy: all users get to one member"
    );
    Ok(())
}
