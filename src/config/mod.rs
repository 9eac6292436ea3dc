//! The one configuration file, and the environment that overrides it.
//!
//! - here: what can be set, and what follows from it. `read`: the file and the environment, with every mistake in them.
//!   `methods`: whether methods that are named exist.

mod methods;
mod read;

use confique::{Config as _, Layer as _, toml::FormatOptions};
use nexus_core::config::Mode;
use std::{env, ffi::OsString, fmt, path::Path};

type Layer = <Config as confique::Config>::Layer;

/// Everything that can be set. Every setting can be given by the environment variable that stands beside it, which
/// wins over the file.
#[derive(Debug, Clone, confique::Config)]
pub struct Config {
    /// `development` or `production`, for the edge and the core at once.
    #[config(env = "NEXUS_MODE")]
    pub mode: Option<Mode>,

    /// The log of the process.
    #[config(nested)]
    pub log: Log,

    /// The edge.
    #[config(nested)]
    pub gateway: nexus_gateway::Config,

    /// The chat node.
    #[config(nested)]
    pub core: nexus_core::config::Config,
}

/// The log of the process.
#[derive(Debug, Clone, PartialEq, Eq, confique::Config)]
pub struct Log {
    /// `human`, `json`, or `auto`: human on a terminal, JSON elsewhere.
    #[config(default = "auto", env = "NEXUS_LOG_FORMAT")]
    pub format: String,

    /// What is logged, such as `info` or `nexus_core=debug,info`.
    #[config(default = "info,access=warn", env = "NEXUS_LOG_FILTER")]
    pub filter: String,
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Edge and chat node in one.
    All,
    /// A chat node.
    Core,
    /// An edge.
    Gateway,
}

impl Role {
    /// Whether it has a chat node in it.
    pub fn has_core(self) -> bool {
        self != Role::Gateway
    }

    /// Whether it has an edge in it.
    pub fn has_gateway(self) -> bool {
        self != Role::Core
    }
}

const DEFAULT_FILE: &str = "nexus.toml";

/// Everything that is wrong with a configuration.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration can't be honoured:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))?;
        f.write_str("\n`nexus config` prints every setting with its default")
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Reads the file and the environment, and checks at once all of it that matters to a process of this kind.
    pub fn read(path: Option<&Path>, role: Role) -> Result<Self, Mistakes> {
        let variables: Vec<_> = env::vars_os().collect();
        Self::read_from(path, &variables, role)
    }

    fn read_from(
        path: Option<&Path>,
        variables: &[(OsString, OsString)],
        role: Role,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut layer = read::environment(variables, &mut mistakes);
        if let Some(path) = path.or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists())) {
            layer = layer.with_fallback(read::file(path, &mut mistakes));
        }
        let mode = mode(&layer).unwrap_or_else(|differ| {
            mistakes.push(differ);
            Mode::Development
        });
        let layer = layer.with_fallback(Layer::default_values());
        let mut config = Self::from_layer(layer).map_err(|error| Mistakes(vec![format!("{error:#}")]))?;
        config.settle(mode, role);
        if role.has_core() {
            mistakes.extend(config.core.problems());
        }
        if role.has_gateway() {
            mistakes.extend(config.gateway.validate().err().unwrap_or_default());
            mistakes.extend(methods::unknown(&config.gateway.limits.methods));
        }
        if role == Role::All && config.core.listen.is_some() {
            mistakes.push(
                "core.listen: in one process the edge comes by the Unix socket; `nexus core` listens there"
                    .into(),
            );
        }
        if !["human", "json", "auto"].contains(&&config.log.format[..]) {
            mistakes.push(format!(
                "log.format = {:?}: must be \"human\", \"json\" or \"auto\"",
                config.log.format
            ));
        }
        mistakes.extend(crate::logging::filter(&config.log).err());
        if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
    }

    /// Whether this is a development deployment.
    pub fn development(&self) -> bool {
        self.mode == Some(Mode::Development)
    }

    /// The mode is one for all. In one process the edge finds the core where it listens.
    fn settle(&mut self, mode: Mode, role: Role) {
        self.mode = Some(mode);
        self.core.mode = mode;
        self.gateway.mode = match mode {
            Mode::Development => nexus_gateway::config::Mode::Development,
            Mode::Production => nexus_gateway::config::Mode::Production,
        };
        if self.core.socket == Path::new("data/core.sock") {
            self.core.socket = self.core.data.join("core.sock");
        }
        if role == Role::All {
            self.gateway.upstreams = vec![format!("unix:{}", self.core.socket.display())];
        }
        if self.gateway.tls.directory == Path::new("data/tls") {
            self.gateway.tls.directory = self.core.data.join("tls");
        }
        let auth = &mut self.gateway.auth;
        let given = auth.secret.is_some() || auth.secret_file.is_some() || auth.jwks.is_some();
        if mode == Mode::Development && !given {
            auth.secret_file = Some(self.core.data.join("token-secret"));
        }
    }
}

