//! A balancer described once, for both servers, and how each of them writes it down.

use std::fmt::Write;

use crate::members::MEMBERS;

/// The cookie that sessions are in, and the URL parameter.
pub(crate) const STICKY: &str = "SID|sidp";

/// A balancer and the route to it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) lbmethod: &'static str,
    pub(crate) members: Vec<Member>,
    /// `stickysession`, with a cookie set when the route changes.
    pub(crate) sticky: bool,
    pub(crate) stickysessionsep: Option<&'static str>,
    pub(crate) scolonpathdelim: bool,
    pub(crate) nofailover: bool,
    pub(crate) forcerecovery: bool,
    pub(crate) maxattempts: Option<u32>,
    pub(crate) failonstatus: Vec<u16>,
    pub(crate) failontimeout: bool,
    /// Seconds.
    pub(crate) timeout: Option<u32>,
    pub(crate) route: Route,
}

/// What belongs to `ProxyPass` and its relatives.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) member_path: &'static str,
    pub(crate) preserve_host: bool,
    pub(crate) add_headers: bool,
    /// `Off`, `On` or `Block`.
    pub(crate) via: &'static str,
    pub(crate) cookie_path: Option<(&'static str, &'static str)>,
    pub(crate) cookie_domain: Option<(&'static str, &'static str)>,
}

/// A member of the balancer. At position N it is `bN` to the tests, counted from 1.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) is_dead: bool,
    /// The path of its URL.
    pub(crate) path: &'static str,
    pub(crate) loadfactor: &'static str,
    pub(crate) lbset: u32,
    pub(crate) route: Option<String>,
    pub(crate) redirect: Option<String>,
    pub(crate) status: String,
    /// Seconds.
    pub(crate) retry: Option<u32>,
    /// Seconds.
    pub(crate) timeout: Option<u32>,
}

/// A member that lives, with every default.
pub(crate) fn live() -> Member {
    Member {
        is_dead: false,
        path: "",
        loadfactor: "1",
        lbset: 0,
        route: None,
        redirect: None,
        status: String::new(),
        retry: None,
        timeout: None,
    }
}

/// A member that refuses connections.
pub(crate) fn dead() -> Member {
    Member {
        is_dead: true,
        ..live()
    }
}

impl Member {
    pub(crate) fn weight(self, loadfactor: &'static str) -> Self {
        Self { loadfactor, ..self }
    }

    pub(crate) fn set(self, lbset: u32) -> Self {
        Self { lbset, ..self }
    }

    pub(crate) fn status(self, letters: &str) -> Self {
        let status = letters.to_owned();
        Self { status, ..self }
    }

    pub(crate) fn route(self, route: &str) -> Self {
        let route = Some(route.to_owned());
        Self { route, ..self }
    }

    pub(crate) fn redirect(self, route: &str) -> Self {
        let redirect = Some(route.to_owned());
        Self { redirect, ..self }
    }

    pub(crate) fn retry(self, seconds: u32) -> Self {
        let retry = Some(seconds);
        Self { retry, ..self }
    }

    pub(crate) fn timeout(self, seconds: u32) -> Self {
        let timeout = Some(seconds);
        Self { timeout, ..self }
    }

    pub(crate) fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn url(&self, position: usize) -> String {
        let address = if self.is_dead {
            MEMBERS.dead(position)
        } else {
            MEMBERS.live(position)
        };
        format!("http://{address}{}", self.path)
    }
}

impl Cluster {
    /// A balancer with every default but these members.
    pub(crate) fn of(members: impl IntoIterator<Item = Member>) -> Self {
        Self {
            lbmethod: "byrequests",
            members: members.into_iter().collect(),
            sticky: false,
            stickysessionsep: None,
            scolonpathdelim: false,
            nofailover: false,
            forcerecovery: true,
            maxattempts: None,
            failonstatus: Vec::new(),
            failontimeout: false,
            timeout: None,
            route: Route {
                path: "/",
                member_path: "/",
                preserve_host: false,
                add_headers: true,
                via: "Off",
                cookie_path: None,
                cookie_domain: None,
            },
        }
    }

    /// Live members with these weights.
    pub(crate) fn weighted<const COUNT: usize>(weights: [&'static str; COUNT]) -> Self {
        Self::of(weights.map(|weight| live().weight(weight)))
    }

    /// Sticky sessions: members without a route get `r1`, `r2` and so on by their position.
    pub(crate) fn sticky(mut self) -> Self {
        self.sticky = true;
        for (position, member) in self.members.iter_mut().enumerate() {
            member
                .route
                .get_or_insert_with(|| format!("r{}", position + 1));
        }
        self
    }

    pub(crate) fn by(self, lbmethod: &'static str) -> Self {
        Self { lbmethod, ..self }
    }

    /// What Apache's configuration says of it.
    pub(crate) fn in_apaches_words(&self) -> String {
        let Route {
            path, member_path, ..
        } = self.route;
        let mut text = String::from("<Proxy balancer://cluster>\n");
        for (position, member) in self.members.iter().enumerate() {
            let _ = writeln!(text, "    {}", member.in_apaches_words(position));
        }
        let _ = writeln!(text, "    ProxySet {}\n</Proxy>", self.proxy_set());
        let _ = writeln!(
            text,
            "ProxyPass {path} balancer://cluster{member_path}\nProxyPassReverse {path} balancer://cluster{member_path}"
        );
        text.push_str(&self.route.in_apaches_words());
        if self.sticky {
            let separator = self.separator();
            let _ = writeln!(
                text,
                "Header add Set-Cookie \"SID={separator}%{{BALANCER_WORKER_ROUTE}}e; Path=/\" env=BALANCER_ROUTE_CHANGED"
            );
        }
        text
    }

    fn proxy_set(&self) -> String {
        let mut text = format!(
            "lbmethod={} nofailover={} forcerecovery={} failontimeout={} scolonpathdelim={}",
            self.lbmethod,
            on_off(self.nofailover),
            on_off(self.forcerecovery),
            on_off(self.failontimeout),
            on_off(self.scolonpathdelim)
        );
        if self.sticky {
            let _ = write!(text, " stickysession={STICKY}");
        }
        if let Some(separator) = self.stickysessionsep {
            let _ = write!(text, " stickysessionsep={separator}");
        }
        if let Some(maxattempts) = self.maxattempts {
            let _ = write!(text, " maxattempts={maxattempts}");
        }
        if let Some(timeout) = self.timeout {
            let _ = write!(text, " timeout={timeout}");
        }
        if !self.failonstatus.is_empty() {
            let statuses: Vec<String> = self.failonstatus.iter().map(u16::to_string).collect();
            let _ = write!(text, " failonstatus={}", statuses.join(","));
        }
        text
    }

    /// What stands before the route in the session cookie.
    fn separator(&self) -> &'static str {
        match self.stickysessionsep {
            None => ".",
            Some("Off") => "",
            Some(separator) => separator,
        }
    }

