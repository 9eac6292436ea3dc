//! The sections below `[gateway]`.

use super::types::MethodLimit;
use std::path::PathBuf;

/// Certificates.
#[derive(Debug, Clone, PartialEq, confique::Config)]
pub struct Tls {
    /// Where development keeps its certificate authority: `ca.pem` (give it to browsers) and `ca.key`.
    #[config(default = "data/tls", env = "NEXUS_GATEWAY_TLS_DIRECTORY")]
    pub directory: PathBuf,

    /// Names and addresses in the certificate that development signs.
    #[config(
        default = ["localhost", "127.0.0.1", "::1"],
        env = "NEXUS_GATEWAY_TLS_NAMES",
        parse_env = confique::env::parse::list_by_comma
    )]
    pub names: Vec<String>,

    /// The certificate chain, PEM, the server's first. Required in production. Read again when it changes.
    #[config(env = "NEXUS_GATEWAY_TLS_CERTIFICATE")]
    pub certificate: Option<PathBuf>,

    /// The private key of that certificate, PEM. Required in production.
    #[config(env = "NEXUS_GATEWAY_TLS_KEY")]
    pub key: Option<PathBuf>,

    /// How often the two files are looked at, in seconds.
    #[config(default = 10, env = "NEXUS_GATEWAY_TLS_RELOAD_S")]
    pub reload_s: u64,
}

/// Who may call. At least one of a secret and a key set is needed.
#[derive(Clone, PartialEq, confique::Config)]
pub struct Auth {
    /// The secret of tokens signed with HS256, at least 32 bytes. Prefer `secret_file`.
    #[config(env = "NEXUS_GATEWAY_AUTH_SECRET")]
    pub secret: Option<String>,

    /// A file that holds that secret; white space at its end is dropped.
    #[config(env = "NEXUS_GATEWAY_AUTH_SECRET_FILE")]
    pub secret_file: Option<PathBuf>,

    /// A JSON Web Key Set with public keys for RS256, ES256 and EdDSA: a path, or an https:// address.
    #[config(env = "NEXUS_GATEWAY_AUTH_JWKS")]
    pub jwks: Option<String>,

    /// Certificates (PEM) to trust for that address, instead of the system's.
    #[config(env = "NEXUS_GATEWAY_AUTH_JWKS_CA")]
    pub jwks_ca: Option<PathBuf>,

    /// How often the key set is read again, in seconds. A key that is not in it is looked for at once, but
    /// not more often than every ten seconds.
    #[config(default = 300, env = "NEXUS_GATEWAY_AUTH_JWKS_REFRESH_S")]
    pub jwks_refresh_s: u64,

    /// The issuer (`iss`) that tokens must name. Not set: not looked at.
    #[config(env = "NEXUS_GATEWAY_AUTH_ISSUER")]
    pub issuer: Option<String>,

    /// The audience (`aud`) that tokens must name. Not set: not looked at.
    #[config(env = "NEXUS_GATEWAY_AUTH_AUDIENCE")]
    pub audience: Option<String>,

    /// By how much the clocks of the issuer and of the edge may differ, in seconds.
    #[config(default = 30, env = "NEXUS_GATEWAY_AUTH_LEEWAY_S")]
    pub leeway_s: u64,
}

// The secret must not reach a log through `{:?}`.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth")
            .field("secret", &self.secret.as_ref().map(|_| "(set)"))
            .field("secret_file", &self.secret_file)
            .field("jwks", &self.jwks)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// How much anybody may ask for. Rates are per second, bursts are what may come at once.
#[derive(Debug, Clone, PartialEq, confique::Config)]
pub struct Limits {
    /// Open connections in all.
    #[config(default = 50_000, env = "NEXUS_GATEWAY_LIMITS_CONNECTIONS")]
    pub connections: usize,

    /// Open connections of one address (of one /64 for IPv6). Offices and carriers share addresses.
    #[config(default = 5_000, env = "NEXUS_GATEWAY_LIMITS_CONNECTIONS_PER_ADDRESS")]
    pub connections_per_address: usize,

    /// Concurrent requests and streams on one HTTP/2 connection.
    #[config(default = 100, env = "NEXUS_GATEWAY_LIMITS_STREAMS_PER_CONNECTION")]
    pub streams_per_connection: u32,

    /// Calls in progress; beyond it calls are shed. Attached streams do not count.
    #[config(default = 10_000, env = "NEXUS_GATEWAY_LIMITS_CALLS")]
    pub calls: usize,

