//! Compiles the `.proto` files with protox: no protoc is needed.
use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["nexus/v1", "google/rpc"] {
        println!("cargo:rerun-if-changed={folder}");
        for entry in fs::read_dir(root.join(folder))? {
            files.push(entry?.path());
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let mut descriptors = protox::compile(&files, [root])?;
    let out = std::env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("nexus.bin"), prost::Message::encode_to_vec(&descriptors))?;
    // Reflection resolves what error details are made of; code for them is tonic-types'.
    descriptors.file.retain(|file| file.package() == "nexus.v1");
    let mut methods = String::from("const METHODS: &[(&str, &str)] = &[\n");
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                methods +=
                    &format!("    (\"{}.{}\", \"{}\"),\n", file.package(), service.name(), method.name());
            }
        }
    }
    fs::write(Path::new(&out).join("methods.rs"), methods + "];\n")?;
    // A method that no service has yet says so itself; `docs/api.md` says which these are, and a test calls each.
    let build = tonic_prost_build::configure().generate_default_stubs(true);
    build.bytes(".nexus.v1.EncryptedPayload").compile_fds(descriptors)?;
    Ok(())
}
