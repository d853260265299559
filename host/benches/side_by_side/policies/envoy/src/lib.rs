//! The policy of the second table as a proxy-wasm filter: hash the header x-user over the members if it is there.
//!
//! A filter cannot choose among the members of a cluster. So each member is also a cluster of its own, and the filter names
//! the cluster in a header field, by which the route goes. Without x-user it names the cluster of all members, whose
//! `LEAST_REQUEST` chooses the least busy one: what is in flight is Envoy's to know, not the filter's.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

/// The field that the route goes by.
const CLUSTER: &str = "x-cluster";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::<Policy>::default());
}}

/// The clusters, from the filter's configuration: that of all members, then those of one member each.
#[derive(Default)]
struct Policy {
    all: Rc<str>,
    single: Rc<[String]>,
}

impl Context for Policy {}

impl RootContext for Policy {
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let configuration = String::from_utf8_lossy(&configuration);
        let mut clusters = configuration.split(' ').map(str::to_owned);
        self.all = clusters.next().unwrap_or_default().into();
        self.single = clusters.collect();
        !self.single.is_empty()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        let (all, single) = (self.all.clone(), self.single.clone());
        Some(Box::new(Choice { all, single }))
    }
}

/// The choice for one request.
struct Choice {
    all: Rc<str>,
    single: Rc<[String]>,
}

impl Context for Choice {}

impl HttpContext for Choice {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let cluster = match self.get_http_request_header("x-user") {
            Some(user) => &self.single[hash(&user) as usize % self.single.len()],
            None => &*self.all,
        };
        self.set_http_request_header(CLUSTER, Some(cluster));
        Action::Continue
    }
}

/// FNV-1a in 32 bits.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
