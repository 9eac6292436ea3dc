//! What an operator can set of the cache.

use confique::Config;
use std::time::Duration;

/// What this node keeps of conversations in memory. Every value is checked by [`Settings::problems`].
#[derive(Debug, Clone, PartialEq, Eq, Config)]
pub struct Settings {
    /// Bytes of ends of logs, last messages and members that are kept in memory, about. What was not used for the
    /// longest time goes first.
    #[config(default = 67108864, env = "NEXUS_CORE_CACHE_BYTES")]
    pub bytes: usize,

    /// Bytes of one conversation among them: beyond, its oldest messages go.
    #[config(default = 262144, env = "NEXUS_CORE_CACHE_CONVERSATION_BYTES")]
    pub conversation_bytes: usize,

    /// Milliseconds for which the end of a log is believed without looking at the log, as long as no hint was missed that
    /// could have told of more. A read that does not say `at_least` may be that much behind what another node appended.
    /// 0: the log is looked at each time.
    #[config(default = 30000, env = "NEXUS_CORE_CACHE_BELIEVE_MS")]
    pub believe_ms: u64,
}

/// Parts of the cache, each with its lock and its share of the bytes.
pub(super) const SHARDS: usize = 16;

impl Default for Settings {
    fn default() -> Self {
        Self { bytes: 64 << 20, conversation_bytes: 256 << 10, believe_ms: 30_000 }
    }
}

impl Settings {
    /// Everything that is wrong with these values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let numbers = [
            ("bytes", self.bytes as u64, 1 << 20, 1 << 40),
            ("conversation_bytes", self.conversation_bytes as u64, 4 << 10, (self.bytes / SHARDS) as u64),
            ("believe_ms", self.believe_ms, 0, 30_000),
        ];
        let wrong = numbers.into_iter().filter(|(_, value, least, most)| !(least..=most).contains(&value));
        wrong
            .map(|(name, value, least, most)| format!("core.cache.{name} = {value}: must be {least}-{most}"))
            .collect()
    }

    pub(super) fn believe(&self) -> Duration {
        Duration::from_millis(self.believe_ms)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_the_type() {
        assert_eq!(Settings::builder().load().unwrap(), Settings::default());
        assert_eq!(Settings::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn a_conversation_fits_into_its_part() {
        let wrong = Settings { conversation_bytes: 8 << 20, ..Settings::default() };
        assert_eq!(wrong.problems().len(), 1);
    }
}
