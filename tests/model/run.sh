#!/usr/bin/env bash
# What `make test` does with the workspace, for this one, which isn't in it: format, lints, and the small model.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/env
source .ci/env
here=tests/model/Cargo.toml
export CARGO_TARGET_DIR=$NEXUS_TARGET/model
cargo fmt --manifest-path $here --check -- --config-path .
cargo clippy --manifest-path $here --all-targets --locked -- -D warnings
cargo test --manifest-path $here --locked