    /// What our configuration says of it.
    pub(crate) fn in_our_words(&self) -> String {
        let mut text = self.route.in_our_words();
        let _ = writeln!(
            text,
            "[balancer.cluster]\nlbmethod = \"{}\"\nnofailover = {}\nforcerecovery = {}\nscolonpathdelim = {}",
            self.lbmethod, self.nofailover, self.forcerecovery, self.scolonpathdelim
        );
        if self.sticky {
            let _ = writeln!(
                text,
                "stickysession = \"{STICKY}\"\nsticky-cookie = {{ name = \"SID\" }}"
            );
        }
        if let Some(separator) = self.stickysessionsep {
            let _ = writeln!(text, "stickysessionsep = \"{separator}\"");
        }
        if let Some(maxattempts) = self.maxattempts {
            let _ = writeln!(text, "maxattempts = {maxattempts}");
        }
        if let Some(timeout) = self.timeout {
            let _ = writeln!(text, "timeout = \"{timeout}s\"");
        }
        let _ = writeln!(
            text,
            "failonstatus = {:?}\nfailontimeout = {}",
            self.failonstatus, self.failontimeout
        );
        for (position, member) in self.members.iter().enumerate() {
            text.push_str(&member.in_our_words(position));
        }
        text
    }
}

impl Member {
    fn in_apaches_words(&self, position: usize) -> String {
        let mut text = format!(
            "BalancerMember {} loadfactor={} lbset={}",
            self.url(position),
            self.loadfactor,
            self.lbset
        );
        if !self.status.is_empty() {
            let _ = write!(text, " status={}", self.status);
        }
        if let Some(route) = &self.route {
            let _ = write!(text, " route={route}");
        }
        if let Some(redirect) = &self.redirect {
            let _ = write!(text, " redirect={redirect}");
        }
        if let Some(retry) = self.retry {
            let _ = write!(text, " retry={retry}");
        }
        if let Some(timeout) = self.timeout {
            let _ = write!(text, " timeout={timeout}");
        }
        text
    }

    fn in_our_words(&self, position: usize) -> String {
        let mut text = format!(
            "[[balancer.cluster.member]]\nurl = \"{}\"\nloadfactor = {}\nlbset = {}\n",
            self.url(position),
            self.loadfactor,
            self.lbset
        );
        if !self.status.is_empty() {
            let _ = writeln!(text, "status = \"{}\"", self.status);
        }
        if let Some(route) = &self.route {
            let _ = writeln!(text, "route = \"{route}\"");
        }
        if let Some(redirect) = &self.redirect {
            let _ = writeln!(text, "redirect = \"{redirect}\"");
        }
        if let Some(retry) = self.retry {
            let _ = writeln!(text, "retry = \"{retry}s\"");
        }
        if let Some(timeout) = self.timeout {
            let _ = writeln!(text, "timeout = \"{timeout}s\"");
        }
        text
    }
}

impl Route {
    fn in_apaches_words(&self) -> String {
        let mut text = format!(
            "ProxyPreserveHost {}\nProxyAddHeaders {}\nProxyVia {}\n",
            on_off(self.preserve_host),
            on_off(self.add_headers),
            self.via
        );
        if let Some((inner, outer)) = self.cookie_path {
            let _ = writeln!(text, "ProxyPassReverseCookiePath {inner} {outer}");
        }
        if let Some((inner, outer)) = self.cookie_domain {
            let _ = writeln!(text, "ProxyPassReverseCookieDomain {inner} {outer}");
        }
        text
    }

    fn in_our_words(&self) -> String {
        let mut text = format!(
            "[[route]]\npath = \"{}\"\nmember-path = \"{}\"\nbalancer = \"cluster\"\npreserve-host = {}\n\
             x-forwarded = \"{}\"\nvia = \"{}\"\n",
            self.path,
            self.member_path,
            self.preserve_host,
            if self.add_headers { "append" } else { "off" },
            self.via.to_lowercase()
        );
        if let Some((inner, outer)) = self.cookie_path {
            let _ = writeln!(text, "cookie-path = {{ \"{inner}\" = \"{outer}\" }}");
        }
        if let Some((inner, outer)) = self.cookie_domain {
            let _ = writeln!(text, "cookie-domain = {{ \"{inner}\" = \"{outer}\" }}");
        }
        text
    }
}

fn on_off(switch: bool) -> &'static str {
    if switch { "On" } else { "Off" }
}
