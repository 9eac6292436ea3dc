//! SIGHUP: another certificate for the process that runs, and none of its streams is touched.

use crate::{durability::PATIENCE, server::Server, talk::Talk};
use nexus_client::{AttachOptions, Item, v1};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use std::{fs, sync::Arc, time::Duration};
use tokio::net::TcpStream;

/// An authority whose certificates a server serves from files, as a deployment's own.
pub struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Clients of the server trust it.
    pub fn of(server: &Server) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::create_dir_all(server.data("tls")).unwrap();
        fs::write(server.data("tls/ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self(Issuer::new(params, key))
    }

    /// Puts a new certificate and its key where the server reads them.
    pub fn renew(&self, server: &Server) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        fs::write(server.folder.path().join("chain.pem"), leaf.pem()).unwrap();
        fs::write(server.folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        leaf.der().clone()
    }
}

/// The certificate that somebody is shown who connects now.
async fn shown(server: &Server) -> CertificateDer<'static> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(server.data("tls/ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn until_shown(server: &Server, wanted: &CertificateDer<'_>) {
    let new = async {
        while shown(server).await != *wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, new).await.expect("new connections see the new certificate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_served_at_sighup_and_a_broken_one_is_not() {
    let mut server = Server::prepared(vec![
        ("NEXUS_GATEWAY_TLS_CERTIFICATE", "chain.pem".into()),
        ("NEXUS_GATEWAY_TLS_KEY", "key.pem".into()),
        // Only when it is told to.
        ("NEXUS_GATEWAY_TLS_RELOAD_S", "3600".into()),
        ("NEXUS_LOG_FORMAT", "json".into()),
    ]);
    let authority = Authority::of(&server);
    let first = authority.renew(&server);
    server.begin().await;
    assert_eq!(shown(&server).await, first);

    let mut talk = Talk::begin(&server).await;
    let cursors = vec![v1::Cursor { conversation_id: talk.conversation.clone(), seq: 0 }];
    let mut attachment = server.client("ann").attach(AttachOptions { cursors, ..Default::default() });
    while !matches!(attachment.next().await.unwrap(), Item::CaughtUp) {}

    let second = authority.renew(&server);
    assert_eq!(shown(&server).await, first, "nothing changes before it is told to");
    server.signal("HUP");
    until_shown(&server, &second).await;

    fs::write(server.folder.path().join("chain.pem"), "no certificate").unwrap();
    server.signal("HUP");
    let refused = async {
        loop {
            let log = server.log();
            let lines: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
            match lines[..] {
                [] => tokio::time::sleep(Duration::from_millis(20)).await,
                [line] => break line.to_owned(),
                _ => panic!("one line says it: {lines:?}"),
            }
        }
    };
    let line = tokio::time::timeout(PATIENCE, refused).await.expect("the log says that it was refused");
    for part in ["chain.pem and key.pem: there is no certificate in it", "the one before stays in use"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert_eq!(shown(&server).await, second);
    let third = authority.renew(&server);
    server.signal("HUP");
    until_shown(&server, &third).await;

    // The stream that was attached before all this still is.
    talk.say("still here?").await;
    let heard = async {
        loop {
            match attachment.next().await.unwrap() {
                Item::Events { events, .. } if events.iter().any(is_the_question) => return,
                Item::Detached { cause, .. } => panic!("it was detached: {cause}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the message arrives");
}

fn is_the_question(event: &v1::Event) -> bool {
    matches!(&event.body, Some(v1::event::Body::MessageSent(sent))
        if sent.content.as_ref().is_some_and(|content| content.text == "still here?"))
}
