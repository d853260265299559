//! `[manager]`.

use super::*;
use crate::Manager;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

fn manager(keys: &str) -> Manager {
    let config = good(&format!("{GOOD}{ADMIN}[manager]\n{keys}\n"));
    config.manager.expect("a manager")
}

#[test]
fn the_manager_is_for_this_machine_unless_something_else_is_said() {
    let manager = manager("");
    assert_eq!(manager.path, "/balancer-manager");
    assert!(manager.local && manager.networks.is_empty());
    assert!(!manager.requires_token);
    assert_eq!(good(GOOD).manager, None);
}

#[test]
fn who_may_use_the_manager_is_read_as_written() {
    let manager = manager(
        "path = \"/ops//lb/\"\nhosts = [\"LB.example.com\"]\nrequire = [\"10.0.0.0/8\", \"::1\"]",
    );
    assert_eq!(
        (&*manager.path, &*manager.hosts),
        ("/ops/lb", &["lb.example.com".to_owned()][..])
    );
    let networks: Vec<_> = manager.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    assert!(!manager.local);
}

#[test]
fn mistakes_about_the_manager_say_what_would_be_right() {
    let table = [
        ("path = \"/\"", "must have a segment"),
        (
            "require = []",
            "must not be empty: write who may use the manager",
        ),
        (
            "require = [\"everybody\"]",
            "must be \"local\", \"token\", or an IP network",
        ),
        ("require = [\"token\"]", "needs an admin token"),
        ("hosts = [\"a b\"]", "must be a host name"),
        ("colour = 1", "unknown key `colour`"),
    ];
    for (line, remedy) in table {
        let found = mistakes(&format!("{GOOD}{ADMIN}[manager]\n{line}\n"));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains(remedy), "{line}: {found:?}");
    }
}
