//! A broken configuration: every mistake at once, with its place and what to do; exit code 2; no secret is shown.

use crate::start::{ended, says};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// The program with a file as its whole configuration.
fn with(text: &str) -> (TempDir, Command) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("nexus.toml"), text).unwrap();
    let command = bare(folder.path());
    (folder, command)
}

fn bare(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus"));
    command.current_dir(folder).env("NEXUS_LOG_FORMAT", "human");
    command
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_line() {
    let (folder, mut command) = with(
        "mode = \"develpment\"\n[gateway]\nlistn = \"0.0.0.0:1\"\nadmin = 9901\n[gateway.auth]\nleeway_s = \"abc\"\n\
         [core]\ndrain_ms = -5\n[core.limts]\npage = 3\n[core.log]\nbucket_events = 0\n",
    );
    let (code, said) = ended(&mut command);
    assert_eq!(code, 2, "{said}");
    for mistake in [
        "nexus.toml, line 1: mode: unknown variant `develpment`, expected `development` or `production`",
        "nexus.toml, line 3: there is no setting gateway.listn; did you mean gateway.listen?",
        "nexus.toml, line 4: gateway.admin: it must be text in quotes, not integer",
        "nexus.toml, line 6: gateway.auth.leeway_s: it must be a whole number, not string",
        "nexus.toml, line 8: core.drain_ms: invalid value: integer `-5`",
        "nexus.toml, line 9: there is no setting core.limts; did you mean core.limits?",
        "core.log.bucket_events = 0: must be 2-",
        "`nexus config` prints every setting",
    ] {
        assert!(said.contains(mistake), "{mistake}\nis not in\n{said}");
    }
    assert!(!folder.path().join("data").exists(), "nothing was made");
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line_and_never_quoted() {
    let (_folder, mut command) = with(
        "mode = \"production\"\n[gateway.auth]\nsecret = \"correct horse battery staple\nissuer = \"a\"\n",
    );
    let (code, said) = ended(&mut command);
    assert_eq!(code, 2);
    assert!(said.contains("nexus.toml, line 3: "), "{said}");
    assert!(!said.contains("horse"), "{said}");
}

#[test]
fn a_secret_is_never_shown() {
    for value in ["123456789", "\"123456789\"", "[\"123456789\"]"] {
        let (_folder, mut command) =
            with(&format!("mode = \"production\"\n[gateway.auth]\nsecret = {value}\n"));
        let (code, said) = ended(&mut command);
        assert!(code == 2 && said.contains("gateway.auth.secret"), "{code}: {said}");
        assert!(!said.contains("123456789"), "{said}");
    }
}

#[test]
fn every_mistake_of_the_environment_is_told() {
    let folder = TempDir::new().unwrap();
    let mut command = bare(folder.path());
    command
        .env("NEXUS_CORE_DRAIN_MS", "soon")
        .env("NEXUS_GATEWAY_LISTN", "0.0.0.0:1")
        .env("NEXUS_GATEWAY_PUBLIC_PORT", "99999")
        .env("NEXUS_GATEWAY_REDIRECT", "80")
        .env("NEXUS_MODE", "prod")
        .env("NEXUS_LOG_FILTER", "a=b=c")
        // An orchestrator's for a service that is called nexus-core.
        .env("NEXUS_CORE_PORT", "tcp://10.0.0.1:80");
    let (code, said) = ended(&mut command);
    assert_eq!(code, 2, "{said}");
    for mistake in [
        "NEXUS_CORE_DRAIN_MS: it must be a whole number, not string",
        "NEXUS_GATEWAY_LISTN: there is no such setting; did you mean NEXUS_GATEWAY_LISTEN?",
        "NEXUS_GATEWAY_PUBLIC_PORT: invalid value: integer `99999`, expected u16",
        "NEXUS_GATEWAY_REDIRECT: \"80\" is neither \"off\" nor an address such as 0.0.0.0:8080",
        "NEXUS_MODE: unknown variant `prod`",
        "log.filter = \"a=b=c\"",
    ] {
        assert!(said.contains(mistake), "{mistake}\nis not in\n{said}");
    }
    assert!(!said.contains("NEXUS_CORE_PORT"), "{said}");
}

#[test]
fn files_that_are_missing_or_make_no_sense_are_named() {
    let folder = TempDir::new().unwrap();
    let (code, said) = ended(bare(folder.path()).args(["--config", "nowhere.toml"]));
    assert!(code == 2 && said.contains("nowhere.toml: No such file"), "{code}: {said}");
    fs::write(folder.path().join("latin.toml"), b"# caf\xe9\n").unwrap();
    let (code, said) = ended(bare(folder.path()).args(["--config", "latin.toml"]));
    assert!(code == 2 && said.contains("latin.toml: it is not text in UTF-8"), "{code}: {said}");

    let production = || {
        let mut command = crate::server::command(folder.path(), 0);
        command
            .env("NEXUS_MODE", "production")
            .env("NEXUS_LOG_FORMAT", "human")
            .env("NEXUS_GATEWAY_AUTH_SECRET_FILE", "secret")
            .env("NEXUS_GATEWAY_TLS_CERTIFICATE", "chain.pem")
            .env("NEXUS_GATEWAY_TLS_KEY", "key.pem");
        command
    };
    let (code, said) = ended(&mut production());
    assert_eq!(code, 2, "{said}");
    for mistake in ["gateway.tls: chain.pem: No such file", "gateway.auth: secret: No such file"] {
        assert!(said.contains(mistake), "{mistake}\nis not in\n{said}");
    }
    for (file, text) in [("secret", "short"), ("chain.pem", "no PEM"), ("key.pem", "no PEM")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let (code, said) = ended(&mut production());
    assert_eq!(code, 2, "{said}");
    for mistake in
        ["there is no private key in PEM in it", "gateway.auth: secret: the secret is too short to be safe"]
    {
        assert!(said.contains(mistake), "{mistake}\nis not in\n{said}");
    }
}

#[test]
fn the_example_is_a_configuration_that_is_accepted() {
    let folder = TempDir::new().unwrap();
    let example = bare(folder.path()).arg("config").output().unwrap();
    assert!(example.status.success());
    let text = String::from_utf8(example.stdout).unwrap();
    // Every setting that has a default, at its default; and one mistake, so that nothing is served.
    let all: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|l| l.contains(" = ")).unwrap_or(line))
        .fold(String::new(), |all, line| {
            let bare = line.trim_start().starts_with("# ") || line.trim_end().ends_with(" =");
            if bare { all } else { all + line + "\n" }
        });
    fs::write(folder.path().join("nexus.toml"), all.replace("bucket_events = 8192", "bucket_events = 0"))
        .unwrap();
    let said = says(&bare(folder.path()).output().unwrap());
    assert_eq!(said.lines().filter(|line| line.starts_with("  - ")).count(), 1, "{said}\n{all}");
}
