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
    let out = Path::new(&std::env::var("OUT_DIR")?).join("nexus.bin");
    fs::write(out, prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().bytes(".nexus.v1.EncryptedPayload").compile_fds(descriptors)?;
    Ok(())
}
