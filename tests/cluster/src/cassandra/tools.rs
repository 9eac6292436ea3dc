//! What a node takes on the machine.

use anyhow::{Context as _, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{process::Command, sync::OnceCell};

static FETCHED: OnceCell<()> = OnceCell::const_new();

/// What this machine lacks for a Cassandra node; `None`: nothing.
pub fn missing() -> Option<String> {
    let on_path = |program: &str| {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    if !on_path("java") {
        return Some("java is not installed (17 is needed)".into());
    }
    if !on_path("mvn") && !lib().join(COMPLETE).exists() {
        return Some("mvn is not installed, which fetches Cassandra".into());
    }
    None
}

/// A file that is written when all jars are there.
const COMPLETE: &str = "complete";

/// Where the jars are: kept between runs, as everything that tests need and the build doesn't make.
pub fn lib() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let target = if target.is_absolute() { target } else { workspace.join(target) };
    target.join("tools/cassandra/lib")
}

/// Fetches the jars, if they aren't there.
pub async fn jars() -> anyhow::Result<()> {
    FETCHED.get_or_try_init(fetch).await.map(|_| ())
}

async fn fetch() -> anyhow::Result<()> {
    let lib = lib();
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/pom.xml");
    // What the mark holds is what was fetched: another version is fetched anew.
    let wanted = fs::read_to_string(&pom)?;
    if fs::read_to_string(lib.join(COMPLETE)).is_ok_and(|fetched| fetched == wanted) {
        return Ok(());
    }
    eprintln!("cluster: fetching Cassandra (70 MB) with mvn");
    match fs::remove_dir_all(&lib) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&lib)?,
    }
    let mut mvn = Command::new("mvn");
    mvn.args(["-q", "-B", "-ntp", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
    mvn.arg(format!("-DoutputDirectory={}", lib.display())).arg("-DincludeScope=runtime");
    let done = mvn.stdin(Stdio::null()).kill_on_drop(true).output().await.context("start mvn")?;
    let said = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success(), "mvn could not fetch Cassandra ({}): {said}", done.status);
    fs::write(lib.join(COMPLETE), wanted)?;
    eprintln!("cluster: Cassandra is fetched");
    Ok(())
}