/// The mode that is written, wherever that is. An edge that believed another than its nodes do would hand out tokens where
/// nobody wants that, or the other way round.
fn mode(layer: &Layer) -> Result<Mode, String> {
    let edge = layer.gateway.mode.map(|mode| match mode {
        nexus_gateway::config::Mode::Development => Mode::Development,
        nexus_gateway::config::Mode::Production => Mode::Production,
    });
    let mut written = [layer.mode, layer.core.mode, edge].into_iter().flatten();
    let mode = written.next().unwrap_or(Mode::Development);
    let same = written.all(|other| other == mode);
    same.then_some(mode).ok_or_else(|| "mode, core.mode and gateway.mode differ; set only `mode`".into())
}

/// The commented example, made from the types above.
pub fn example() -> String {
    let mut options = FormatOptions::default();
    options.general.env_keys = true;
    let text = confique::toml::template::<Config>(options);
    format!("# Nexus. Everything below shows its default; take away the # to change it.\n\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(variables: &[(&str, &str)], role: Role) -> Vec<String> {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Config::read_from(None, &variables, role).err().map(|Mistakes(all)| all).unwrap_or_default()
    }

    #[test]
    fn the_mode_is_one_for_all_wherever_it_is_written() {
        for (variable, role) in [
            ("NEXUS_MODE", Role::All),
            ("NEXUS_CORE_MODE", Role::All),
            ("NEXUS_GATEWAY_MODE", Role::All),
            ("NEXUS_GATEWAY_MODE", Role::Gateway),
        ] {
            let found = mistakes(&[(variable, "production")], role);
            assert!(found.iter().any(|mistake| mistake.contains("certificate")), "{variable}: {found:?}");
        }
        let differ =
            mistakes(&[("NEXUS_MODE", "production"), ("NEXUS_GATEWAY_MODE", "development")], Role::All);
        assert!(differ.iter().any(|mistake| mistake.contains("gateway.mode differ")), "{differ:?}");
        let same = [("NEXUS_MODE", "development"), ("NEXUS_CORE_MODE", "development")];
        assert!(mistakes(&same, Role::All).is_empty());
    }

    #[test]
    fn a_limit_of_a_method_that_there_is_not_is_a_mistake_of_an_edge() {
        let limits = [(
            "NEXUS_GATEWAY_LIMITS_METHODS",
            "nexus.v1.PresenceService/GetPresense 5 20, nexus.v1.HistoryService/ListMessages 9 9",
        )];
        for role in [Role::All, Role::Gateway] {
            let found = mistakes(&limits, role);
            let [mistake] = &found[..] else { panic!("{found:#?}") };
            assert!(mistake.starts_with("gateway.limits.methods: "), "{mistake}");
            assert!(mistake.ends_with("did you mean nexus.v1.PresenceService/GetPresence?"), "{mistake}");
        }
        assert!(mistakes(&limits, Role::Core).is_empty());
    }
}
