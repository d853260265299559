//! Files that operators name. Something else may stand in their place: it is never waited for, and never replaced.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, getxattr, mknodat, setxattr};
use serde_json::json;

use crate::admin::start;
use crate::api::Api;
use crate::harness::fixtures::answering;
use crate::harness::{Origin, eventually, program};

/// What may stand in the place of a file, as the program calls it.
const KINDS: [&str; 4] = ["a pipe", "a directory", "a socket", "a device"];

/// Puts something of a kind there. A device is one that never ends.
fn put(kind: &str, path: &Path) {
    match kind {
        "a pipe" => {
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, path, FileType::Fifo, mode, 0).expect("a pipe");
        }
        "a directory" => fs::create_dir(path).expect("a directory"),
        "a socket" => drop(UnixListener::bind(path).expect("a socket")),
        _ => symlink("/dev/zero", path).expect("a link"),
    }
}

/// A program that is ended when this is dropped.
struct Running(Child);

impl Running {
    fn of(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().expect("it starts"))
    }

    /// Waits until it ends: with its status, and what it complained about.
    #[track_caller]
    fn end(&mut self) -> (Option<i32>, String) {
        let status = eventually("the program ends", || self.0.try_wait().expect("a child"));
        let said = std::io::read_to_string(self.0.stderr.take().expect("piped"));
        (status.code(), said.expect("text"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is needed to start at all is a mistake, which is told at once.
#[test]
fn a_start_waits_for_nothing_that_is_no_file() {
    let rest = "[[listen]]\naddress = \"127.0.0.1:0\"\nTLS\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
                [[balancer.b.member]]\nurl = \"https://127.0.0.1:1\"\nMEMBER\n";
    let whole = |admin: &str, tls: &str, member: &str| {
        format!(
            "{admin}\n{}",
            rest.replace("TLS", tls).replace("MEMBER", member)
        )
    };
    let table = [
        ("the configuration", None),
        (
            "the token",
            Some(whole(
                "[admin]\naddress = \"127.0.0.1:0\"\ntoken-file = \"odd\"",
                "",
                "tls = { verify = false }",
            )),
        ),
        (
            "a certificate",
            Some(whole(
                "",
                "tls = { certificates = [{ cert = \"odd\", key = \"odd\" }] }",
                "tls = { verify = false }",
            )),
        ),
        (
            "a member's ca",
            Some(whole("", "", "tls = { ca = \"odd\" }")),
        ),
    ];
    for kind in KINDS {
        for (what, toml) in &table {
            let folder = tempfile::tempdir().expect("a folder");
            let odd = folder.path().join("odd");
            put(kind, &odd);
            let path = match toml {
                Some(toml) => crate::harness::proxy::write_config(folder.path(), toml),
                None => odd,
            };
            for verb in ["check", "run"] {
                let mut command = program(&[verb]);
                command.arg(&path);
                let (code, said) = Running::of(command).end();
                assert_eq!(code, Some(1), "{what} is {kind}: {said}");
                let expected = format!("it is {kind}, not a file");
                assert!(said.contains(&expected), "{what} is {kind}: {said}");
            }
        }
    }
}

/// What can be done without is done without, and what stands there stays.
#[test]
fn changes_replace_nothing_that_is_no_file() {
    let [b1] = Origin::some();
    for kind in KINDS {
        let proxy = start(&[&b1])
            .routes(
                "[admin]\naddress = \"127.0.0.1:0\"\npersist = \"state\"\n\
                 [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
            )
            .balancer("lbmethod = { plugin = \"p\" }")
            .plugin("p", "")
            .preparing(move |folder| {
                put(kind, &folder.join("state"));
                put(kind, &folder.join("p.wasm"));
            })
            .start();
        let expected = format!("it is {kind}, not a file");
        let api = Api::of(proxy);
        let of = |name: &str| {
            let metadata = fs::symlink_metadata(api.proxy.path(name)).expect("it is there");
            (metadata.ino(), metadata.file_type())
        };
        let before = (of("state"), of("p.wasm"));
        let member = "/api/v1/balancers/cluster/members/0";
        let told = api.send("PATCH", member, &json!({ "loadfactor": 2 }));
        let detail = told.refused(500);
        assert!(
            detail.contains(&expected) && detail.contains("nothing has changed"),
            "{detail}"
        );
        assert_eq!(api.get(member).ok()["loadfactor"], 1.0);
        let wasm = ["Content-Type: application/wasm"];
        let told = api.call("PUT", "/api/v1/plugins/p", &wasm, &answering(0).build());
        let detail = told.refused(500);
        assert!(
            detail.contains(&expected) && detail.contains("nothing has changed"),
            "{detail}"
        );
        assert_eq!((of("state"), of("p.wasm")), before, "{kind}");
        assert_eq!(api.proxy.served(1), ["b1"]);
    }
}

/// While it serves, what has a file's name from now on is told, and what was served before goes on.
#[test]
fn what_becomes_no_file_is_told_and_waited_for_by_nobody() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering(0), "")
        .start();
    for name in ["equipoise.toml", "p.wasm"] {
        let path = proxy.path(name);
        fs::remove_file(&path).expect("a file");
        put("a pipe", &path);
    }
    for name in ["equipoise.toml", "p.wasm"] {
        proxy.stderr.when(name, |lines| {
            let is_it =
                |line: &&String| line.contains(name) && line.contains("it is a pipe, not a file");
            lines.iter().find(is_it).map(drop)
        });
    }
    let api = Api::of(proxy);
    api.send("POST", "/api/v1/configuration/reload", &json!({}))
        .refused(422);
    api.send(
        "PATCH",
        "/api/v1/balancers/cluster/members/0",
        &json!({ "loadfactor": 2 }),
    )
    .ok();
    assert_eq!(api.proxy.served(1), ["b1"]);
}

#[test]
fn an_uploaded_plugin_keeps_what_the_file_before_has() {
    const ATTRIBUTE: &str = "user.equipoise.test";
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1, &b2])
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering(0), "")
        .preparing(|folder| {
            fs::rename(folder.join("p.wasm"), folder.join("real.wasm")).expect("a file");
            symlink("real.wasm", folder.join("p.wasm")).expect("a link");
            let real = folder.join("real.wasm");
            // Only root may; others have nothing that could be lost.
            let _ = chown(&real, Some(1_234), Some(2_345));
            fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("it is ours");
            // Not every file system has them.
            let _ = setxattr(&real, ATTRIBUTE, b"kept", XattrFlags::empty());
        })
        .start();
    let api = Api::of(proxy);
    let real = api.proxy.path("real.wasm");
    let told = |path: &Path| {
        let metadata = fs::metadata(path).expect("a file");
        let mut value = [0; 16];
        let length = getxattr(path, OsStr::new(ATTRIBUTE), &mut value).unwrap_or(0);
        (
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            value[..length].to_vec(),
        )
    };
    let before = told(&real);
    let other = answering(1).build();
    let wasm = ["Content-Type: application/wasm"];
    api.call("PUT", "/api/v1/plugins/p", &wasm, &other).ok();
    assert!(
        fs::read(&real).expect("a file") == other,
        "what the link leads to is written"
    );
    assert!(
        fs::symlink_metadata(api.proxy.path("p.wasm"))
            .expect("a link")
            .is_symlink()
    );
    assert_eq!(told(&real), before);
    assert_eq!(api.proxy.served(1), ["b2"]);
}

#[test]
fn what_a_program_left_that_died_is_swept_at_the_start() {
    let [b1] = Origin::some();
    let ours = [
        ".state.json.equipoise-aB3dE6.tmp",
        ".p.wasm.equipoise-aB3dE6.tmp",
    ];
    let others = [
        ".p.wasm.tmp",
        "p.wasm.equipoise-aB3dE6.tmp",
        ".other.equipoise-aB3dE6.tmp",
    ];
    let mut configured = start(&[&b1])
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\npersist = \"state.json\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .balancer("lbmethod = { plugin = \"p\" }")
        .component("p", &answering(0), "");
    for name in ours.iter().chain(&others) {
        configured = configured.file(name, "x");
    }
    let proxy = configured.start();
    for name in ours {
        eventually(name, || (!proxy.path(name).exists()).then_some(()));
    }
    for name in others {
        assert!(proxy.path(name).exists(), "{name}");
    }
}
