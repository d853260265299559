//! What a client that speaks gRPC is told of errors of ours.

use http::Request;

use crate::harness::http2::{Whole, ask, connect, wait_for};
use crate::harness::{Origin, Proxy};

fn call(proxy: &Proxy, path: &str, content_type: &str) -> Whole {
    wait_for(async {
        let client = connect(proxy.address()).await;
        let request = Request::post(format!("http://lb.test{path}"));
        let request = request
            .header("content-type", content_type)
            .header("te", "trailers");
        ask(&client, request.body(()).unwrap()).await
    })
}

#[track_caller]
fn status(answer: &Whole) -> &str {
    let headers = &answer.head.headers;
    assert_eq!((answer.head.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(headers["content-type"], "application/grpc");
    assert!(!headers["grpc-message"].is_empty());
    headers["grpc-status"].to_str().unwrap()
}

#[test]
fn it_is_unavailable_where_no_member_can_be_asked() {
    let dead = Origin::dead();
    let proxy = Proxy::before(&[&dead]).start();
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;x=y",
    ] {
        assert_eq!(status(&call(&proxy, "/a.B/C", content_type)), "14");
    }
    let other = call(&proxy, "/", "application/grpc-web");
    assert_eq!(other.head.status, 503, "that is another protocol");
}

#[test]
fn it_is_unimplemented_where_no_route_goes() {
    let [b1] = Origin::some();
    let routes = "[[route]]\npath = \"/here\"\nbalancer = \"cluster\"\n";
    let proxy = Proxy::before(&[&b1]).routes(routes).start();
    assert_eq!(status(&call(&proxy, "/a.B/C", "application/grpc")), "12");
}

#[test]
fn the_deadline_is_over_where_the_member_does_not_answer_in_time() {
    let silent = Origin::named("silent")
        .answering(|exchange| exchange.stall())
        .start();
    let proxy = Proxy::before(&[])
        .member(&silent, "timeout = \"100ms\"")
        .start();
    assert_eq!(status(&call(&proxy, "/a.B/C", "application/grpc")), "4");
    let head = silent.request(0).head;
    assert_eq!(head.field("content-type"), Some("application/grpc"));
}
