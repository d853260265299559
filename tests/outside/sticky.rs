//! Sticky sessions: who gets a request that names its route, and when a new session cookie is set.

use crate::client::Request;
use crate::cluster::{Cluster, dead, live};
use crate::compare::{Pair, Step, agree_on, gets};

fn three() -> Cluster {
    Cluster::of([live(), live(), live()]).sticky()
}

fn get() -> Request {
    Request::get("/")
}

fn with_cookie(cookie: &str) -> Request {
    get().cookie(cookie)
}

#[test]
fn the_cookie_names_the_member() {
    for cookie in [
        "SID=abc.r2",
        "SID=.r2",
        "a=b; SID=abc.r2; c=d",
        "a=b,SID = abc.r2",
    ] {
        assert_eq!(agree_on(&three(), [with_cookie(cookie)]), "b2", "{cookie}");
    }
}

#[test]
fn what_is_no_session_is_balanced_and_gets_a_cookie() {
    for cookie in [
        "SID=r2",
        "sid=abc.r2",
        "XSID=abc.r2",
        "SID=",
        "SID=abc.",
        "other=1",
    ] {
        assert_eq!(
            agree_on(&three(), [with_cookie(cookie)]),
            "b1+.r1",
            "{cookie}"
        );
    }
    assert_eq!(agree_on(&three(), gets(3)), "b1+.r1 b2+.r2 b3+.r3");
}

#[test]
fn the_url_names_the_member_before_the_cookie_does() {
    for target in [
        "/?sidp=abc.r3",
        "/x;sidp=abc.r3",
        "/?a=b&sidp=abc.r3&c=d",
        "/x;sidp=abc.r3?a=b",
    ] {
        let request = Request::get(target).cookie("SID=abc.r1");
        assert_eq!(agree_on(&three(), [request]), "b3", "{target}");
    }
}

#[test]
fn a_url_parameter_that_names_no_route_is_balanced() {
    for target in ["/?sidp=abc", "/?sidp=abc.", "/?sidp=abc.unknown"] {
        let request = Request::get(target).cookie("SID=abc.r2");
        assert_eq!(agree_on(&three(), [request]), "b1+.r1", "{target}");
    }
}

#[test]
fn an_empty_url_parameter_leaves_it_to_the_cookie() {
    for target in ["/?sidp=", "/?sidp", "/?SIDP=abc.r3"] {
        let request = Request::get(target).cookie("SID=abc.r2");
        assert_eq!(agree_on(&three(), [request]), "b2", "{target}");
    }
}

/// Where the value is empty, Apache takes what follows the delimiter for it; we go on searching, and then ask the cookie.
#[test]
fn we_differ_where_an_empty_parameter_is_followed_by_another() {
    let both = Pair::start(&three()).ask(&Request::get("/?sidp=&a.r3").cookie("SID=abc.r2"));
    assert_eq!(both.apache.to_string(), "b3");
    assert_eq!(both.equipoise.to_string(), "b2");
}

/// Apache finds the parameter's name at the end of a longer one, too; we take whole names only.
#[test]
fn we_differ_where_the_parameter_is_part_of_a_name() {
    let both = Pair::start(&three()).ask(&Request::get("/?xsidp=abc.r3").cookie("SID=abc.r2"));
    assert_eq!(both.apache.to_string(), "b3");
    assert_eq!(both.equipoise.to_string(), "b2");
}

#[test]
fn a_semicolon_ends_the_url_value_only_when_told() {
    let target = || Request::get("/x;sidp=abc.r3;v=1");
    let mut cluster = three();
    assert_eq!(agree_on(&cluster, [target()]), "b1+.r1");
    cluster.scolonpathdelim = true;
    assert_eq!(agree_on(&cluster, [target()]), "b3");
}

#[test]
fn the_separator_can_be_another_or_none() {
    let mut cluster = three();
    cluster.stickysessionsep = Some("!");
    let requests = ["SID=a!r2", "SID=a.r2", "SID=a.b!r3", "SID=a!r2!r3"].map(with_cookie);
    assert_eq!(agree_on(&cluster, requests), "b2 b1+!r1 b3 b1+!r1");
    cluster.stickysessionsep = Some("Off");
    let requests = ["SID=r2", "SID=a.r2"].map(with_cookie);
    assert_eq!(agree_on(&cluster, requests), "b2 b1+r1");
}

#[test]
fn the_route_follows_the_first_separator() {
    let cluster = Cluster::of([live().route("x.r1"), live().route("r1")]).sticky();
    assert_eq!(agree_on(&cluster, [with_cookie("SID=a.x.r1")]), "b1");
}

#[test]
fn a_session_moves_on_from_an_unusable_member() {
    for member in [live().status("D"), live().status("S"), dead()] {
        let cluster = Cluster::of([member, live(), live()]).sticky();
        let requests = vec![with_cookie("SID=a.r1"); 3];
        agree_on(&cluster, requests);
    }
}

#[test]
fn a_draining_member_keeps_its_sessions() {
    let cluster = Cluster::of([live().status("N"), live(), live()]).sticky();
    let requests = [
        with_cookie("SID=a.r1"),
        get(),
        get(),
        with_cookie("SID=a.r1"),
        get(),
    ];
    assert_eq!(agree_on(&cluster, requests), "b1 b2+.r2 b3+.r3 b1 b2+.r2");
}

