//! Compiles the `.proto` files with protox: no protoc is needed.
use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=nexus");
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("nexus/v1"))? {
        files.push(entry?.path());
    }
    files.sort();
    let descriptors = protox::compile(&files, [root])?;
    let out = std::env::var("OUT_DIR")?;
    fs::write(Path::new(&out).join("nexus.bin"), prost::Message::encode_to_vec(&descriptors))?;
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
    tonic_prost_build::configure().bytes(".nexus.v1.EncryptedPayload").compile_fds(descriptors)?;
    Ok(())
}
