//! HTTP/2 and HTTP/1.1, in every combination of what curl and h2load speak with us and we speak with nginx.

use std::collections::HashSet;
use std::fs;

use equipoise_harness::certificates::CertificateFiles;

use crate::equipoise::Equipoise;
use crate::server::Server;
use crate::tool::Tool;

/// How members are written, and what nginx says that it was asked by.
const MEMBERS: [(&str, usize, &str); 6] = [
    ("http", PLAIN, "HTTP/1.1"),
    ("h2c", PLAIN_HTTP2, "HTTP/2.0"),
    ("https", SECURE, "HTTP/1.1"),
    ("https", SECURE_HTTP2, "HTTP/2.0"),
    ("h2", SECURE_HTTP2, "HTTP/2.0"),
    ("h2c", OTHER_HTTP2, "HTTP/2.0"),
];

const PLAIN: usize = 0;
const PLAIN_HTTP2: usize = 1;
const SECURE: usize = 2;
const SECURE_HTTP2: usize = 3;
const OTHER_HTTP2: usize = 4;
const PORTS: usize = 5;

/// How curl comes, by the listener it comes to.
const CLIENTS: [(&str, &str); 4] = [
    ("http", "--http1.1"),
    ("http", "--http2-prior-knowledge"),
    ("https", "--http1.1"),
    ("https", "--http2"),
];

/// Bytes of what is called large: more than any window or buffer on the way.
const LARGE: usize = 5 * 1024 * 1024;

const NGINX: &str = "server {\n\
    listen 127.0.0.1:@PORT_0@;\nlisten 127.0.0.1:@PORT_1@ http2;\nlisten 127.0.0.1:@PORT_2@ ssl;\n\
    ssl_certificate @DIRECTORY@/app.pem;\nssl_certificate_key @DIRECTORY@/app.key;\n\
    @LOCATIONS@ }\n\
    server {\nlisten 127.0.0.1:@PORT_3@ ssl http2;\nlisten 127.0.0.1:@PORT_4@ http2;\n\
    ssl_certificate @DIRECTORY@/app.pem;\nssl_certificate_key @DIRECTORY@/app.key;\n\
    @LOCATIONS@ }\n";

const LOCATIONS: &str = "add_header Asked-By $server_protocol always;\nadd_header Asked-For $http_host always;\n\
    root @DIRECTORY@/files;\n\
    location = /none { return 204; }\n\
    location = /tiny { client_max_body_size 1k; dav_methods PUT; }\n\
    location = /trailers.txt { sub_filter_types *; sub_filter nothing something; add_header Trailer Checked; add_trailer Checked yes; }\n\
    location = /cookies { default_type text/plain; return 200 \"$http_cookie\"; }\n\
    location = /count { access_log @DIRECTORY@/count.log counted; return 200 \"counted\"; }\n\
    location / { dav_methods PUT; create_full_put_path on; dav_access user:rw all:rw; }\n";

