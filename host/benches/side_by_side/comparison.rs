//! The comparisons: which contenders stand in a table together, and by which kinds of load they are asked.

use std::net::SocketAddr;

use anyhow::Result;

use crate::contender::Known;
use crate::kind::Kind;
use crate::policy::{Crate, Policy};
use crate::program::{APACHE, ENVOY, EQUIPOISE, HAPROXY, NGINX};
use crate::rehearsal::rehearse;

/// Contenders that are asked in the same ways.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Rows of its tables, ours first.
    pub(crate) contenders: &'static [Known],
    /// Its tables.
    pub(crate) kinds: &'static [Kind],
    /// What shows, before anything is measured, that the contender of this name does what all of them are to do.
    pub(crate) rehearsal: Option<fn(&str, SocketAddr) -> Result<()>>,
}

/// All of them, in the order of their tables.
pub(crate) static ALL: [&Comparison; 3] = [&BUILT_IN, &SELECTORS, &PROGRAMMED];

/// Round robin, as every one of them has it built in.
static BUILT_IN: Comparison = Comparison {
    contenders: &[
        Known {
            name: "equipoise",
            configuration: include_str!("configurations/equipoise.toml"),
            ..Known::of(&EQUIPOISE)
        },
        Known {
            name: "haproxy",
            configuration: include_str!("configurations/haproxy.cfg"),
            ..Known::of(&HAPROXY)
        },
        Known {
            name: "nginx",
            configuration: include_str!("configurations/nginx.conf"),
            ..Known::of(&NGINX)
        },
        Known {
            name: "apache2",
            configuration: include_str!("configurations/apache2.conf"),
            // TLS and HTTP/2 need more modules, and thousands of connections another configuration.
            lacks: &["h2c", "h2", "grpc", "handshake", "idle", "idle-h2c"],
            ..Known::of(&APACHE)
        },
        Known {
            name: "envoy",
            configuration: include_str!("configurations/envoy.yaml"),
            ..Known::of(&ENVOY)
        },
    ],
    kinds: &[
        Kind::SMALL,
        Kind::BROWSER,
        Kind::CONNECTION,
        Kind::POST,
        Kind::DOWNLOAD,
        Kind::H2C,
        Kind::H2,
        Kind::GRPC,
        Kind::HANDSHAKE,
        Kind::IDLE,
        Kind::IDLE_H2C,
    ],
    rehearsal: None,
};

/// The component that the README shows.
const LEAST_BUSY: Crate = Crate {
    folder: "../sdk",
    arguments: &[
        "--profile",
        "plugin",
        "--target",
        "wasm32-wasip2",
        "--example",
        "least_busy",
    ],
    file: "wasm32-wasip2/plugin/examples/least_busy.wasm",
};

/// Our built-in methods, each beside the same as a component. `heartbeat` is not among them: it needs members that report.
static SELECTORS: Comparison = Comparison {
    contenders: &[
        native("byrequests-native", "byrequests"),
        component("byrequests-component", Policy::Default("byrequests")),
        native("bytraffic-native", "bytraffic"),
        component("bytraffic-component", Policy::Default("bytraffic")),
        native("bybusyness-native", "bybusyness"),
        component("bybusyness-component", Policy::Default("bybusyness")),
        component("least-busy-component", Policy::Crate(LEAST_BUSY)),
    ],
    kinds: &[Kind::SELECTORS],
    rehearsal: None,
};

/// The component that [`PROGRAMMED`] is about: an example that users start from.
const HASH_OR_LEAST_BUSY: Crate = Crate {
    folder: "../examples/plugins/hash-or-least-busy/rust",
    arguments: &["--release", "--target", "wasm32-wasip2"],
    file: "wasm32-wasip2/release/hash_or_least_busy.wasm",
};

/// The same for Envoy.
const ENVOY_FILTER: Crate = Crate {
    folder: "benches/side_by_side/policies/envoy",
    arguments: &["--release", "--target", "wasm32-wasip1"],
    file: "wasm32-wasip1/release/side_by_side_filter.wasm",
};

/// A program of the user's hashes the header field x-user over the members, and takes the least busy member where there is
/// none.
static PROGRAMMED: Comparison = Comparison {
    contenders: &[
        component("equipoise-component", Policy::Crate(HASH_OR_LEAST_BUSY)),
        Known {
            name: "haproxy-lua",
            configuration: include_str!("configurations/programmed/haproxy.cfg"),
            policy: Some(Policy::Script(include_str!("policies/haproxy.lua"))),
            ..Known::of(&HAPROXY)
        },
        Known {
            name: "nginx-lua",
            configuration: include_str!("configurations/programmed/nginx.conf"),
            policy: Some(Policy::Script(include_str!("policies/nginx.lua"))),
            ..Known::of(&NGINX)
        },
        Known {
            name: "envoy-wasm",
            configuration: include_str!("configurations/programmed/envoy.yaml"),
            policy: Some(Policy::Crate(ENVOY_FILTER)),
            ..Known::of(&ENVOY)
        },
    ],
    kinds: &[Kind::PROGRAMMED],
    rehearsal: Some(rehearse),
};

/// Ours with a built-in method.
const fn native(name: &'static str, method: &'static str) -> Known {
    Known {
        name,
        configuration: include_str!("configurations/selectors/native.toml"),
        method,
        ..Known::of(&EQUIPOISE)
    }
}

/// Ours with a component.
const fn component(name: &'static str, policy: Policy) -> Known {
    Known {
        name,
        configuration: include_str!("configurations/selectors/component.toml"),
        policy: Some(policy),
        ..Known::of(&EQUIPOISE)
    }
}