#[test]
fn a_redirect_takes_the_sessions_of_an_unusable_member() {
    let cluster = Cluster::of([live().status("D").redirect("r3"), live(), live()]).sticky();
    assert_eq!(agree_on(&cluster, [with_cookie("SID=a.r1")]), "b3+.r3");
}

#[test]
fn redirects_are_followed_along_a_chain_and_around_a_circle() {
    let down = |redirect| live().status("D").redirect(redirect);
    let cluster = Cluster::of([down("r2"), down("r3"), down("r4"), live()]).sticky();
    assert_eq!(agree_on(&cluster, [with_cookie("SID=a.r1")]), "b4+.r4");
    let cluster = Cluster::of([down("r2"), down("r1"), live(), live()]).sticky();
    assert_eq!(agree_on(&cluster, [with_cookie("SID=a.r1")]), "b3+.r3");
}

#[test]
fn a_standby_serves_the_sessions_it_has() {
    let cluster = Cluster::of([live(), live().status("H")]).sticky();
    assert_eq!(
        agree_on(&cluster, [with_cookie("SID=a.r2"), get()]),
        "b2 b1+.r1"
    );
    let cluster = Cluster::of([live().status("H").route("x"), live().route("x")]).sticky();
    assert_eq!(agree_on(&cluster, [with_cookie("SID=a.x")]), "b2");
}

#[test]
fn a_session_reaches_a_member_of_a_later_set() {
    let cluster = Cluster::of([live(), live().set(3)]).sticky();
    assert_eq!(
        agree_on(&cluster, [with_cookie("SID=a.r2"), get()]),
        "b2 b1+.r1"
    );
}

#[test]
fn sticky_hits_are_charged_to_the_schedule() {
    let sticky = || with_cookie("SID=a.r1");
    let requests = [vec![sticky(); 3], gets(9)].concat();
    let expected = "b1 b1 b1 b2+.r2 b3+.r3 b2+.r2 b3+.r3 b2+.r2 b3+.r3 b1+.r1 b2+.r2 b3+.r3";
    assert_eq!(agree_on(&three(), requests.clone()), expected);
    agree_on(&three().by("bybusyness"), requests);
}

#[test]
fn sticky_hits_are_charged_to_all_usable_members_whatever_their_set() {
    let members = [
        live().weight("2"),
        live().set(1),
        live().status("H"),
        live().status("R"),
        live().status("N"),
        live(),
    ];
    let cluster = Cluster::of(members).sticky();
    let cookies = ["SID=a.r3", "SID=a.r5", "SID=a.r2", "SID=a.r4", "SID=a.r1"];
    let requests = cookies
        .map(with_cookie)
        .into_iter()
        .flat_map(|sticky| [sticky, get(), get()]);
    agree_on(&cluster, requests);
}

#[test]
fn nofailover_refuses_sessions_of_an_unusable_member_only() {
    let mut cluster = Cluster::of([live().status("D"), live()]).sticky();
    cluster.nofailover = true;
    let cookies = ["SID=a.r1", "SID=a.unknown", "SID=a.r2", "SID=nothing"];
    assert_eq!(
        agree_on(&cluster, cookies.map(with_cookie)),
        "503 b2+.r2 b2 b2+.r2"
    );
}

#[test]
fn nofailover_refuses_sessions_of_a_dead_member() {
    let mut cluster = Cluster::of([dead(), live(), live()]).sticky();
    cluster.nofailover = true;
    let requests = vec![
        with_cookie("SID=a.r1"),
        with_cookie("SID=a.r1"),
        get(),
        get(),
    ];
    agree_on(&cluster, requests);
}

#[test]
fn nofailover_follows_redirects() {
    let mut cluster = Cluster::of([live().status("D").redirect("r3"), live(), live()]).sticky();
    cluster.nofailover = true;
    assert_eq!(agree_on(&cluster, [with_cookie("SID=a.r1")]), "b3+.r3");
}

#[test]
fn members_may_share_a_route() {
    let cluster = Cluster::of([live().route("a"), live().route("a"), live().route("b")]).sticky();
    agree_on(
        &cluster,
        [with_cookie("SID=x.a"), with_cookie("SID=x.a"), get(), get()],
    );
    let cluster = Cluster::of([dead().route("a"), live().route("a"), live().route("b")]).sticky();
    agree_on(&cluster, vec![with_cookie("SID=x.a"); 3]);
}

#[test]
fn a_session_comes_back_when_its_member_does() {
    let mut cluster = Cluster::of([live().retry(5), live()]).sticky();
    cluster.failonstatus = vec![503];
    let session = || with_cookie("SID=a.r1");
    let steps = [
        Step::Ask(session().with("Answer", "b1=503")),
        Step::Ask(session()),
        Step::Wait(std::time::Duration::from_millis(5_300)),
        Step::Ask(session()),
    ];
    assert_eq!(crate::compare::agree(&cluster, &steps), "b1:503 b2+.r2 b1");
}
