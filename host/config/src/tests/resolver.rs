//! `[resolver]`.

use super::*;

fn resolver(lines: &str) -> Resolver {
    good(&format!("{GOOD}[resolver]\n{lines}")).resolver
}

#[test]
fn nameservers_default_to_those_of_the_system() {
    assert_eq!(good(GOOD).resolver, Resolver::default());
    assert_eq!(resolver(""), Resolver::default());
    let read = resolver(
        "nameservers = [\"10.0.0.2\", \"127.0.0.1:5353\", \"::1\", \"[::1]:5353\"]\ntimeout = \"2s\"",
    );
    let shown: Vec<_> = read.nameservers.iter().map(ToString::to_string).collect();
    let expected = ["10.0.0.2:53", "127.0.0.1:5353", "[::1]:53", "[::1]:5353"];
    assert_eq!(shown, expected);
    assert_eq!(read.timeout, Duration::from_secs(2));
}

/// The keys as written, and the TTL bounds that they make.
#[test]
fn ttl_bounds_stay_in_order() {
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    for (lines, min, max) in [
        ("min-ttl = \"100ms\"", second / 10, hour),
        ("min-ttl = \"2h\"", 2 * hour, 2 * hour),
        ("max-ttl = \"500ms\"", second / 2, second / 2),
        ("min-ttl = \"5s\"\nmax-ttl = \"5s\"", 5 * second, 5 * second),
    ] {
        let read = resolver(lines);
        assert_eq!((read.min_ttl, read.max_ttl), (min, max), "{lines}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let many = "\"10.0.0.2\", ".repeat(9);
    for (wrong, says) in [
        (
            "nameservers = [\"dns.internal\"]",
            "must be the address of a name server",
        ),
        (
            "nameservers = [\"10.0.0.2:\"]",
            "must be the address of a name server",
        ),
        ("nameservers = \"10.0.0.2\"", "must be a list such as"),
        (
            &*format!("nameservers = [{many}]"),
            "must have at most 8 servers, not 9",
        ),
        ("timeout = \"0s\"", "must be a duration"),
        ("min-ttl = \"10ms\"", "must be a duration from 100ms to 24h"),
        ("min-ttl = 5", "must have a unit"),
        (
            "min-ttl = \"5s\"\nmax-ttl = \"4s\"",
            "must be no longer than max-ttl, which is 4s",
        ),
        ("ttl = \"5s\"", "ttl"),
    ] {
        let mistakes = parse(&format!("{GOOD}[resolver]\n{wrong}")).expect_err(wrong);
        let text = mistakes.to_string();
        assert!(text.contains(says), "{wrong}: {text}");
    }
}
