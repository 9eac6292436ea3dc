//! gRPC method paths and their classes.

/// What a method does to the system, for limits and routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Attaches a stream that stays.
    Stream,
    /// Changes something.
    Mutation,
    /// Only looks.
    Read,
}

impl Class {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Class::Stream => "stream",
            Class::Mutation => "mutation",
            Class::Read => "read",
        }
    }
}

/// The longest path that is taken for a method's; it ends up in logs.
const PATH_BYTES: usize = 256;

/// The methods whose streams stay.
const STREAMS: &[(&str, &str)] = &[("nexus.v1.StreamService", "Attach")];

/// A method's path, taken apart: `/package.Service/Method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MethodPath<'a> {
    pub package: &'a str,
    /// With the package.
    pub service: &'a str,
    pub method: &'a str,
}

impl<'a> MethodPath<'a> {
    /// None if the path can't be a method's.
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        if path.len() > PATH_BYTES {
            return None;
        }
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        let (package, name) = service.rsplit_once('.')?;
        let identifier = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        (package.split('.').all(identifier) && identifier(name) && identifier(method)).then_some(MethodPath {
            package,
            service,
            method,
        })
    }

    /// By the name, as the API's style rules (buf STANDARD, AIP-130 to 136) let one do: reading methods start
    /// with one of these verbs. `GetOrCreate` is none of them.
    pub(crate) fn class(&self) -> Class {
        if STREAMS.contains(&(self.service, self.method)) {
            return Class::Stream;
        }
        let reads = ["Get", "List", "Search", "Check", "Count"].iter().any(|verb| {
            self.method
                .strip_prefix(verb)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_lowercase()))
        });
        let reflection = self.package.starts_with("grpc.reflection.");
        if (reads && !self.method.starts_with("GetOrCreate")) || reflection {
            Class::Read
        } else {
            Class::Mutation
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_taken_apart() {
        let path = MethodPath::parse("/nexus.v1.StreamService/Attach").unwrap();
        assert_eq!(
            (path.package, path.service, path.method),
            ("nexus.v1", "nexus.v1.StreamService", "Attach")
        );
        for bad in [
            "",
            "/",
            "//",
            "/a/b",
            "/a.B/",
            "/a.B/c/d",
            "nexus.v1.S/M",
            "/a..B/c",
            "/.a.B/c",
            "/a.B/c?d",
            "/a.B/c d",
            "/1.B/c",
        ] {
            assert_eq!(MethodPath::parse(bad), None, "{bad}");
        }
        assert_eq!(MethodPath::parse(&format!("/a.B/{}", "x".repeat(300))), None);
    }

    #[test]
    fn classes_follow_the_verb() {
        for (path, class) in [
            ("/nexus.v1.StreamService/Attach", Class::Stream),
            ("/grpc.health.v1.Health/Check", Class::Read),
            ("/nexus.v1.HistoryService/ListMessages", Class::Read),
            ("/nexus.v1.ConversationService/GetConversation", Class::Read),
            ("/nexus.v1.ConversationService/GetOrCreateDirect", Class::Mutation),
            ("/nexus.v1.MessageService/SendMessage", Class::Mutation),
            ("/nexus.v1.X/Listen", Class::Mutation),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Class::Read),
        ] {
            assert_eq!(MethodPath::parse(path).unwrap().class(), class, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_a_panic(path in ".{0,300}") {
            if let Some(found) = MethodPath::parse(&path) {
                prop_assert_eq!(format!("/{}/{}", found.service, found.method), path);
            }
        }
    }
}
