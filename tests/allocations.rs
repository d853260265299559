//! How often memory is allocated for a request on the plain way, once buffers, pools and connections are there: counted by the
//! allocator of this very process, in which the server runs, too.
//!
//! Client and members are threads that allocate nothing between two requests. Whatever other threads of the server do now and
//! then is kept out by counting several times: the least counts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use equipoise::control::LoadedConfig;
use equipoise::hot_restart::Inheritance;
use equipoise::run::Server;
use memchr::memmem;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// Requests before anything is counted.
const WARM_UP: usize = 300;

/// Requests that are counted at a time.
const COUNTED: usize = 200;

/// How often they are counted.
const TIMES: usize = 5;

/// A request on the plain way, and how often memory may be allocated for it.
struct Plain {
    what: &'static str,
    head: &'static str,
    body_bytes: usize,
    allocations: usize,
}

const PLAIN: [Plain; 3] = [
    Plain {
        what: "a small head",
        head: "GET /catalogue/item?id=17 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: test/1\r\nAccept: */*\r\n\r\n",
        body_bytes: 0,
        allocations: 0,
    },
    Plain {
        what: "the head of a browser",
        head: "GET /shop/products/1234567?category=books&sort=price&page=2 HTTP/1.1\r\n\
            Host: shop.test\r\n\
            Connection: keep-alive\r\n\
            sec-ch-ua-mobile: ?0\r\n\
            Upgrade-Insecure-Requests: 1\r\n\
            User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0\r\n\
            Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
            Sec-Fetch-Site: same-origin\r\n\
            Sec-Fetch-Mode: navigate\r\n\
            Sec-Fetch-Dest: document\r\n\
            Referer: https://shop.test/shop/products?category=books\r\n\
            Accept-Encoding: gzip, deflate, br, zstd\r\n\
            Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n\
            Cookie: session=0123456789abcdef0123456789abcdef.web1; theme=dark; currency=EUR; locale=en-GB\r\n\r\n",
        body_bytes: 0,
        allocations: 0,
    },
    Plain {
        what: "64 KiB of body",
        head: "POST /upload HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 65536\r\n\r\n",
        body_bytes: 65_536,
        allocations: 0,
    },
];

/// One after the other in one test: whatever else this process does would be counted, too.
#[test]
fn a_request_on_the_plain_way_allocates_no_more_than_this() {
    let members = [member(), member()];
    let server = server(members);
    let mut client = TcpStream::connect(server.addresses()[0]).expect("the server listens");
    client.set_nodelay(true).expect("a socket");
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a socket");
    let mut too_many = Vec::new();
    for plain in &PLAIN {
        let mut request = plain.head.as_bytes().to_vec();
        request.resize(request.len() + plain.body_bytes, b'p');
        exchange(&mut client, &request, WARM_UP);
        let counts = [(); TIMES].map(|()| {
            let region = Region::new(ALLOCATOR);
            exchange(&mut client, &request, COUNTED);
            let change = region.change();
            change.allocations + change.reallocations
        });
        let least = counts.into_iter().min().expect("several");
        if least > plain.allocations * COUNTED {
            too_many.push(format!(
                "{}: {} a request, not {}; in {COUNTED} requests: {counts:?}",
                plain.what,
                least as f64 / COUNTED as f64,
                plain.allocations
            ));
        }
    }
    assert!(too_many.is_empty(), "{too_many:#?}");
}

/// Sends a request so many times, each when the one before is answered. Allocates nothing.
fn exchange(client: &mut TcpStream, request: &[u8], times: usize) {
    let mut buffer = [0; 8192];
    for _ in 0..times {
        client.write_all(request).expect("the server reads");
        let mut received = 0;
        while !buffer[..received].ends_with(BODY) {
            let count = client.read(&mut buffer[received..]).expect("an answer");
            assert!(count > 0, "the server closed the connection");
            received += count;
        }
        assert!(
            buffer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&buffer[..received])
        );
    }
}

/// The end of every answer, which is nowhere else in it.
const BODY: &[u8] = b"that is all.";

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nthat is all.";

/// A member that answers every request when it has come as a whole.
fn member() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || stream.and_then(answer));
        }
    });
    address
}

/// Answers until the server closes the connection. Allocates nothing between two requests.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let mut received = 0;
        while !is_whole(&buffer[..received]) {
            match stream.read(&mut buffer[received..])? {
                0 => return Ok(()),
                count => received += count,
            }
        }
        stream.write_all(ANSWER)?;
    }
}

/// Whether there is a head, and the body of a request that has one.
fn is_whole(received: &[u8]) -> bool {
    let end = memmem::find(received, b"\r\n\r\n").map(|end| end + 4);
    let body = PLAIN.iter().find(|plain| {
        let method = plain.head.split(' ').next().unwrap_or_default();
        received.starts_with(method.as_bytes())
    });
    let body_bytes = body.map_or(0, |plain| plain.body_bytes);
    end.is_some_and(|end| received.len() >= end + body_bytes)
}

/// A server with one worker in this process.
fn server(members: [SocketAddr; 2]) -> Server {
    let [one, other] = members;
    let text = format!(
        "workers = 1\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [[balancer.b.member]]\nurl = \"http://{one}\"\n[[balancer.b.member]]\nurl = \"http://{other}\"\n"
    );
    let loaded_config =
        LoadedConfig::parse(&text, Path::new("equipoise.toml")).expect("no mistake");
    Server::start(&loaded_config, None, Inheritance::default(), &mut || Ok(())).expect("a server")
}
