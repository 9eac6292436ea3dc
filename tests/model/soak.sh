#!/usr/bin/env bash
# Looks at every state of the append protocol's model, and leaves out each of its rules once, to see that it is missed. A few
# minutes, and about a gigabyte of memory. What is violated is shown step by step.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/env
source .ci/env
CARGO_TARGET_DIR=$NEXUS_TARGET/model \
  cargo run --release --locked --quiet --manifest-path tests/model/Cargo.toml
