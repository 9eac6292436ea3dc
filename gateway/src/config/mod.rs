//! The section `[gateway]`: every setting of the edge, with its default, its unit and why it is there.
//!
//! - `mod.rs`: addresses, mode, upstreams
//! - `parts.rs`: the sections below it
//! - `types.rs`: values that are more than a number
//! - `validate.rs`: the whole configuration checked at once
//! - `reload.rs`: which of it can be changed while the edge runs

mod parts;
mod reload;
mod types;
mod validate;

pub use parts::{Auth, Cors, Limits, Page, Timeouts, Tls, Upstream};
pub use types::{BadMethodLimit, Listen, MethodLimit, Mode};

use std::{net::SocketAddr, path::PathBuf};

/// The edge: TLS, HTTP, policy and routing.
#[derive(Debug, Clone, confique::Config)]
pub struct Config {
    /// `development` or `production`. Development makes its own certificate, allows reflection and the method
    /// that hands out tokens; production does none of these and refuses to start without a certificate.
    #[config(default = "development", env = "NEXUS_GATEWAY_MODE")]
    pub mode: Mode,

    /// Where HTTPS is served: gRPC, gRPC-Web and the web page, over HTTP/2 and HTTP/1.1.
    #[config(default = "0.0.0.0:8443", env = "NEXUS_GATEWAY_LISTEN")]
    pub listen: SocketAddr,

    /// Where plain HTTP is answered with a redirect to HTTPS, or "off".
    #[config(default = "0.0.0.0:8080", env = "NEXUS_GATEWAY_REDIRECT")]
    pub redirect: Listen,

    /// Where /healthz, /readyz and /metrics are served, in plain HTTP, or "off". Keep it off the internet.
    #[config(default = "127.0.0.1:9901", env = "NEXUS_GATEWAY_ADMIN")]
    pub admin: Listen,

    /// The HTTPS port that clients see, if something in front translates it. Default: the port of `listen`.
    #[config(env = "NEXUS_GATEWAY_PUBLIC_PORT")]
    pub public_port: Option<u16>,

    /// Threads that serve traffic. 0 means one per core.
    #[config(default = 0, env = "NEXUS_GATEWAY_THREADS")]
    pub threads: usize,

    /// Whether these threads take work from each other. Without, a request costs about a third less CPU time.
    /// A process that ends an edge and starts another needs it: Pingora's threads without it leave a trace
    /// that breaks whatever comes after them.
    #[config(default = false, env = "NEXUS_GATEWAY_WORK_STEALING")]
    pub work_stealing: bool,

    /// How many proxies of yours stand in front and append to `x-forwarded-for`. 0 means that the address of
    /// the connection is the client's, and that the header is ignored.
    #[config(default = 0, env = "NEXUS_GATEWAY_TRUSTED_HOPS")]
    pub trusted_hops: usize,

    /// Chat nodes: "unix:/path/of/socket", or "https://host:port" with certificates on both sides (`gateway.upstream`).
    /// A host name stands for every address that it has, and is looked up every second. Nodes that show a certificate are
    /// asked which others announce themselves on the bus, so a few are enough. "http://host:port" is for what
    /// is not a chat node of ours: those believe only an edge that shows its certificate. In the environment: separated
    /// by commas.
    #[config(
        default = ["unix:data/core.sock"],
        env = "NEXUS_GATEWAY_UPSTREAMS",
        parse_env = confique::env::parse::list_by_comma
    )]
    pub upstreams: Vec<String>,

    /// Certificates.
    #[config(nested)]
    pub tls: Tls,

    /// Who may call.
    #[config(nested)]
    pub auth: Auth,

    /// How much anybody may ask for.
    #[config(nested)]
    pub limits: Limits,

    /// How long anything may take.
    #[config(nested)]
    pub timeouts: Timeouts,

    /// Connections to the chat nodes.
    #[config(nested)]
    pub upstream: Upstream,

    /// Browsers on pages of other origins.
    #[config(nested)]
    pub cors: Cors,

    /// The web page.
    #[config(nested)]
    pub page: Page,
}

impl Config {
    /// Where the local certificate authority's certificate stands in development.
    pub fn local_ca(&self) -> PathBuf {
        self.tls.directory.join("ca.pem")
    }
}
