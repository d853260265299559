//! nginx, HAProxy, nghttpd and Tomcat, each with a configuration, a directory and a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use equipoise_harness::installed::located;
use equipoise_harness::process::STOPPING;
use equipoise_harness::{Process, port};
use tempfile::TempDir;

const NGINX: &str = "daemon off;\nmaster_process off;\npid @DIRECTORY@/nginx.pid;\nerror_log stderr warn;\n\
    events { worker_connections 1024; }\n\
    http {\naccess_log @DIRECTORY@/access.log;\nclient_body_temp_path @DIRECTORY@/body;\n\
    proxy_temp_path @DIRECTORY@/proxy;\nfastcgi_temp_path @DIRECTORY@/fastcgi;\nscgi_temp_path @DIRECTORY@/scgi;\n\
    uwsgi_temp_path @DIRECTORY@/uwsgi;\nkeepalive_requests 1000000;\nclient_max_body_size 64m;\n";

const HAPROXY: &str = "defaults\ntimeout client 30s\ntimeout server 30s\ntimeout connect 5s\n";

const TOMCAT: &str = "<Server port=\"-1\"><Service name=\"Catalina\">\
    <Connector protocol=\"AJP/1.3\" address=\"127.0.0.1\" port=\"@PORT_0@\" secret=\"@SECRET@\"/>\
    <Engine name=\"Catalina\" defaultHost=\"localhost\" jvmRoute=\"@ROUTE@\">\
    <Host name=\"localhost\" appBase=\"webapps\" autoDeploy=\"false\"/></Engine></Service></Server>";

/// Where Debian keeps Tomcat.
const TOMCAT_HOME: &str = "/usr/share/tomcat10";

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where it listens: `@PORT_0@` of the configuration, `@PORT_1@` and so on.
    pub(crate) addresses: Vec<SocketAddr>,
    _process: Process,
    directory: TempDir,
}

impl Server {
    /// nginx with these `server` blocks, in a directory that has the files they name as `@DIRECTORY@/…`.
    ///
    /// # Panics
    /// There is no nginx, or it does not start five times.
    #[track_caller]
    pub(crate) fn nginx(directory: TempDir, ports: usize, servers: &str) -> Self {
        let program = located("nginx", "nginx");
        let configuration = format!("{NGINX}{servers}\n}}\n");
        Self::start(directory, ports, &configuration, |file, directory| {
            let mut command = Command::new(&program);
            command.arg("-p").arg(directory);
            command.args(["-e", "stderr", "-c"]).arg(file);
            command
        })
    }

    /// HAProxy with these sections.
    ///
    /// # Panics
    /// There is no HAProxy, or it does not start five times.
    #[track_caller]
    pub(crate) fn haproxy(sections: &str) -> Self {
        let program = located("haproxy", "haproxy");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = format!("{HAPROXY}{sections}");
        Self::start(directory, 1, &configuration, |file, _| {
            let mut command = Command::new(&program);
            command.args(["-db", "-f"]).arg(file);
            command
        })
    }

    /// nghttpd, which sends back what it is sent, and has a file `/hello.txt` that it sends with a trailer; all with padding.
    ///
    /// # Panics
    /// There is no nghttpd, or it does not start five times.
    #[track_caller]
    pub(crate) fn nghttpd() -> Self {
        let program = located("nghttpd", "nghttp2-server");
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("hello.txt"), "hello").expect("writing a file");
        Self::start(directory, 1, "@PORT_0@", |file, directory| {
            let port = fs::read_to_string(file).expect("it was written");
            let mut command = Command::new(&program);
            command.args(["--no-tls", "--echo-upload", "--padding=100"]);
            command.args(["--trailer", "x-checked: yes", "-a", "127.0.0.1", "-d"]);
            command.arg(directory).arg(port);
            command
        })
    }

    /// Tomcat with a connector of AJP, in a directory that has its `webapps`.
    ///
    /// # Panics
    /// There is no Tomcat, or it does not start five times.
    #[track_caller]
    pub(crate) fn tomcat(directory: TempDir, route: &str, secret: &str) -> Self {
        let program = located("java", "default-jre-headless");
        let home = Path::new(TOMCAT_HOME).join("bin");
        let classes = ["bootstrap.jar", "tomcat-juli.jar"].map(|name| home.join(name));
        assert!(
            classes.iter().all(|it| it.is_file()),
            "this test needs Tomcat in {TOMCAT_HOME} (Debian: apt-get install tomcat10-common)"
        );
        let classes = classes
            .map(|it| it.to_string_lossy().into_owned())
            .join(":");
        let text = TOMCAT.replace("@ROUTE@", route).replace("@SECRET@", secret);
        fs::create_dir(directory.path().join("temp")).expect("making a directory");
        fs::create_dir(directory.path().join("conf")).expect("making a directory");
        Self::start(directory, 1, &text, |file, directory| {
            fs::copy(file, directory.join("conf/server.xml")).expect("copying a file");
            let base = directory.display();
            let mut command = Command::new(&program);
            command.args(["-Xmx256m", &format!("-Djava.io.tmpdir={base}/temp")]);
            command.arg(format!("-Dcatalina.home={TOMCAT_HOME}"));
            command.arg(format!("-Dcatalina.base={base}"));
            command.args(["-cp", &classes]);
            command.args(["org.apache.catalina.startup.Bootstrap", "start"]);
            command
        })
    }

    /// None of them can be told to take free ports: free ports are found first, and others if one was taken meanwhile.
    #[track_caller]
    fn start(
        directory: TempDir,
        ports: usize,
        configuration: &str,
        command: impl Fn(&Path, &Path) -> Command,
    ) -> Self {
        let path = directory.path();
        let start = || {
            let addresses: Vec<_> = (0..ports).map(|_| port::free()).collect();
            let mut text = configuration.replace("@DIRECTORY@", &path.to_string_lossy());
            for (position, address) in addresses.iter().enumerate() {
                text = text.replace(&format!("@PORT_{position}@"), &address.port().to_string());
            }
            let file = path.join("configuration");
            fs::write(&file, text).expect("writing a file");
            let process = spawn(command(&file, path), path)?;
            await_listening(process, &addresses, path).map(|process| (addresses, process))
        };
        let started = (0..5).find_map(|_| start().ok());
        let (addresses, process) = started
            .or_else(|| start().map_err(|wrong| panic!("{wrong}")).ok())
            .expect("it panicked otherwise");
        Self {
            addresses,
            _process: process,
            directory,
        }
    }

    /// What a file in its directory holds now.
    pub(crate) fn file(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.bytes(name)).into_owned()
    }

    /// The same as bytes. What is not there is empty.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.path().join(name)).unwrap_or_default()
    }
}

fn spawn(mut command: Command, directory: &Path) -> Result<Process, String> {
    let log = fs::File::create(directory.join("log")).expect("creating a file");
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Process::start_to_stop(command, STOPPING).map_err(|error| error.to_string())
}

fn await_listening(
    mut process: Process,
    addresses: &[SocketAddr],
    directory: &Path,
) -> Result<Process, String> {
    if port::await_listening(&mut process, addresses) {
        return Ok(process);
    }
    Err(fs::read_to_string(directory.join("log")).unwrap_or_default())
}
