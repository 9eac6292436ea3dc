//! Puts the files of `web/dist` into the program, if the page was built.
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist");
    // A path that is missing would make every build run this again; its parent says when it comes.
    println!("cargo:rerun-if-changed={}", if dist.exists() { "web/dist" } else { "web" });
    let mut files = Vec::new();
    if dist.join("index.html").exists() {
        collect(&dist, &dist, &mut files)?;
    }
    files.sort();
    let mut code = String::from("const FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in &files {
        code += &format!("    ({name:?}, include_bytes!({path:?})),\n");
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("page.rs"), code + "];\n")?;
    Ok(())
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push((format!("/{name}"), path.to_string_lossy().into_owned()));
        }
    }
    Ok(())
}
