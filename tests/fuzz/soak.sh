#!/usr/bin/env bash
# Feeds everything that parses what anybody may send for NEXUS_SOAK_SECONDS seconds each, guided by coverage. It begins with
# corpus/TARGET and goes on with what earlier runs found, under the target folder. A crash is shown with the command that
# replays it, and ends its target. Targets can be named as arguments.
set -uo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=.ci/env
source .ci/env
seconds=${NEXUS_SOAK_SECONDS:-300}
here=tests/fuzz work=$NEXUS_TARGET/fuzz
mkdir -p "$work"
command -v c++ >/dev/null || { echo "a C++ compiler is needed, to build libFuzzer"; exit 1; }

# The versions of the repository; cargo adds libFuzzer to them.
cp Cargo.lock $here/Cargo.lock
# What cargo-fuzz would set, without a sanitizer: there is no unsafe code of ours. A target is named, so that build scripts
# and macros are spared.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$(echo $coverage) CARGO_TARGET_DIR=$work/build \
  cargo build --release --manifest-path $here/Cargo.toml --target "$host" || exit 1
program=$work/build/$host/release/nexus-fuzz

targets=("$@")
[ ${#targets[@]} -gt 0 ] || for folder in $here/corpus/*/; do targets+=("$(basename "$folder")"); done
failed=0
for target in "${targets[@]}"; do
  log=$work/$target.log
  mkdir -p "$work/found/$target"
  echo "$target: $seconds s"
  # Settings of the environment would be the configuration's.
  env -i PATH="$PATH" TMPDIR="${TMPDIR:-/tmp}" NEXUS_FUZZ_TARGET="$target" "$program" "$work/found/$target" \
    "$here/corpus/$target" -dict=$here/words.dict -max_total_time="$seconds" -max_len=4096 -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="$work/crash-$target-" -print_final_stats=1 2>&1 |
    tee "$log" | grep --line-buffered pulse
  if [ "${PIPESTATUS[0]}" = 0 ]; then
    said=$(grep -E '^#[0-9]+[[:space:]]+(DONE|INITED)[[:space:]]' "$log" | tail -n 1 | grep -oE 'cov: [0-9]+|corp: [0-9]+' | tr '\n' ' ')
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: //p' "$log") executions, edges and inputs: $said"
  else
    failed=1
    grep -vE '^#[0-9]+' "$log" | tail -n 25
    input=$(ls -t "$work"/crash-"$target"-* 2>/dev/null | head -n 1)
    echo "$target: FAILED. Replay it with: NEXUS_FUZZ_TARGET=$target $program $input"
    echo "When it is mended, keep the input: cp $input $here/corpus/$target/"
  fi
done
exit $failed