/// nginx as a member in every protocol.
struct Site {
    nginx: Server,
    /// A directory with `ca.pem`, `shop.pem` and `shop.key` for Equipoise, and room for a test's files.
    files: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let files = directory();
        let authority = CertificateFiles::in_directory(files.path());
        authority.vouch("shop", &["shop.example"]);
        authority.vouch("app", &["app.internal"]);
        let home = directory();
        for file in ["app.pem", "app.key"] {
            fs::copy(files.path().join(file), home.path().join(file)).expect("copying a file");
        }
        fs::create_dir(home.path().join("files")).expect("creating a directory");
        let large = pattern();
        for (file, content) in [
            ("large", large.as_slice()),
            ("small", b"small"),
            ("trailers.txt", b"body"),
        ] {
            fs::write(home.path().join("files").join(file), content).expect("writing a file");
        }
        fs::write(files.path().join("large"), large).expect("writing a file");
        open_to_all(home.path());
        let formats = "log_format counted '$server_port $connection';\n";
        let servers = format!("{formats}{}", NGINX.replace("@LOCATIONS@", LOCATIONS));
        let nginx = Server::nginx(home, PORTS, &servers);
        Self { nginx, files }
    }

    /// Equipoise with a plain listener and one with TLS, before these members.
    fn balanced(&self, members: &[(&str, usize)]) -> Balanced {
        let home = directory();
        for file in ["ca.pem", "shop.pem", "shop.key"] {
            fs::copy(self.files.path().join(file), home.path().join(file)).expect("copying a file");
        }
        let members: String = members
            .iter()
            .map(|&(scheme, port)| {
                let tls = match scheme {
                    "https" | "h2" => "tls = { ca = \"ca.pem\", server-name = \"app.internal\" }\n",
                    _ => "",
                };
                let address = self.nginx.addresses[port];
                format!("[[balancer.cluster.member]]\nurl = \"{scheme}://{address}\"\n{tls}")
            })
            .collect();
        let configuration = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [{{ cert = \"shop.pem\", key = \"shop.key\" }}] }}\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n{members}"
        );
        Balanced(Equipoise::serve(home, &configuration, "error"))
    }

    /// The path of a file of the test's own.
    fn path(&self, file: &str) -> String {
        self.files.path().join(file).to_string_lossy().into_owned()
    }
}

/// Equipoise before nginx.
struct Balanced(Equipoise);

impl Balanced {
    fn url(&self, scheme: &str, path: &str) -> String {
        match scheme {
            "https" => format!("https://shop.example:{}{path}", self.0.addresses[1].port()),
            _ => format!("http://{}{path}", self.0.addresses[0]),
        }
    }

    /// The URL for those who cannot be told where a name is, and do not mind whose the certificate is.
    fn by_address(&self, scheme: &str, path: &str) -> String {
        let position = usize::from(scheme == "https");
        format!("{scheme}://{}{path}", self.0.addresses[position])
    }

    /// curl, which comes this way and asks for the path; arguments are for more.
    #[track_caller]
    fn curl(&self, (scheme, version): (&str, &str), path: &str, arguments: &[&str]) -> Tool {
        let authority = self.0.directory().join("ca.pem");
        let port = self.0.addresses[1].port();
        Tool::curl()
            .with(["--resolve", &format!("shop.example:{port}:127.0.0.1")])
            .with(["--cacert", &authority.to_string_lossy(), version])
            .with(arguments)
            .with([self.url(scheme, path)])
    }
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A server that is started as root has its worker change the user.
fn open_to_all(directory: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    for path in [directory.to_owned(), directory.join("files")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("it is ours");
    }
}

/// Bytes in which a lost or repeated block shows.
fn pattern() -> Vec<u8> {
    let numbers = (0..LARGE / 8).map(|number| number as u64);
    numbers.flat_map(u64::to_be_bytes).collect()
}

#[test]
fn every_protocol_of_clients_reaches_every_protocol_of_members() {
    let site = Site::start();
    for (member, port, protocol) in MEMBERS {
        let balanced = site.balanced(&[(member, port)]);
        for client in CLIENTS {
            let head = balanced.curl(client, "/small", &["-i"]).says();
            let lower = head.to_lowercase();
            let version = match client.1 {
                "--http1.1" => "HTTP/1.1 200",
                _ => "HTTP/2 200",
            };
            assert!(head.starts_with(version), "{client:?} {member}: {head}");
            let asked_by = format!("asked-by: {}", protocol.to_lowercase());
            assert!(lower.contains(&asked_by), "{client:?} {member}: {head}");
            let asked_for = format!("asked-for: {}", site.nginx.addresses[port]);
            assert!(lower.contains(&asked_for), "{client:?} {member}: {head}");
            assert!(
                head.ends_with("\r\n\r\nsmall"),
                "{client:?} {member}: {head}"
            );
        }
    }
}

#[test]
fn large_bodies_arrive_whole_both_ways() {
    let site = Site::start();
    let large = pattern();
    for (position, (member, port, _)) in MEMBERS.into_iter().enumerate() {
        let balanced = site.balanced(&[(member, port)]);
        for (number, client) in CLIENTS.into_iter().enumerate() {
            let path = format!("/up-{position}-{number}");
            let status = [
                "-T",
                &site.path("large"),
                "-o",
                "/dev/null",
                "-w",
                "%{response_code}",
            ];
            let status = balanced.curl(client, &path, &status).says();
            assert_eq!(status, "201", "{client:?} {member}");
            let down = site.path("down");
            balanced.curl(client, &path, &["-o", &down]).says();
            let got = fs::read(down).expect("curl wrote it");
            assert!(got == large, "{client:?} {member}: {} bytes", got.len());
        }
    }
}

#[test]
fn a_body_without_a_length_arrives_whole() {
    let site = Site::start();
    for (position, (member, port, _)) in MEMBERS.into_iter().enumerate() {
        let balanced = site.balanced(&[(member, port)]);
        for (number, client) in CLIENTS.into_iter().enumerate() {
            let path = format!("/chunked-{position}-{number}");
            let arguments = [
                "-T",
                &site.path("large"),
                "-H",
                "Transfer-Encoding: chunked",
            ];
            // HTTP/2 has no chunks: there curl is told nothing and says no length of standard input.
            balanced.curl(client, &path, &arguments).says();
            let got = site.nginx.bytes(&format!("files{path}"));
            assert!(got == pattern(), "{client:?} {member}: {} bytes", got.len());
        }
    }
}

#[test]
fn answers_without_a_body_have_none() {
    let site = Site::start();
    for (member, port, _) in MEMBERS {
        let balanced = site.balanced(&[(member, port)]);
        for client in CLIENTS {
            let ask = |path, arguments: &[&str]| {
                let more = ["-o", "/dev/null", "-w", "%{response_code} %{size_download}"];
                balanced
                    .curl(client, path, &[&more, arguments].concat())
                    .says()
            };
            assert_eq!(ask("/none", &[]), "204 0", "{client:?} {member}");
            assert_eq!(ask("/large", &["--head"]), "200 0", "{client:?} {member}");
            let known = ask("/small", &["-H", "If-None-Match: *"]);
            assert_eq!(known, "304 0", "{client:?} {member}");
            let head = balanced.curl(client, "/large", &["--head"]).says();
            let length = format!("content-length: {LARGE}\r\n");
            assert!(
                head.to_lowercase().contains(&length),
                "{client:?} {member}: {head}"
            );
        }
    }
}

/// By HTTP/1.1 only those that `Trailer` names.
#[test]
fn trailers_of_members_by_http_2_reach_clients() {
    let site = Site::start();
    for (member, port) in [("h2c", PLAIN_HTTP2), ("h2", SECURE_HTTP2)] {
        let balanced = site.balanced(&[(member, port)]);
        for client in CLIENTS {
            let wish = ["-H", "TE: trailers", "-H", "Connection: TE"];
            let wish = match client.1 {
                "--http1.1" => &wish[..],
                _ => &wish[..2],
            };
            let told = balanced
                .curl(client, "/trailers.txt", &[wish, &["-i"]].concat())
                .says();
            assert!(
                told.to_lowercase().contains("checked: yes\r\n"),
                "{client:?} {member}: {told}"
            );
        }
    }
}

#[test]
fn cookies_arrive_on_one_line() {
    let site = Site::start();
    for (member, port, _) in MEMBERS {
        let balanced = site.balanced(&[(member, port)]);
        for client in CLIENTS {
            let cookies = ["-H", "Cookie: a=1", "-H", "Cookie: b=2"];
            let got = balanced.curl(client, "/cookies", &cookies).says();
            assert!(
                ["a=1; b=2", "a=1, b=2"].contains(&got.as_str()),
                "{client:?} {member}: {got}"
            );
        }
    }
}

/// HAProxy's HTTP/2 is another than nginx's and curl's.
#[test]
fn haproxy_speaks_http_2_with_us_on_both_sides() {
    let site = Site::start();
    let behind = Server::haproxy(&format!(
        "listen behind\nmode http\nbind 127.0.0.1:@PORT_0@ proto h2\nserver nginx {}\n",
        site.nginx.addresses[PLAIN]
    ));
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [[balancer.cluster.member]]\nurl = \"h2c://{}\"\n",
        behind.addresses[0]
    );
    let equipoise = Equipoise::serve(directory(), &configuration, "error");
    let front = Server::haproxy(&format!(
        "listen front\nmode http\nbind 127.0.0.1:@PORT_0@\nserver equipoise {} proto h2\n",
        equipoise.address
    ));
    let url = |path: &str| format!("http://{}{path}", front.addresses[0]);
    let large = site.path("large");
    for round in 0..5 {
        let path = format!("/haproxy-{round}");
        Tool::curl().with(["-T", &large, &url(&path)]).says();
        let down = site.path("down");
        Tool::curl().with(["-o", &down, &url(&path)]).says();
        assert!(
            fs::read(down).expect("curl wrote it") == pattern(),
            "{path}"
        );
        let status = ["-o", "/dev/null", "-w", "%{response_code}"];
        let refused = Tool::curl().with(status).with([url("/absent")]).says();
        assert_eq!(refused, "404");
    }
}

/// Another engine yet: of the library that curl speaks by.
#[test]
fn nghttpd_is_asked_in_http_2() {
    let files = directory();
    let (up, down) = (files.path().join("up"), files.path().join("down"));
    let (up, down) = (up.to_string_lossy(), down.to_string_lossy());
    fs::write(&*up, pattern()).expect("writing a file");
    let nghttpd = Server::nghttpd();
    let configuration = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         [[balancer.cluster.member]]\nurl = \"h2c://{}\"\n",
        nghttpd.addresses[0]
    );
    let equipoise = Equipoise::serve(directory(), &configuration, "error");
    let url = format!("http://{}/echo", equipoise.address);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for round in 0..3 {
            Tool::curl()
                .with([version, "-T", &up, "-o", &down, &url])
                .says();
            let got = fs::read(&*down).expect("curl wrote it");
            assert!(got == pattern(), "{version} {round}");
        }
    }
    // curl reads nothing behind a body whose length was told.
    let file = format!("http://{}/hello.txt", equipoise.address);
    let nghttp = Tool::named("nghttp", "nghttp2-client");
    let got = nghttp.with(["--verbose", &file]).says();
    assert!(got.contains("x-checked: yes"), "{got}");
}

