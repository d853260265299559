//! `equipoise demo`: three sample members and a balancer in front of them, in one process, on loopback.

mod sample_project;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, LocalOptions};

use crate::cli;
use crate::control::LoadedConfig;
use crate::hot_restart::Inheritance;
use equipoise_config::{AccessLog, LogFormat, Sink, Start};
use equipoise_log::Output;
use sample_project::SampleProject;

/// The port the balancer takes if it is free.
const PREFERRED_PORT: u16 = 8080;

/// The port the admin listener takes if it is free.
const PREFERRED_ADMIN_PORT: u16 = 8081;

/// What is logged where RUST_LOG says nothing else.
pub(crate) const LOG_LEVELS: &str = "warn,equipoise_wasm=info,equipoise::control=info";

/// Runs the demo until SIGINT or SIGTERM.
///
/// # Errors
/// A socket or a thread cannot be had.
pub(crate) fn run(output: &mut Output) -> Result<()> {
    let project = SampleProject::write()?;
    let members = ["1", "2", "3"]
        .map(start_member)
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let (address, admin) = (
        free_address(PREFERRED_PORT)?,
        free_address(PREFERRED_ADMIN_PORT)?,
    );
    let text = configuration(address, admin, &members, &project);
    let file = project.write_configuration(&text)?;
    let loaded_config = LoadedConfig::read(&file)?.with(|config| {
        config.start = Start::Wait;
        config.access_log = Some(AccessLog {
            sink: Sink::Stdout,
            format: LogFormat::Decision,
        });
    });
    cli::serve(&loaded_config, Inheritance::default(), output, |server| {
        let url = server
            .addresses()
            .first()
            .map(|address| format!("http://{address}"))
            .unwrap_or_default();
        introduce(&url, &text, &file, admin, &project)
    })?;
    output.print("stopped");
    Ok(())
}

/// Says what is running and what to try.
fn introduce(
    url: &str,
    text: &str,
    file: &Path,
    admin: SocketAddr,
    project: &SampleProject,
) -> String {
    let (source, folder) = (project.source(), project.folder());
    let (source, folder, file) = (source.display(), folder.display(), file.display());
    let shown: String = text.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "
Three sample members are running behind a balancer with this configuration:

{shown}
Try, in another terminal:\n
    curl {url}/                                   # each request to the next member, member 1 twice as often
    curl -c jar -b jar {url}/                     # the first answer sets a cookie, the next ones stay at its member
    curl -H 'Cookie: ROUTEID=.2' {url}/           # a session of member 2
    curl '{url}/?ROUTEID=.3'                      # the same in the URL
    curl -d hello {url}/                          # a body; it would be sent again if the member were gone

    curl -H 'x-user: alice' {url}/                # by the plugin: a user stays at one member, by the hash of the name

The plugin is a WebAssembly component. Its source is

    {source}

Change the line that says CHANGE THIS LINE, and build it while the demo is running:

    cd {folder} && cargo build --release --target wasm32-wasip2

The next request goes by the new version.

The configuration above is in a file, which is watched, too: change a weight or add a member, and see it in force.

    {file}

The balancer-manager does the same in a browser:

    http://{admin}/balancer-manager

Each decision is shown below as it happens. Ctrl-C ends the demo.\n\n"
    )
}

fn configuration(
    address: SocketAddr,
    admin: SocketAddr,
    members: &[SocketAddr],
    project: &SampleProject,
) -> String {
    let component = project.component();
    // A path that is not UTF-8 could not be written into a configuration file either.
    let component = component.to_string_lossy();
    let mut text = format!(
        "[[listen]]\n\
         address = \"{address}\"\n\
         \n\
         [admin]\n\
         address = \"{admin}\"\n\
         \n\
         [explain]\n\
         decisions = 100\n\
         \n\
         [[route]]\n\
         path = \"/\"\n\
         balancer = \"demo\"\n\
         \n\
         [plugin.demo]\n\
         file = {component:?}\n\
         \n\
         [balancer.demo]\n\
         lbmethod = {{ plugin = \"demo\", fallback = \"byrequests\" }}\n\
         stickysession = \"ROUTEID\"\n\
         sticky-cookie = {{ name = \"ROUTEID\" }}\n"
    );
    for (index, member) in members.iter().enumerate() {
        let weight = if index == 0 { 2 } else { 1 };
        text.push_str(&format!(
            "\n[[balancer.demo.member]]\nurl = \"http://{member}\"\nroute = \"{}\"\nloadfactor = {weight}\n",
            index + 1
        ));
    }
    text
}

/// The favourite port, or any other if it is taken.
fn free_address(favourite: u16) -> io::Result<SocketAddr> {
    let favourite = SocketAddr::from((Ipv4Addr::LOCALHOST, favourite));
    if TcpListener::bind(favourite).is_ok() {
        return Ok(favourite);
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Starts a member that answers with its name, in a thread of its own, and says where it is.
fn start_member(name: &'static str) -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("starting a sample member")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    thread::Builder::new()
        .name(format!("member-{name}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            if let Err(error) =
                runtime.and_then(|runtime| runtime.block_on(serve_member(listener, name)))
            {
                tracing::error!(%error, "sample member {name} ended");
            }
        })?;
    Ok(address)
}

async fn serve_member(listener: TcpListener, name: &'static str) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request| greet(name, request));
        tokio::task::spawn_local(
            http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn greet(name: &str, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let text = format!(
        "member {name} answers {} {}\n",
        request.method(),
        request.uri()
    );
    let mut response = Response::new(text);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}
