//! How one snapshot succeeds another.

use std::path::Path;

use super::*;

/// A configuration of balancer `b` with these keys and members.
fn setting(keys: &str, members: &[&str]) -> Inputs {
    let members: String = members
        .iter()
        .map(|member| format!("[[balancer.b.member]]\n{member}\n"))
        .collect();
    let text = format!(
        "listen = [{{ address = \"127.0.0.1:0\" }}]\nroute = [{{ path = \"/\", balancer = \"b\" }}]\n\
         [balancer.b]\n{keys}\n{members}"
    );
    let (source, config) = Source::from_file(Path::new("test.toml"), &text).unwrap();
    Inputs::of(Arc::new(config), Arc::new(source))
}

fn first(inputs: Inputs) -> Snapshot {
    Snapshot::new(inputs, |_| Ok(())).unwrap()
}

fn then(before: &Snapshot, inputs: Inputs) -> Snapshot {
    let pending = before.prepare(inputs, OnRefusal::Refuse);
    pending.unwrap().activate()
}

const A: &str = "url = \"http://a\"";
const B: &str = "url = \"http://b\"";
const C: &str = "url = \"http://c\"";

/// Ids and names of the members.
fn members(snapshot: &Snapshot) -> Vec<(u32, &str)> {
    let members = snapshot.clusters[0].balancer.members().iter();
    members
        .map(|member| {
            (
                member.id,
                member.settings.name.trim_start_matches("http://"),
            )
        })
        .collect()
}

#[test]
fn members_keep_their_ids_and_counters_wherever_they_stand() {
    let before = first(setting("", &[A, B]));
    before.clusters[0].balancer.members()[1]
        .counters
        .add_read(7);
    let after = then(&before, setting("", &[C, B]));
    assert_eq!(members(&after), [(2, "c"), (1, "b")]);
    assert_eq!(after.clusters[0].balancer.members()[1].counters.read(), 7);
    // One that comes back is a new one.
    let after = then(&after, setting("", &[A, B, C]));
    assert_eq!(members(&after), [(3, "a"), (1, "b"), (2, "c")]);
}

#[test]
fn the_same_member_written_in_another_way_is_the_same() {
    let before = first(setting("", &[A]));
    let after = then(
        &before,
        setting("", &["url = \"http://A:80/\"\nloadfactor = 3"]),
    );
    assert_eq!(members(&after), [(0, "A:80/")]);
    let keys = |snapshot: &Snapshot| snapshot.clusters[0].endpoints[0].key;
    assert_eq!(keys(&before), keys(&after));
}

#[test]
fn what_is_counted_of_a_balancer_lives_on() {
    let before = first(setting("", &[A, B]));
    let after = then(&before, setting("retry-budget = \"50%\"", &[C]));
    let (was, is) = (&before.clusters[0], &after.clusters[0]);
    assert!(Arc::ptr_eq(&was.metrics, &is.metrics));
    assert!(Arc::ptr_eq(&was.retry_budget, &is.retry_budget));
}

#[test]
fn what_does_not_change_is_not_made_anew() {
    let before = first(setting("lbmethod = \"bybusyness\"", &[A, B]));
    let after = then(&before, setting("lbmethod = \"bybusyness\"\n", &[A, B]));
    assert!(Arc::ptr_eq(&before.clusters[0], &after.clusters[0]));
    let after = then(&before, setting("lbmethod = \"bybusyness\"", &[A, C]));
    let endpoint = |snapshot: &Snapshot| snapshot.clusters[0].endpoints[0].clone();
    assert!(Arc::ptr_eq(&endpoint(&before), &endpoint(&after)));
}

