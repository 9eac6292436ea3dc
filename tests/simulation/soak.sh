#!/usr/bin/env bash
# Runs the simulation for NEXUS_SEEDS seeds, spread over all cores, each run with seeds of its own. A seed that fails is shown
# with the command that replays it, and ends its core's share.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/env
source .ci/env
seeds=${NEXUS_SEEDS:-100000} first=${NEXUS_FIRST_SEED:-0} cores=$(nproc)
part=$(((seeds + cores - 1) / cores))
program=$(cargo test --release --locked --workspace --test simulation --no-run --message-format json |
  sed -n 's/.*"executable":"\([^"]*simulation-[^"]*\)".*/\1/p')
echo "$seeds seeds from $first on, $cores at once"
pids=()
for ((core = 0; core < cores; core++)); do
  NEXUS_FIRST_SEED=$((first + core * part)) NEXUS_SEEDS=$part "$program" --nocapture every_invariant &
  pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
exit $failed
