//! Equipoise against the real Apache: equal configurations, the same requests, and the question who served each.
//!
//! `cargo test -p equipoise --features outside --test outside` runs it. It installs nothing and says what it needs.
//!
//! A [`Cluster`](cluster::Cluster) describes a balancer once; [`Apache`](apache::Apache) and
//! [`Equipoise`](equipoise::Equipoise) each start a server from it, in front of the same members. A test sends both the same
//! requests and compares what became of them, one word a request: `b2` was served by the second member, `503` by none,
//! `b2:503` is the second member's own 503, and `b2+.r2` came with a new session cookie. Where a sequence is known from
//! Apache's documentation or source, it stands in the test, so that both are held to it.
//!
//! Heartbeats come from Apaches that are members, in a network of their own ([`network`], [`heartbeats`]).
//!
//! Plugins have no counterpart in Apache: [`plugins`] compares the same policy in several languages instead.
//!
//! Whatever reads foreign bytes is fuzzed for a minute each ([`fuzz`]), and the program soaked for two in everything that may
//! happen at once ([`soak`]).
//! What protocols really are, programs and libraries in wide use say: curl, h2load, nghttpd, openssl and sslyze, nginx and
//! HAProxy ([`tool`], [`server`]), Tomcat ([`tomcat`]), and grpcio, websockets and h2 in Python ([`script`]).
//!
//! The balancer-manager is used in a real browser ([`browser`], [`manager`]).
//!
//! Where we differ from Apache on purpose (docs/apache-differences.md), the test says what each of the two does.

mod answer;
mod apache;
mod browser;
mod client;
mod cluster;
mod compare;
mod equipoise;
mod members;
mod network;
mod script;
mod server;
mod tool;

mod failover;
mod fuzz;
mod grpc;
mod headers;
mod heartbeats;
mod http2;
mod judge;
mod manager;
mod methods;
mod plugins;
mod proxy_protocol;
mod random;
mod rewriting;
mod sets;
mod soak;
mod status;
mod sticky;
mod tls;
mod tomcat;
mod websocket;