    /// Calls in progress of methods that need no token.
    #[config(default = 500, env = "NEXUS_GATEWAY_LIMITS_PUBLIC_CALLS")]
    pub public_calls: usize,

    /// Attached streams; beyond it attaching is shed.
    #[config(default = 50_000, env = "NEXUS_GATEWAY_LIMITS_STREAMS")]
    pub streams: usize,

    /// Streams per second that are ended when this edge goes away, so that the others aren't run over.
    #[config(default = 500, env = "NEXUS_GATEWAY_LIMITS_LEAVING_RATE")]
    pub leaving_rate: u32,

    /// Bytes of a request's header, names and values.
    #[config(default = 16_384, env = "NEXUS_GATEWAY_LIMITS_HEADER_BYTES")]
    pub header_bytes: usize,

    /// Bytes of a request's body.
    #[config(default = 1_048_576, env = "NEXUS_GATEWAY_LIMITS_BODY_BYTES")]
    pub body_bytes: usize,

    /// Keys that each rate limit remembers; beyond it new keys are let through uncounted.
    #[config(default = 200_000, env = "NEXUS_GATEWAY_LIMITS_TRACKED")]
    pub tracked: usize,

    /// Requests of one address (of one /64 for IPv6), with or without a token.
    #[config(default = 500, env = "NEXUS_GATEWAY_LIMITS_ADDRESS_RATE")]
    pub address_rate: u32,
    /// Burst of one address.
    #[config(default = 2_000, env = "NEXUS_GATEWAY_LIMITS_ADDRESS_BURST")]
    pub address_burst: u32,

    /// Calls of one user.
    #[config(default = 100, env = "NEXUS_GATEWAY_LIMITS_USER_RATE")]
    pub user_rate: u32,
    /// Burst of one user.
    #[config(default = 300, env = "NEXUS_GATEWAY_LIMITS_USER_BURST")]
    pub user_burst: u32,

    /// Calls of one user that only read.
    #[config(default = 50, env = "NEXUS_GATEWAY_LIMITS_READ_RATE")]
    pub read_rate: u32,
    /// Burst of reading.
    #[config(default = 200, env = "NEXUS_GATEWAY_LIMITS_READ_BURST")]
    pub read_burst: u32,

    /// Calls of one user that change something.
    #[config(default = 50, env = "NEXUS_GATEWAY_LIMITS_MUTATION_RATE")]
    pub mutation_rate: u32,
    /// Burst of changes.
    #[config(default = 100, env = "NEXUS_GATEWAY_LIMITS_MUTATION_BURST")]
    pub mutation_burst: u32,

    /// Calls of one user of single methods, beside the limit of their class: method, rate and burst of each.
    #[config(
        default = ["nexus.v1.PresenceService/GetPresence 5 20"],
        env = "NEXUS_GATEWAY_LIMITS_METHODS",
        parse_env = confique::env::parse::list_by_comma
    )]
    pub methods: Vec<MethodLimit>,

    /// Streams that one user attaches.
    #[config(default = 2, env = "NEXUS_GATEWAY_LIMITS_STREAM_RATE")]
    pub stream_rate: u32,
    /// Burst of attaching: one per device, after an outage.
    #[config(default = 20, env = "NEXUS_GATEWAY_LIMITS_STREAM_BURST")]
    pub stream_burst: u32,
}

/// How long anything may take, in seconds.
#[derive(Debug, Clone, PartialEq, confique::Config)]
pub struct Timeouts {
    /// From the first byte of a request's header to its last (HTTP/1.1), for the HTTP/2 preface, and for TLS.
    #[config(default = 10, env = "NEXUS_GATEWAY_TIMEOUTS_HEAD_S")]
    pub head_s: u64,

    /// How long a connection may stay open with nothing on it.
    #[config(default = 120, env = "NEXUS_GATEWAY_TIMEOUTS_IDLE_S")]
    pub idle_s: u64,

    /// A call, from its header to the header of its answer; a client's grpc-timeout can only shorten it.
    #[config(default = 30, env = "NEXUS_GATEWAY_TIMEOUTS_CALL_S")]
    pub call_s: u64,

    /// Silence of a chat node on an attached stream. It sends a heartbeat every 20 seconds or less.
    #[config(default = 60, env = "NEXUS_GATEWAY_TIMEOUTS_STREAM_SILENCE_S")]
    pub stream_silence_s: u64,

    /// How long a client may read nothing while there is something to read.
    #[config(default = 60, env = "NEXUS_GATEWAY_TIMEOUTS_WRITE_S")]
    pub write_s: u64,

