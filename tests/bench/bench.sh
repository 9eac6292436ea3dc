#!/usr/bin/env bash
# Measures, prints the figures and writes docs/benchmarks.md.
#
#   make bench [ONLY="append fanout density start cluster"] [QUICK=1]
#
# QUICK=1 only tries whether everything works, and writes nothing. NEXUS_BIN: the release program. NEXUS_BENCH_USERS:
# how many users `cluster` attaches to one node, instead of 10,000.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")

# All of the workspace, so that nothing is built twice with other features.
cargo build --release --locked --workspace --bin nexus --bin nexus-bench
export NEXUS_BIN=${NEXUS_BIN:-$target/release/nexus}

export NEXUS_BENCH_ONLY=${ONLY:-} NEXUS_BENCH_QUICK=${QUICK:-} NEXUS_BENCH_DOCS=$root/docs
NEXUS_BENCH_COMMAND="make bench${ONLY:+ ONLY=\"$ONLY\"}${NEXUS_BENCH_USERS:+ NEXUS_BENCH_USERS=$NEXUS_BENCH_USERS}"
NEXUS_BENCH_DATE=$(date -u '+%F %H:%M UTC')
NEXUS_BENCH_COMMIT=$(git rev-parse --short=10 HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain --untracked-files=no -- . ':!docs' 2>/dev/null)" ] || NEXUS_BENCH_COMMIT+=+
export NEXUS_BENCH_COMMAND NEXUS_BENCH_DATE NEXUS_BENCH_COMMIT

# A socket for each connection, here and in the server.
ulimit -n "$(ulimit -Hn)"
# Where the program's data stands in real life: on a disk, not in memory.
TMPDIR=$(mktemp -d "$target/bench.XXXXXX")
export TMPDIR
# Chat nodes of a cluster run as users of their own.
chmod 755 "$TMPDIR"
# A process group of its own: however this script ends, it leaves nothing running.
set -m
"$target/release/nexus-bench" &
bench=$!
trap 'kill -KILL -- "-$bench" 2>/dev/null || true; rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM
wait "$bench"
