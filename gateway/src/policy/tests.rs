//! The stack as a whole, asked directly.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use confique::Config as _;
use http::{HeaderMap, Method};
use tower::ServiceExt;

fn stack_with(change: impl FnOnce(&mut Config)) -> Stack {
    Stack::new(layers_with(&parts(), change))
}

fn parts() -> Parts {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let clock = Clock::from_fn(|| 0);
    Parts { assets: Assets::none(), clock, metrics, https_port: 8443, places: Places::default() }
}

fn layers_with(parts: &Parts, change: impl FnOnce(&mut Config)) -> Layers {
    let mut config = Config::builder().load().unwrap();
    change(&mut config);
    let keys = Arc::new(Keys::new(&config.auth, Some(&[7; 32]), None));
    layers(&config, keys, parts)
}

async fn ask(stack: &Stack, path: &str) -> Decision {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    let head = RequestHead::new(Method::POST, path.into(), String::new(), headers, [127, 0, 0, 1].into());
    let Ok(decision) = stack.clone().oneshot(head).await;
    decision
}

fn code(decision: &Decision) -> Option<tonic::Code> {
    match &decision.action {
        Action::Reply(Reply::Status(status)) => Some(status.code()),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_gets_its_rate_and_no_more() {
    let stack = stack_with(|config| (config.limits.address_rate, config.limits.address_burst) = (1, 2));
    let path = "/grpc.health.v1.Health/Check";
    assert_eq!(code(&ask(&stack, path).await), None);
    assert_eq!(code(&ask(&stack, path).await), None);
    let refused = ask(&stack, path).await;
    assert_eq!(code(&refused), Some(tonic::Code::ResourceExhausted));
    assert_eq!(refused.facts.answered_by, Some("address_limit"));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(code(&ask(&stack, path).await), None);
}

#[tokio::test]
async fn what_is_in_progress_counts_until_its_decision_is_dropped() {
    let stack = stack_with(|config| config.limits.public_calls = 1);
    let path = "/grpc.health.v1.Health/Check";
    let first = ask(&stack, path).await;
    assert_eq!(code(&first), None);
    assert_eq!(code(&ask(&stack, path).await), Some(tonic::Code::Unavailable));
    drop(first);
    assert_eq!(code(&ask(&stack, path).await), None);
}

#[tokio::test]
async fn what_is_in_progress_counts_across_a_reload() {
    let parts = parts();
    let stack = Stack::new(layers_with(&parts, |config| config.limits.public_calls = 1));
    let path = "/grpc.health.v1.Health/Check";
    let first = ask(&stack, path).await;
    assert_eq!(code(&first), None);
    stack.replace(layers_with(&parts, |config| config.limits.public_calls = 2));
    let second = ask(&stack, path).await;
    assert_eq!(code(&second), None);
    assert_eq!(code(&ask(&stack, path).await), Some(tonic::Code::Unavailable));
    drop((first, second));
    assert_eq!(code(&ask(&stack, path).await), None);
}
