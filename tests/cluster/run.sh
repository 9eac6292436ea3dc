#!/usr/bin/env bash
# The conformance suite against a whole cluster, and the quick half of the faults.
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in redis-server java mvn haproxy; do
  PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || { echo "$program is not installed"; exit 77; }
done
cargo build --workspace --locked --quiet --bins
cluster=$NEXUS_TARGET/debug/cluster
# Buckets so small that most conversations go through several of them.
NEXUS_CORE_LOG_BUCKET_EVENTS=8 "$cluster" with cargo test --workspace --locked --quiet --test conformance
"$cluster" faults --quick --users 200 --rate 50 --seconds 15