#[test]
fn a_member_whose_ca_changes_is_the_same_and_gets_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    let ca = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::default();
        params.self_signed(&key).unwrap().pem()
    };
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca()).unwrap();
    let tls = format!("url = \"https://a\"\ntls = {{ ca = {file:?} }}");
    let before = first(setting("", &[&tls, B]));

    let after = then(&before, setting("", &[&tls, B]));
    assert!(Arc::ptr_eq(&before.clusters[0], &after.clusters[0]));
    let endpoint =
        |snapshot: &Snapshot, place: usize| snapshot.clusters[0].endpoints[place].clone();

    // Of no use for now: nothing changes.
    std::fs::write(&file, "").unwrap();
    let after = then(&before, setting("", &[&tls, B]));
    assert!(Arc::ptr_eq(&before.clusters[0], &after.clusters[0]));
    let other = setting("", &[&tls.replace("//a", "//c"), B]);
    assert!(before.prepare(other, OnRefusal::Refuse).is_err());

    std::fs::write(&file, ca()).unwrap();
    let after = then(&before, setting("", &[&tls, B]));
    let (was, is) = (endpoint(&before, 0), endpoint(&after, 0));
    assert_ne!(was.tls, is.tls);
    assert_ne!(
        was.key, is.key,
        "idle connections are of members that are no longer trusted"
    );
    assert!(Arc::ptr_eq(&was.metrics, &is.metrics));
    assert!(Arc::ptr_eq(&endpoint(&before, 1), &endpoint(&after, 1)));
    assert_eq!(members(&before), members(&after));
}

#[test]
fn places_of_members_with_a_bound_are_kept() {
    let max = "url = \"http://a\"\nmax = 1";
    let before = first(setting("", &[max]));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.unwrap();
    let slots = |snapshot: &Snapshot| snapshot.clusters[0].endpoints[0].clone();
    let _taken = runtime
        .block_on(slots(&before).concurrency_limit.acquire())
        .unwrap();
    let after = then(
        &before,
        setting("", &["url = \"http://a\"\nmax = 1\nacquire = \"1ms\""]),
    );
    assert!(
        runtime
            .block_on(slots(&after).concurrency_limit.acquire())
            .is_none()
    );
}

#[test]
fn a_drain_goes_on_from_when_it_began() {
    let draining = |timeout: &str| format!("{A}\nstatus = \"N\"\ndrain-timeout = \"{timeout}\"");
    let until = |snapshot: &Snapshot| {
        let settings = &snapshot.clusters[0].balancer.members()[0].settings;
        settings.drain_until.unwrap()
    };
    let before = first(setting("", &[&draining("1h")]));
    let after = then(&before, setting("timeout = \"1s\"", &[&draining("1h")]));
    assert_eq!(until(&before), until(&after));
    let after = then(&after, setting("", &[&draining("2h")]));
    assert!(until(&after) > until(&before));
}

#[test]
fn who_is_no_longer_judged_is_healthy() {
    let checked = "url = \"http://a\"\nhcmethod = \"TCP\"";
    let before = first(setting("", &[checked, B]));
    let now = before.now();
    before.clusters[0]
        .balancer
        .set_health(0, false, "test", now);
    let is_unhealthy = |snapshot: &Snapshot| {
        snapshot.clusters[0].balancer.members()[0]
            .counters
            .is_unhealthy()
    };
    let after = then(&before, setting("timeout = \"1s\"", &[checked, B]));
    assert!(is_unhealthy(&after));
    let after = then(&after, setting("", &[A, B]));
    assert!(!is_unhealthy(&after));
}

#[test]
fn plugins_are_told_how_many_checks_count() {
    let checked = "url = \"http://a\"\nhcmethod = \"TCP\"\nhcpasses = 2\nhcfails = 3";
    let snapshot = first(setting("", &[checked, B]));
    let peers = snapshot.clusters[0].peers().iter();
    let counts = peers.map(|peer| (peer.passes, peer.fails));
    assert_eq!(counts.collect::<Vec<_>>(), [(2, 3), (1, 1)]);
}

/// Files for TLS are read once, before anything is made of them: what was looked at is what serves.
#[test]
fn what_files_for_tls_had_in_them_is_used_whatever_became_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    std::fs::write(&ca, certificate.pem()).unwrap();
    let member = format!("url = \"https://a\"\ntls = {{ ca = {ca:?} }}");
    let (first_inputs, then_inputs) = (setting("", &[&member]), setting("", &[&member, B]));
    std::fs::remove_file(&ca).unwrap();
    let before = first(first_inputs);
    assert_eq!(members(&then(&before, then_inputs)).len(), 2);
    // Made of the same again, as when a plugin is exchanged.
    assert!(before.prepare(before.inputs(), OnRefusal::Refuse).is_ok());
    let error = before.prepare(
        setting("", &[&member.replace("//a", "//c")]),
        OnRefusal::Refuse,
    );
    let error = format!("{:#}", error.err().expect("its file is gone"));
    assert!(error.contains("ca.pem: cannot be read"), "{error}");
}
