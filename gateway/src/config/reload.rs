//! Which settings can be changed while the edge runs.

use super::{Auth, Config, Limits, Timeouts};

impl Config {
    /// The settings that differ from a running edge's and need a restart. Every other one can be changed while it runs.
    ///
    /// Each is named here, so that a new one can't be forgotten.
    pub fn needs_restart(&self, running: &Config) -> Vec<&'static str> {
        let Config {
            mode,
            listen,
            redirect,
            admin,
            public_port: _,
            threads,
            work_stealing,
            trusted_hops: _,
            upstreams: _,
            tls,
            auth,
            limits,
            timeouts,
            upstream,
            cors: _,
            page: _,
        } = self;
        let mut changed = Vec::new();
        let mut fixed = |name, same: bool| {
            if !same {
                changed.push(name);
            }
        };
        fixed("gateway.mode", *mode == running.mode);
        fixed("gateway.listen", *listen == running.listen);
        fixed("gateway.redirect", *redirect == running.redirect);
        fixed("gateway.admin", *admin == running.admin);
        fixed("gateway.threads", *threads == running.threads);
        fixed("gateway.work_stealing", *work_stealing == running.work_stealing);
        fixed("gateway.tls", *tls == running.tls);
        fixed("gateway.upstream", *upstream == running.upstream);

        let Auth {
            secret: _,
            secret_file: _,
            jwks: _,
            jwks_ca: _,
            jwks_refresh_s: _,
            issuer: _,
            audience: _,
            leeway_s,
        } = auth;
        fixed("gateway.auth.leeway_s", *leeway_s == running.auth.leeway_s);

        let Limits {
            connections,
            connections_per_address,
            streams_per_connection,
            calls: _,
            public_calls: _,
            streams: _,
            leaving_rate: _,
            header_bytes,
            body_bytes,
            tracked: _,
            address_rate: _,
            address_burst: _,
            user_rate: _,
            user_burst: _,
            read_rate: _,
            read_burst: _,
            mutation_rate: _,
            mutation_burst: _,
            methods: _,
            stream_rate: _,
            stream_burst: _,
        } = limits;
        let at = &running.limits;
        fixed("gateway.limits.connections", *connections == at.connections);
        fixed(
            "gateway.limits.connections_per_address",
            *connections_per_address == at.connections_per_address,
        );
        fixed("gateway.limits.streams_per_connection", *streams_per_connection == at.streams_per_connection);
        fixed("gateway.limits.header_bytes", *header_bytes == at.header_bytes);
        fixed("gateway.limits.body_bytes", *body_bytes == at.body_bytes);

        let Timeouts { head_s, idle_s, call_s: _, stream_silence_s: _, write_s, tcp_user_s } = timeouts;
        let at = &running.timeouts;
        fixed("gateway.timeouts.head_s", *head_s == at.head_s);
        fixed("gateway.timeouts.idle_s", *idle_s == at.idle_s);
        fixed("gateway.timeouts.write_s", *write_s == at.write_s);
        fixed("gateway.timeouts.tcp_user_s", *tcp_user_s == at.tcp_user_s);
        changed
    }
}
