//! A client that vanishes: its machine loses the network, and nothing says goodbye. It needs root, to make a network.

use crate::{durability::PATIENCE, server::Server};
use nexus_client::v1;
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A machine of its own on a cable to this one.
struct Machine {
    name: String,
    /// This machine as that one sees it.
    here: String,
}

fn ip(arguments: &str) -> bool {
    let ran = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    ran.is_ok_and(|status| status.success())
}

impl Machine {
    /// `None` where networks can't be made.
    fn connect() -> Option<Self> {
        let id = std::process::id();
        // Of a network for documents (RFC 5737), so that it is nobody's.
        let (here, there) =
            (format!("198.51.100.{}", id % 62 * 4 + 1), format!("198.51.100.{}", id % 62 * 4 + 2));
        let machine = Self { name: format!("nexus{id}"), here };
        let name = &machine.name;
        let made = ip(&format!("netns add {name}"))
            && ip(&format!("link add {name}a type veth peer name {name}b netns {name}"))
            && ip(&format!("addr add {}/30 dev {name}a", machine.here))
            && ip(&format!("link set {name}a up"))
            && ip(&format!("-n {name} addr add {there}/30 dev {name}b"))
            && ip(&format!("-n {name} link set {name}b up"));
        if !made {
            eprintln!("skipped: making a network needs root with CAP_NET_ADMIN, and `ip` of iproute2");
            return None;
        }
        Some(machine)
    }

    /// The chat of a user who sits there.
    fn chat(&self, server: &Server, user: &str) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, env!("CARGO_BIN_EXE_nexus"), "chat", "--plain"]);
        command.args(["--user", user, "--server", &format!("https://{}:{}", self.here, server.port)]);
        command.current_dir(server.folder.path()).env_remove("NEXUS_TOKEN");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Nothing that it sends arrives any more, not even that a connection is closed.
    fn falls_silent(&self) {
        assert!(ip(&format!("-n {} route add blackhole {}/32", self.name, self.here)));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ip(&format!("link del {}a", self.name));
        ip(&format!("netns del {}", self.name));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_vanishes_is_noticed() {
    let Some(machine) = Machine::connect() else { return };
    let mut server = Server::prepared(vec![
        ("NEXUS_GATEWAY_TLS_NAMES", format!("localhost,{}", machine.here)),
        ("NEXUS_GATEWAY_TIMEOUTS_TCP_USER_S", "3".into()),
        ("NEXUS_CORE_DELIVERY_HEARTBEAT_MS", "1000".into()),
    ]);
    server.settings.push(("NEXUS_GATEWAY_LISTEN", format!("0.0.0.0:{}", server.port)));
    server.begin().await;
    let ann = server.client("ann");
    ann.call(v1::GetOrCreateDirectRequest { user: "bob".into() }).await.unwrap();
    let bob = async || {
        let ask = v1::GetPresenceRequest { users: vec!["bob".into()] };
        ann.call(ask).await.unwrap().presences.remove(0)
    };
    let mut chat = machine.chat(&server, "bob");
    let came = async {
        while bob().await.status() != v1::PresenceStatus::Online {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, came).await.expect("bob is here");
    machine.falls_silent();
    chat.kill().unwrap();
    chat.wait().unwrap();
    // While somebody is attached, they were seen now; who was noticed to be gone was last seen when that was noticed.
    let gone = async {
        loop {
            let before = bob().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            if bob().await.last_seen_at_ms == before.last_seen_at_ms {
                return;
            }
        }
    };
    // Without the bound it would take TCP a quarter of an hour.
    tokio::time::timeout(PATIENCE, gone).await.expect("it is noticed that bob is gone");
}