/// nginx refuses what is too large by its length alone, and reads none of it. We read a megabyte more before we close, so that the
/// client reads the answer; hence half of that.
#[test]
fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let site = Site::start();
    let large = site.path("half-a-megabyte");
    fs::write(&large, &pattern()[..512 * 1024]).expect("writing a file");
    for (member, port, _) in MEMBERS {
        let balanced = site.balanced(&[(member, port)]);
        for client in CLIENTS {
            let said = match client.1 {
                "--http1.1" => balanced.curl(client, "/tiny", &["-T", &large, "-i"]).run(),
                // Some versions of curl lose the response when RST_STREAM is right behind it, from any server.
                _ => Tool::named("nghttp", "nghttp2-client")
                    .with([
                        "--verbose",
                        "--no-verify-peer",
                        "-H:method: PUT",
                        "--data",
                        &large,
                    ])
                    .with([balanced.by_address(client.0, "/tiny")])
                    .run(),
            };
            let status = match client.1 {
                "--http1.1" => "HTTP/1.1 413",
                _ => ":status: 413",
            };
            assert!(
                said.output.contains(status),
                "{client:?} {member}: {said:?}"
            );
            // The connections that are left behind serve others.
            let after = balanced.curl(client, "/small", &[]).says();
            assert_eq!(after, "small", "{client:?} {member}");
        }
    }
}

