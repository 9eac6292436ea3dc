//! The files and the command line of a node: small, quick to start, and durable when it answers.

use super::{Settings, tools};
use std::{fs, net::Ipv4Addr, path::Path};
use tokio::process::Command;

/// Where a node is.
pub struct At<'a> {
    /// Everything of it.
    pub folder: &'a Path,
    /// Its address.
    pub address: Ipv4Addr,
    /// The address that it tells clients.
    pub reached: Ipv4Addr,
    /// The node that it asks for the others.
    pub seed: Ipv4Addr,
    /// The port for clients.
    pub native: u16,
    /// The port for nodes.
    pub storage: u16,
    /// The port for tools, on 127.0.0.1.
    pub jmx: u16,
    /// How the cluster is made.
    pub settings: &'a Settings,
}

const LOGBACK: &str = r#"<configuration scan="false">
<appender name="F" class="ch.qos.logback.core.FileAppender"><file>${cassandra.logdir}/system.log</file>
<encoder><pattern>%-5level [%thread] %date{ISO8601} %F:%L - %msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="F"/></root></configuration>
"#;

/// What Java 17 must open to Cassandra.
const EXPORTS: [&str; 8] = [
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.unsupported/sun.misc",
];
const OPENS: [&str; 12] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
];

impl At<'_> {
    /// Writes the node's files, and makes the command that runs it.
    pub fn prepare(&self) -> anyhow::Result<Command> {
        let conf = self.folder.join("conf");
        fs::create_dir_all(&conf)?;
        fs::create_dir_all(self.folder.join("tmp"))?;
        fs::write(conf.join("cassandra.yaml"), self.yaml() + &self.encryption()?)?;
        fs::write(conf.join("logback.xml"), LOGBACK)?;
        let (lib, heap) = (tools::lib(), self.settings.heap_mib);
        let (conf, folder) = (conf.display(), self.folder.display());
        let mut command = Command::new("java");
        command.args([
            format!("-Xms{heap}M"),
            format!("-Xmx{heap}M"),
            "-Xss256k".into(),
            "-XX:MaxDirectMemorySize=512m".into(),
            "-XX:+UseG1GC".into(),
            "-XX:+PerfDisableSharedMem".into(),
            // The first compiler only: it starts in half the time.
            "-XX:TieredStopAtLevel=1".into(),
            format!("-Djava.io.tmpdir={folder}/tmp"),
            format!("-Djna.tmpdir={folder}/tmp"),
            "-Djava.net.preferIPv4Stack=true".into(),
            format!("-javaagent:{}/jamm-0.4.0.jar", lib.display()),
            format!("-Dcassandra.config=file://{conf}/cassandra.yaml"),
            format!("-Dlogback.configurationFile={conf}/logback.xml"),
            format!("-Dcassandra.logdir={folder}"),
            format!("-Dcassandra.storagedir={folder}"),
            "-Dcassandra-foreground=yes".into(),
            format!("-Dcassandra.jmx.local.port={}", self.jmx),
            "-Dcassandra.skip_wait_for_gossip_to_settle=0".into(),
            "-Dcassandra.ring_delay_ms=2000".into(),
            "-Dcassandra.superuser_setup_delay_ms=0".into(),
            "-Djdk.attach.allowAttachSelf=true".into(),
            "-Dio.netty.tryReflectionSetAccessible=true".into(),
        ]);
        for package in EXPORTS {
            command.args(["--add-exports", &format!("{package}=ALL-UNNAMED")]);
        }
        for package in OPENS.iter().chain(&["jdk.management/com.sun.management.internal"]) {
            command.args(["--add-opens", &format!("{package}=ALL-UNNAMED")]);
        }
        command.arg("-cp").arg(format!("{conf}:{}/*", lib.display()));
        command.arg("org.apache.cassandra.service.CassandraDaemon");
        Ok(command)
    }

    fn yaml(&self) -> String {
        let (address, reached, seed) = (self.address, self.reached, self.seed);
        let folder = self.folder.display();
        let (native, storage) = (self.native, self.storage);
        let (authenticator, authorizer) = match self.settings.passwords {
            true => ("PasswordAuthenticator", "CassandraAuthorizer"),
            false => ("AllowAllAuthenticator", "AllowAllAuthorizer"),
        };
        let commitlog_period = match self.settings.commitlog_sync {
            "group" => "commitlog_sync_group_window: 2ms",
            "periodic" => "commitlog_sync_period: 10s",
            _ => "",
        };
        let (commitlog_sync, paxos_variant) = (self.settings.commitlog_sync, self.settings.paxos_variant);
        format!(
            r#"cluster_name: nexus
num_tokens: 4
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
listen_address: {address}
rpc_address: {address}
broadcast_rpc_address: {reached}
native_transport_port: {native}
storage_port: {storage}
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [ {{ seeds: "{seed}" }} ]
data_file_directories: [ {folder}/data ]
commitlog_directory: {folder}/commitlog
saved_caches_directory: {folder}/saved_caches
hints_directory: {folder}/hints
commitlog_sync: {commitlog_sync}
{commitlog_period}
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
memtable_heap_space: 128MiB
memtable_offheap_space: 128MiB
memtable_allocation_type: offheap_objects
file_cache_size: 64MiB
networking_cache_size: 64MiB
concurrent_reads: 16
concurrent_writes: 16
auto_snapshot: false
hinted_handoff_enabled: true
authenticator: {authenticator}
authorizer: {authorizer}
paxos_variant: {paxos_variant}
"#
        )
    }

    /// How clients encrypt. Cassandra wants a certificate and its key in one file.
    fn encryption(&self) -> anyhow::Result<String> {
        let Some(tls) = &self.settings.tls else { return Ok(String::new()) };
        let both = self.folder.join("conf/identity.pem");
        fs::write(&both, fs::read_to_string(&tls.pair.key)? + &fs::read_to_string(&tls.pair.certificate)?)?;
        let (both, clients) = (both.display(), tls.clients.display());
        Ok(format!(
            r#"client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  keystore: {both}
  truststore: {clients}
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
"#
        ))
    }
}
