//! Methods that the configuration names. The edge carries whatever the API grows into and knows no methods; this program does.

use super::read::nearest;
use nexus_gateway::config::MethodLimit;

/// What is wrong with each limit of a method that there is none of: it would never be reached, and nobody would notice.
pub fn unknown(limits: &[MethodLimit]) -> impl Iterator<Item = String> {
    let known: Vec<String> =
        nexus_proto::methods().map(|(service, method)| format!("{service}/{method}")).collect();
    limits.iter().map(|limit| &limit.method).filter_map(move |named| {
        if known.contains(named) {
            return None;
        }
        let all = || known.iter().map(String::as_str);
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_lowercase();
        let meant = nearest(named, all()).or_else(|| all().find(|path| last(path) == last(named)));
        let advice = match meant {
            Some(meant) => format!("did you mean {meant}?"),
            None => "write one of docs/api.md, such as nexus.v1.MessageService/SendMessage".to_owned(),
        };
        Some(format!("gateway.limits.methods: there is no method {named}; {advice}"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrong(methods: &[&str]) -> Vec<String> {
        let limits = methods.iter().map(|method| format!("{method} 5 20").parse().unwrap());
        unknown(&limits.collect::<Vec<MethodLimit>>()).collect()
    }

    #[test]
    fn methods_that_there_are_not_are_told_with_what_was_meant() {
        let mistakes = wrong(&[
            "nexus.v1.PresenceService/GetPresence",
            "nexus.v1.MesageService/SendMessage",
            "nexus.v1.MessageService/GetPresence",
            "nexus.v1.messages/sendMessage",
            "chat.Other/Method",
        ]);
        let [misspelt, elsewhere, lower, other] = &mistakes[..] else { unreachable!("{mistakes:#?}") };
        assert_eq!(
            misspelt,
            "gateway.limits.methods: there is no method nexus.v1.MesageService/SendMessage; \
             did you mean nexus.v1.MessageService/SendMessage?"
        );
        assert!(elsewhere.ends_with("did you mean nexus.v1.PresenceService/GetPresence?"), "{elsewhere}");
        assert!(lower.ends_with("did you mean nexus.v1.MessageService/SendMessage?"), "{lower}");
        assert!(other.ends_with("such as nexus.v1.MessageService/SendMessage"), "{other}");
    }
}
