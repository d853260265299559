//! Apache parameters that are not supported, and what to do instead.

/// What to do instead of `key`, if it is a parameter of Apache that is not supported here.
pub(super) fn remedy(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let known = PARAMETERS.iter().find(|(name, _)| *name == key);
    known.map(|(_, remedy)| *remedy)
}

const PARAMETERS: &[(&str, &str)] = &[
    (
        "enablereuse",
        "connections are reused unless the member says `disablereuse = true`",
    ),
    (
        "hmax",
        "the bound on requests in flight is called `max` here",
    ),
    (
        "smax",
        "leave it out: idle connections are closed after `ttl`",
    ),
    (
        "min",
        "leave it out: connections are opened as they are needed",
    ),
    (
        "addressttl",
        "leave it out: names are resolved again for every new connection",
    ),
    (
        "flushpackets",
        "leave it out: what a member sends is passed on at once",
    ),
    (
        "flushwait",
        "leave it out: what a member sends is passed on at once",
    ),
    (
        "iobuffersize",
        "leave it out: buffers grow as they are needed",
    ),
    (
        "receivebuffersize",
        "leave it out: the system sizes its buffers",
    ),
    (
        "responsefieldsize",
        "the bound on request and response heads is `header-size` in [limits]",
    ),
    (
        "growth",
        "leave it out: members are added in the file, without a bound",
    ),
    (
        "nonce",
        "leave it out: there is no balancer-manager in this version",
    ),
    (
        "hcexpr",
        "what a response must be is called `hcexpect` here, such as hcexpect = { status = \"200-399\", body = \"ok\" }",
    ),
    (
        "proxypreservehost",
        "it is called `preserve-host` here, on the route",
    ),
    (
        "proxyaddheaders",
        "it is called `x-forwarded` here, on the route",
    ),
    (
        "sslcertificatefile",
        "it is called `cert` here, in certificates of the listener's `tls`",
    ),
    (
        "sslcertificatekeyfile",
        "it is called `key` here, in certificates of the listener's `tls`",
    ),
    (
        "sslcacertificatefile",
        "it is called `client-ca` here, in the listener's `tls`",
    ),
    (
        "sslverifyclient",
        "it is called `client-auth` here, in the listener's `tls`",
    ),
    (
        "sslprotocol",
        "the oldest TLS is called `min-version` here, in the listener's `tls`",
    ),
    (
        "sslproxycacertificatefile",
        "it is called `ca` here, in the member's `tls`",
    ),
    (
        "sslproxyverify",
        "members are verified unless their `tls` has `verify = false`",
    ),
    (
        "sslproxymachinecertificatefile",
        "it is called `cert` here, with `key`, in the member's `tls`",
    ),
    (
        "remoteipproxyprotocol",
        "it is called `proxy-protocol` here, on the listener, such as proxy-protocol = { from = [\"10.0.0.0/8\"] }",
    ),
    ("proxyvia", "it is called `via` here, on the route"),
    (
        "proxytimeout",
        "it is called `timeout` here, on each member",
    ),
];
