//! The comparisons: which contenders stand in a table together, and what they are sent.

use crate::contender::Known;
use crate::policy::{Crate, Policy};
use crate::program::{APACHE, ENVOY, EQUIPOISE, HAPROXY, NGINX};
use crate::requests::Requests;

/// One table.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Its rows, ours first.
    pub(crate) contenders: &'static [Known],
    /// Makes what all of them are sent.
    pub(crate) requests: fn() -> Requests,
}

/// The first table: round robin, as every one of them has it built in.
pub(crate) static BUILT_IN: Comparison = Comparison {
    contenders: &[
        Known {
            name: "equipoise",
            program: &EQUIPOISE,
            configuration: include_str!("configurations/equipoise.toml"),
            policy: None,
            speaks_tls: true,
        },
        Known {
            name: "haproxy",
            program: &HAPROXY,
            configuration: include_str!("configurations/haproxy.cfg"),
            policy: None,
            speaks_tls: true,
        },
        Known {
            name: "nginx",
            program: &NGINX,
            configuration: include_str!("configurations/nginx.conf"),
            policy: None,
            speaks_tls: true,
        },
        Known {
            name: "apache2",
            program: &APACHE,
            configuration: include_str!("configurations/apache2.conf"),
            policy: None,
            speaks_tls: false,
        },
        Known {
            name: "envoy",
            program: &ENVOY,
            configuration: include_str!("configurations/envoy.yaml"),
            policy: None,
            speaks_tls: true,
        },
    ],
    requests: Requests::all_alike,
};

/// The component that the second table is about: an example that users start from.
const COMPONENT: Crate = Crate {
    folder: "../examples/plugins/hash-or-least-busy/rust",
    target: "wasm32-wasip2",
    file: "hash_or_least_busy.wasm",
};

/// The second table: a program of the user's hashes the header field x-user over the members, and takes the least busy
/// member where there is none.
pub(crate) static PROGRAMMABLE: Comparison = Comparison {
    contenders: &[
        // No program, half of the policy: what the component is to be measured by.
        Known {
            name: "equipoise-native",
            program: &EQUIPOISE,
            configuration: include_str!("configurations/programmable/equipoise-native.toml"),
            policy: None,
            speaks_tls: false,
        },
        Known {
            name: "equipoise-component",
            program: &EQUIPOISE,
            configuration: include_str!("configurations/programmable/equipoise-component.toml"),
            policy: Some(Policy::Crate(COMPONENT)),
            speaks_tls: false,
        },
        Known {
            name: "haproxy-lua",
            program: &HAPROXY,
            configuration: include_str!("configurations/programmable/haproxy.cfg"),
            policy: Some(Policy::Script(include_str!("policies/haproxy.lua"))),
            speaks_tls: false,
        },
        Known {
            name: "nginx-lua",
            program: &NGINX,
            configuration: include_str!("configurations/programmable/nginx.conf"),
            policy: Some(Policy::Script(include_str!("policies/nginx.lua"))),
            speaks_tls: false,
        },
        Known {
            name: "envoy-wasm",
            program: &ENVOY,
            configuration: include_str!("configurations/programmable/envoy.yaml"),
            policy: Some(Policy::Crate(Crate {
                folder: "benches/side_by_side/policies/envoy",
                target: "wasm32-wasip1",
                file: "side_by_side_filter.wasm",
            })),
            speaks_tls: false,
        },
    ],
    requests: Requests::of_users,
};
