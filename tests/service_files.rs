//! The files of `examples/service` fit each other and the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Origin, Proxy, program};

fn path(name: &str) -> PathBuf {
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/service");
    service.join(name)
}

fn file(name: &str) -> String {
    fs::read_to_string(path(name)).expect("a file of the examples")
}

/// The values of a key of a unit.
fn values(unit: &str, key: &str) -> Vec<String> {
    let unit = file(unit);
    let values = unit.lines().filter_map(|line| line.split_once('='));
    let values = values.filter(|(name, _)| *name == key);
    values.map(|(_, value)| value.to_owned()).collect()
}

/// What follows a word at the beginning of a line of the Dockerfile.
fn instruction(word: &str) -> String {
    let dockerfile = file("Dockerfile");
    let mut lines = dockerfile.lines();
    let rest = lines.find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    rest.unwrap_or_else(|| panic!("no {word}")).to_owned()
}

/// The words of a list as Docker takes it.
fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).expect("a list in JSON")
}

/// The addresses of a configuration, in order: `[[listen]]`, then `[admin]`.
fn addresses(configuration: &str) -> Vec<String> {
    let text = file(configuration);
    let values = text
        .lines()
        .filter_map(|line| line.strip_prefix("address = \""));
    let values = values.filter_map(|rest| rest.split('"').next());
    values.map(str::to_owned).collect()
}

#[test]
fn units_call_commands_that_the_program_has() {
    let help = program(&["help"]).output().expect("it runs").stdout;
    let help = String::from_utf8_lossy(&help).into_owned();
    let mut lines = values("equipoise.service", "ExecStart");
    lines.extend(values("equipoise.service", "ExecReload"));
    lines.push(
        [instruction("ENTRYPOINT"), instruction("CMD")]
            .map(|list| words(&list).join(" "))
            .join(" "),
    );
    let calls = lines.iter().filter(|line| line.contains("equipoise "));
    let calls: Vec<_> = calls
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .collect();
    assert_eq!(calls.len(), 3, "{lines:?}");
    for call in calls {
        assert_eq!(call[0], "/usr/local/bin/equipoise");
        assert!(
            help.contains(&format!("\n  {} ", call[1])),
            "{call:?}: {help}"
        );
        assert_eq!(call[2..], ["/etc/equipoise/equipoise.toml"]);
    }
}

#[test]
fn configurations_are_right_and_fit_their_surroundings() {
    for name in ["equipoise.toml", "container.toml"] {
        let path = path(name);
        let mut check = program(&["check", path.to_str().expect("UTF-8")]);
        let output = check.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }
    let [listen, admin] = &addresses("equipoise.toml")[..] else {
        panic!("two addresses");
    };
    assert_eq!(
        values("equipoise.socket", "ListenStream"),
        [listen.as_str()]
    );
    let directory = values("equipoise.service", "RuntimeDirectory").concat();
    assert!(
        admin.starts_with(&format!("unix:/run/{directory}/")),
        "{admin}"
    );
    let [listen, admin] = &addresses("container.toml")[..] else {
        panic!("two addresses");
    };
    let port = |address: &str| address.rsplit(':').next().map(str::to_owned);
    assert_eq!(port(listen), Some(instruction("EXPOSE")));
    assert!(health_check("8081")[2].contains("/8081"), "{admin}");
    assert_eq!(port(admin).as_deref(), Some("8081"));
}

/// The command that says whether the program in the image is well, for another port of the admin listener.
fn health_check(port: &str) -> Vec<String> {
    let dockerfile = file("Dockerfile");
    let (_, check) = dockerfile.split_once("HEALTHCHECK").expect("a check");
    let (_, check) = check.split_once("CMD ").expect("a command");
    words(check.lines().next().unwrap_or_default())
        .iter()
        .map(|word| word.replace("/8081", &format!("/{port}")))
        .collect()
}

#[test]
fn the_health_check_of_the_image_tells_whether_the_program_serves() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1])
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .start();
    let said = proxy.stderr.line_with("the admin listener is open");
    let port = said.rsplit(':').next().expect("a port").trim().to_owned();
    let is_well = || {
        let check = health_check(&port);
        let status = Command::new(&check[0]).args(&check[1..]).output();
        status.expect("bash runs").status.success()
    };
    assert!(is_well());
    proxy.signal(crate::harness::Signal::TERM);
    proxy.wait();
    assert!(!is_well());
}
