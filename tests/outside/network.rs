//! A network of a test's own, where it has the addresses it likes.
//!
//! Servers are told apart by their IP addresses in some matters, and a machine for tests has but one. So the test program
//! starts itself once more in a new network namespace, with that test alone; it and every server it starts live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

/// Addresses there. What goes to a multicast group of IPv4 comes from the first.
pub(crate) const IPV4: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 12)),
];

/// The same hosts' addresses of IPv6.
pub(crate) const IPV6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x12)),
];

/// The number of the network card, the scope of its link-local addresses.
pub(crate) const CARD: u32 = 7;

/// Set where the test is in its network already.
const MARK: &str = "OUTSIDE_NETWORK";

/// Makes the network and becomes the program named by the arguments there. Without root the user stays the same, so that
/// Apache does not try to change it.
const ENTER: &str = r#"
as=
[ "$(id -u)" = 0 ] || as="--map-current-user --keep-caps"
exec unshare --net $as sh -ec '
    ip link set lo up
    ip link add name card index 7 type veth peer name cable
    ip link set card up
    ip link set cable up
    ip address add 192.0.2.11/32 dev card
    ip address add 192.0.2.12/32 dev card
    ip address add 2001:db8::11/64 dev card nodad
    ip address add 2001:db8::12/64 dev card nodad
    ip route add default dev card
    exec "$@"' sh "$@"
"#;

const NEED: &str = "this test needs a network of its own: the programs unshare and ip (Debian and Ubuntu: apt-get install \
    util-linux iproute2), a kernel with veth and IPv6, and root or the right to make user namespaces";

/// Runs the body in a network of its own. `test` is the whole name of the test that this is called from, which runs once
/// more there.
///
/// # Panics
/// The body panics, or there can be no such network; the message says what it needs.
#[track_caller]
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("sh")
        .args(["-c", ENTER, "sh"])
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .stdin(Stdio::null())
        .output()
        .expect("starting sh");
    let told = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("running "), "{NEED}; here: {wrong}");
    let passes = output.status.success() && told.contains("1 passed");
    assert!(passes, "{test}, in a network of its own: {told}{wrong}");
}
