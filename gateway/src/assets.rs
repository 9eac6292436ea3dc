//! The files of the web page, given by the caller: embedded in the binary, or read from a directory.

use bytes::Bytes;
use http::HeaderValue;
use std::{collections::HashMap, io, path::Path};
use xxhash_rust::xxh3::xxh3_128;

/// The files of the web page, by path. All of them are held in memory.
#[derive(Debug, Clone, Default)]
pub struct Assets {
    files: HashMap<String, Asset>,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    pub body: Bytes,
    pub content_type: HeaderValue,
    pub cache_control: HeaderValue,
    pub etag: HeaderValue,
}

impl Assets {
    /// No page: `/` answers that there is none.
    pub fn none() -> Self {
        Assets::default()
    }

    /// Adds a file. `path` starts with `/`; `/index.html` is also served at `/`.
    ///
    /// A name with a hash in it, as bundlers make below `/assets/`, is cached for ever; every other file is
    /// asked for again each time and answered by its ETag.
    pub fn with(mut self, path: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let cache = if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" };
        let etag = format!("\"{:032x}\"", xxh3_128(&body));
        let asset = Asset {
            content_type: HeaderValue::from_static(content_type(path)),
            cache_control: HeaderValue::from_static(cache),
            // Hexadecimal digits in quotes: always a valid header.
            etag: HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\"")),
            body,
        };
        self.files.insert(path.to_owned(), asset);
        self
    }

    /// Every file below a directory, read now. Names that start with a dot are left out.
    pub fn from_directory(directory: &Path) -> io::Result<Self> {
        let mut assets = Assets::default();
        let mut waiting = vec![(directory.to_owned(), String::from("/"))];
        while let Some((directory, prefix)) = waiting.pop() {
            for entry in std::fs::read_dir(&directory)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
                let path = format!("{prefix}{name}");
                if entry.file_type()?.is_dir() {
                    waiting.push((entry.path(), format!("{path}/")));
                } else {
                    assets = assets.with(&path, std::fs::read(entry.path())?);
                }
            }
        }
        Ok(assets)
    }

    /// The file at a request's path. Only `/` falls back to the page itself.
    pub(crate) fn get(&self, path: &str) -> Option<&Asset> {
        self.files.get(if path == "/" { "/index.html" } else { path })
    }
}

/// `/assets/index-DiwrgTda.js`: a bundler's name, which changes with its content.
fn is_hashed(path: &str) -> bool {
    let Some(name) = path.strip_prefix("/assets/") else { return false };
    let stem = name.split('.').next().unwrap_or_default();
    // The hash itself may contain a dash (it is base64url), so it is taken by length: Vite writes 8.
    stem.len() > 9
        && stem.is_char_boundary(stem.len() - 9)
        && stem[stem.len() - 9..].starts_with('-')
        && stem.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn hashed_names_are_cached_for_ever_and_others_are_not() {
        for (path, hashed) in [
            ("/assets/index-DiwrgTda.js", true),
            ("/assets/index-Di-rgT_a.css", true),
            ("/assets/logo.svg", false),
            ("/index-DiwrgTda.js", false),
            ("/index.html", false),
            ("/assets/-1234567.js", false),
        ] {
            assert_eq!(is_hashed(path), hashed, "{path}");
        }
    }

    #[test]
    fn a_directory_is_read_with_its_folders() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("assets")).unwrap();
        std::fs::write(directory.path().join("index.html"), "<p>").unwrap();
        std::fs::write(directory.path().join("assets/a-12345678.js"), "1").unwrap();
        std::fs::write(directory.path().join(".hidden"), "").unwrap();
        let assets = Assets::from_directory(directory.path()).unwrap();
        assert_eq!(assets.files.len(), 2);
        assert_eq!(assets.get("/").unwrap().body, "<p>");
        assert!(
            assets
                .get("/assets/a-12345678.js")
                .unwrap()
                .cache_control
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        assert!(assets.get("/assets").is_none());
    }
}
