//! What belongs to health: `panic-threshold`, `slow-start`, `drain-timeout`, `outlier` and `health`.

use equipoise_sdk::PolicyConfig;
use equipoise_sdk::health::HealthPolicy as _;

use super::*;

fn balancer(line: &str) -> Balancer {
    good(&with(BALANCER, line).0).balancers.remove(0)
}

#[test]
fn panic_begins_below_a_tenth_by_default() {
    let threshold = |line: &str| balancer(line).settings.panic_threshold;
    assert_eq!(threshold(""), 10);
    assert_eq!(threshold("panic-threshold = \"0%\""), 0);
    assert_eq!(threshold("panic-threshold = \"50 %\""), 50);
}

#[test]
fn slow_start_of_the_balancer_is_for_members_without_their_own() {
    let (text, _) = with(MEMBER, "slow-start = \"5s\"");
    let text = text.replace(
        "[balancer.mycluster]",
        "[balancer.mycluster]\nslow-start = \"20s\"",
    );
    let members = &good(&text).balancers[0].members;
    let times: Vec<_> = members
        .iter()
        .map(|member| member.settings.slow_start.as_secs())
        .collect();
    assert_eq!(times, [5, 20]);
}

#[test]
fn outliers_are_not_looked_for_unless_asked() {
    assert_eq!(balancer("").outlier, None);
    assert_eq!(balancer("outlier = {}").outlier, Some(Outlier::default()));
    let written = "outlier = { consecutive-failures = 3, failure-rate = \"0%\", min-requests = 5, \
                   window = \"1s\", statuses = \"429,502-504\", eject = \"10m\", max-ejected = \"100%\" }";
    let expected = Outlier {
        consecutive_failures: 3,
        failure_rate: 0,
        min_requests: 5,
        window: Duration::from_secs(1),
        statuses: vec![429..=429, 502..=504],
        eject: Duration::from_secs(600),
        max_eject: Duration::from_secs(600),
        max_ejected: 100,
    };
    assert_eq!(balancer(written).outlier, Some(expected));
}

/// The built-in rule is told of them as text.
#[test]
fn rule_accepts_what_the_configuration_accepts() {
    let day = Duration::from_secs(24 * 60 * 60);
    let widest = Outlier {
        consecutive_failures: 10_000,
        failure_rate: 100,
        min_requests: 1_000_000,
        window: day,
        statuses: vec![100..=599, 200..=200],
        eject: day,
        max_eject: day,
        max_ejected: 100,
    };
    let narrowest = Outlier {
        consecutive_failures: 0,
        failure_rate: 0,
        min_requests: 1,
        window: Duration::from_millis(100),
        eject: Duration::from_millis(100),
        max_eject: Duration::from_millis(100),
        max_ejected: 0,
        ..Outlier::default()
    };
    for outlier in [Outlier::default(), widest, narrowest] {
        let setup = PolicyConfig {
            settings: outlier.settings(),
            members: Vec::new(),
        };
        let configured = equipoise_health::Health::default().configure(&setup);
        assert_eq!(configured, Ok(()), "{outlier:?}");
    }
}

#[test]
fn a_mistake_says_what_would_be_right() {
    let table = [
        ("panic-threshold = 50", "write \"50%\""),
        ("panic-threshold = \"101%\"", "from \"0%\" to \"100%\""),
        ("slow-start = 30", "write \"30s\""),
        ("health = \"judge\"", "must be a table"),
        (
            "health = { plugin = \"judge\" }",
            "there is no plugin of this name",
        ),
        ("outlier = { statuses = \"5xx\" }", "such as \"500-599\""),
        ("outlier = { statuses = \"99-600\" }", "from 100 to 599"),
        (
            "outlier = { eject = \"1m\", max-eject = \"30s\" }",
            "no shorter than `eject`",
        ),
        (
            "outlier = { consecutive-failures = 0, failure-rate = \"0%\" }",
            "detects nothing",
        ),
        ("outlier = { failures = 3 }", "unknown key `failures`"),
    ];
    for (line, remedy) in table {
        let mistakes = parse(&with(BALANCER, line).0).expect_err(line);
        let told = mistakes
            .iter()
            .any(|mistake| mistake.remedy.contains(remedy));
        assert!(told, "{line}: {mistakes}");
    }
}

#[test]
fn plugin_that_judges_is_found() {
    let (text, _) = with(BALANCER, "health = { plugin = \"judge\" }");
    let config = good(&format!("{text}\n[plugin.judge]\nfile = \"judge.wasm\"\n"));
    assert_eq!(config.balancers[0].health_plugin, Some(0));
}
