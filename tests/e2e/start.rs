//! What can't be honoured is one clear message at the start.

use crate::server::{Server, command};
use std::{net::TcpListener, process::Output};
use tempfile::TempDir;

fn says(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_busy_port_is_named() {
    let folder = TempDir::new().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let said = says(&command(folder.path(), port).output().unwrap());
    assert!(said.contains(&port.to_string()) && said.contains("gateway.listen"), "{said}");
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let folder = TempDir::new().unwrap();
    let mut command = command(folder.path(), 0);
    command.env("NEXUS_CORE_LOG_BUCKET_EVENTS", "0").env("NEXUS_CORE_LIMITS_PAGE", "0");
    let said = says(&command.env("NEXUS_LOG_FORMAT", "loud").output().unwrap());
    for mistake in ["core.log.bucket_events", "core.limits.page", "log.format"] {
        assert!(said.contains(mistake), "{mistake} is not in: {said}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let server = Server::start().await;
    let said = says(&command(server.folder.path(), 0).output().unwrap());
    assert!(said.contains("another nexus process"), "{said}");
}