#[test]
fn a_hundred_streams_at_once_all_get_their_answers() {
    let site = Site::start();
    for (member, port, _) in MEMBERS {
        let balanced = site.balanced(&[(member, port)]);
        for scheme in ["http", "https"] {
            h2load(
                &balanced.url(scheme, "/small"),
                &balanced,
                &["-n2000", "-c1", "-m100"],
                2000,
            );
        }
        let url = balanced.url("http", "/large");
        h2load(&url, &balanced, &["-n20", "-c2", "-m10"], 20);
    }
}

#[test]
fn requests_on_one_connection_are_spread_over_members_one_by_one() {
    let site = Site::start();
    let balanced = site.balanced(&[("h2c", PLAIN_HTTP2), ("h2c", OTHER_HTTP2)]);
    h2load(
        &balanced.url("http", "/count"),
        &balanced,
        &["-n1000", "-c1", "-m20"],
        1000,
    );
    let log = site.nginx.file("count.log");
    let ports = log.lines().filter_map(|line| line.split(' ').next());
    let ports: Vec<&str> = ports.collect();
    for port in [PLAIN_HTTP2, OTHER_HTTP2] {
        let port = site.nginx.addresses[port].port().to_string();
        let count = ports.iter().filter(|&&it| it == port).count();
        assert_eq!(count, 500, "{port} of {}", ports.len());
    }
    let connections: HashSet<&str> = log.lines().collect();
    assert!(
        connections.len() <= 40,
        "they share connections: {connections:?}"
    );
}

/// h2load with this load, all of which has to succeed.
#[track_caller]
fn h2load(url: &str, balanced: &Balanced, load: &[&str], requests: u32) {
    let port = balanced.0.addresses[1].port();
    let host = format!("--connect-to=127.0.0.1:{port}");
    let host = if url.starts_with("https") {
        vec![host]
    } else {
        Vec::new()
    };
    let said = Tool::named("h2load", "nghttp2-client")
        .with(load)
        .with(host)
        .with([url])
        .says();
    let succeeded = format!(" {requests} succeeded, 0 failed, 0 errored, 0 timeout");
    assert!(said.contains(&succeeded), "{said}");
    assert!(
        said.contains(&format!("status codes: {requests} 2xx")),
        "{said}"
    );
}