    /// How long bytes may stay unacknowledged on a client's TCP connection before it is taken for dead.
    #[config(default = 30, env = "NEXUS_GATEWAY_TIMEOUTS_TCP_USER_S")]
    pub tcp_user_s: u64,
}

/// Connections to the chat nodes.
#[derive(Debug, Clone, PartialEq, confique::Config)]
pub struct Upstream {
    /// The certificate chain that this edge shows to nodes at https:// addresses, PEM, its own first. Read again when it
    /// changes, as `key` and `ca` are.
    #[config(env = "NEXUS_GATEWAY_UPSTREAM_CERTIFICATE")]
    pub certificate: Option<PathBuf>,

    /// The private key of that certificate, PEM.
    #[config(env = "NEXUS_GATEWAY_UPSTREAM_KEY")]
    pub key: Option<PathBuf>,

    /// Authorities, PEM, that sign the nodes' certificates.
    #[config(env = "NEXUS_GATEWAY_UPSTREAM_CA")]
    pub ca: Option<PathBuf>,

    /// Connecting, in milliseconds.
    #[config(default = 2_000, env = "NEXUS_GATEWAY_UPSTREAM_CONNECT_MS")]
    pub connect_ms: u64,

    /// Chat nodes that are tried when one can't be connected to. Nothing is ever sent twice.
    #[config(default = 3, env = "NEXUS_GATEWAY_UPSTREAM_CONNECT_ATTEMPTS")]
    pub connect_attempts: usize,

    /// Streams on one connection.
    #[config(default = 100, env = "NEXUS_GATEWAY_UPSTREAM_STREAMS_PER_CONNECTION")]
    pub streams_per_connection: usize,

    /// HTTP/2 window of a stream, in bytes: what may be under way to a client that does not read.
    #[config(default = 262_144, env = "NEXUS_GATEWAY_UPSTREAM_STREAM_WINDOW_BYTES")]
    pub stream_window_bytes: u32,

    /// HTTP/2 window of a connection, in bytes.
    #[config(default = 8_388_608, env = "NEXUS_GATEWAY_UPSTREAM_CONNECTION_WINDOW_BYTES")]
    pub connection_window_bytes: u32,

    /// HTTP/2 PING, in seconds.
    #[config(default = 15, env = "NEXUS_GATEWAY_UPSTREAM_PING_S")]
    pub ping_s: u64,

    /// How long a connection without streams is kept, in seconds.
    #[config(default = 300, env = "NEXUS_GATEWAY_UPSTREAM_IDLE_S")]
    pub idle_s: u64,

    /// gRPC health check of each node, in milliseconds; it is also the check's deadline.
    #[config(default = 1_000, env = "NEXUS_GATEWAY_UPSTREAM_HEALTH_MS")]
    pub health_ms: u64,

    /// Checks that must fail in a row before a node gets no more requests. One good check brings it back.
    #[config(default = 2, env = "NEXUS_GATEWAY_UPSTREAM_UNHEALTHY_AFTER")]
    pub unhealthy_after: u32,

    /// Calls to a node that must get no answer in a row, while it passes its checks, before other nodes are preferred for
    /// `eject_s`. Its streams stay. 0 means never.
    #[config(default = 5, env = "NEXUS_GATEWAY_UPSTREAM_EJECT_AFTER")]
    pub eject_after: u32,

    /// For how long they are, in seconds. After it, one more such call is enough.
    #[config(default = 10, env = "NEXUS_GATEWAY_UPSTREAM_EJECT_S")]
    pub eject_s: u64,
}

/// Browsers on pages of other origins. The edge's own page needs nothing here.
#[derive(Debug, Clone, PartialEq, confique::Config)]
pub struct Cors {
    /// Origins that may call, such as "https://app.example", or "*". Tokens travel in a header and never in a
    /// cookie, so "*" gives away nothing by itself.
    #[config(
        default = [],
        env = "NEXUS_GATEWAY_CORS_ORIGINS",
        parse_env = confique::env::parse::list_by_comma
    )]
    pub origins: Vec<String>,

    /// How long a browser may remember the answer, in seconds.
    #[config(default = 7_200, env = "NEXUS_GATEWAY_CORS_MAX_AGE_S")]
    pub max_age_s: u64,
}

/// The web page.
#[derive(Debug, Clone, PartialEq, confique::Config)]
pub struct Page {
    /// What the page may load, run and talk to.
    #[config(
        default = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        env = "NEXUS_GATEWAY_PAGE_CONTENT_SECURITY_POLICY"
    )]
    pub content_security_policy: String,
}
