#!/usr/bin/env bash
# The page in a real browser, against the real program: NEXUS_BIN, which must have the page in it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
command -v npm >/dev/null || { echo "node is not installed"; exit 77; }
[ -n "${NEXUS_CHROMIUM:-}" ] || NEXUS_CHROMIUM=$(command -v chromium) || { echo "chromium is not installed"; exit 77; }
export NEXUS_CHROMIUM NEXUS_BIN=${NEXUS_BIN:-$root/target/debug/nexus}

if [ ! -f "$root/web/dist/index.html" ]; then
  npm ci --prefix "$root/web"
  npm run build --prefix "$root/web"
  cargo build --manifest-path "$root/Cargo.toml" --locked --quiet --bin nexus
fi
npm ci --prefix "$here"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
(cd "$here" && npm test) | tee "$log" || status=$?
awk '/^(#|ℹ) pass / { p = $3 } /^(#|ℹ) fail / { f = $3 } END { print p + 0 " passed, " f + 0 " failed" }' "$log"
exit "$status"
