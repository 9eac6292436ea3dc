#!/usr/bin/env bash
# Other people's gRPC against the real program: Python's grpcio, gRPC-Web by hand, and grpcurl where Go is.
#
#   tests/interop/run.sh [unittest arguments, such as -k token or test_stream]
#
# NEXUS_BIN: the program; without it, it is built (debug). What is installed stays in target/. The suite starts the
# servers, on ports of their own in a temporary directory, and ends them by their pids.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
venv=$root/target/interop-venv
python=$venv/bin/python
generated=$root/target/interop-generated
grpcurl_version=v1.9.3
say() { printf 'interop: %s\n' "$*"; }

if [[ -z ${NEXUS_BIN:-} ]]; then
    say "building nexus"
    (cd "$root" && cargo build --bin nexus)
    NEXUS_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/nexus
fi
NEXUS_BIN=$(realpath -e "$NEXUS_BIN")
export NEXUS_BIN
say "program: $NEXUS_BIN"

if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    say "installing grpcio into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

say "generating Python from proto/"
rm -rf "$generated"
mkdir -p "$generated"
"$python" -m grpc_tools.protoc --proto_path="$root/proto" --python_out="$generated" --grpc_python_out="$generated" \
    $(cd "$root/proto" && find nexus -name '*.proto')

if command -v go >/dev/null; then
    tools=$root/target/tools
    if [[ ! -x $tools/grpcurl-$grpcurl_version ]]; then
        say "installing grpcurl $grpcurl_version into $tools"
        GOBIN=$tools go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version"
        mv "$tools/grpcurl" "$tools/grpcurl-$grpcurl_version"
    fi
    export GRPCURL=$tools/grpcurl-$grpcurl_version
else
    unset GRPCURL
    say "no Go here: grpcurl is left out"
fi

say "running the suite"
export PYTHONPATH=$here:$generated PYTHONDONTWRITEBYTECODE=1 GRPC_VERBOSITY=${GRPC_VERBOSITY:-NONE}
cd "$here"
# In place of this shell, so that a signal reaches the process that owns the servers.
exec "$python" -m unittest --verbose "$@"
