#!/usr/bin/env bash
# Installs what the tests need where it is missing, then runs everything. One line per step; a failed step prints its output.
#
#   ./test.sh            everything
#   ./test.sh STEP...    only the named steps (the words before the colons below)
set -euo pipefail
cd "$(dirname "$0")"

export CARGO_INCREMENTAL=0 CARGO_TERM_COLOR=never
export RUSTFLAGS="${RUSTFLAGS:-} -D warnings" RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings"
target=${CARGO_TARGET_DIR:-$PWD/target}
log=$(mktemp)
failed=()
left_out=()
server=
origin=
current="setting up"
finished=no

cleanup() {
  local status=$?
  [ $finished = yes ] || echo "stopped with status $status before the end: $current"
  local process
  for process in $server $origin; do kill "$process" 2>/dev/null || true; done
  rm -f "$log" "$log.printed" "$log.page"
}
trap cleanup EXIT

wanted=("$@")
is_wanted() {
  [ ${#wanted[@]} -eq 0 ] && return 0
  local name
  for name in "${wanted[@]}"; do [ "$name" = "$1" ] && return 0; done
  return 1
}

# step GROUP "what it does" command...: the command's output is shown only where it fails.
step() {
  local group=$1 what=$2 start=$SECONDS
  shift 2
  is_wanted "$group" || return 0
  current="$group: $what"
  if "$@" >"$log" 2>&1; then
    printf 'ok    %-9s %s (%d s)\n' "$group:" "$what" $((SECONDS - start))
    grep '^left out:' "$log" | sort -u || true
  else
    printf 'FAIL  %-9s %s (%d s)\n' "$group:" "$what" $((SECONDS - start))
    sed 's/^/      /' "$log"
    failed+=("$group: $what")
  fi
}

# The last line of a check that reports a figure belongs to the reader.
reporting() {
  local group=$1
  shift
  step "$group" "$*" "$@"
  is_wanted "$group" && sed 's/^/      /' "$log"
  return 0
}

skip() {
  left_out+=("$1")
  echo "left out: $1"
}

# Installs a Debian package, where we may.
install_package() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
  echo "installing $1"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"; } >"$log" 2>&1 || cat "$log"
}

# need COMMAND PACKAGE: installs a package where the command is missing and we may.
need() {
  command -v "$1" >/dev/null && return 0
  install_package "$2"
  command -v "$1" >/dev/null || { echo "missing: $1 (Debian package $2)"; return 1; }
}

# need_program COMMAND PACKAGE: the same, and the package's own service is not started: tests start theirs.
need_program() {
  local policy=/usr/sbin/policy-rc.d result=0
  command -v "$1" >/dev/null && return 0
  [ -e $policy ] || [ ! -w /usr/sbin ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy; made_policy=yes; }
  need "$1" "$2" || result=1
  [ -z "${made_policy:-}" ] || rm -f $policy
  return $result
}

[ -x "$(command -v cargo)" ] || PATH="$HOME/.cargo/bin:$PATH"
command -v cargo >/dev/null || { echo "missing: cargo (see rustup's page)"; exit 1; }
need cc build-essential || exit 1
need python3 python3 || exit 1
have_curl=yes
need curl curl || have_curl=no
if is_wanted test || is_wanted examples; then
  need_program redis-server redis-server || skip "state in Redis (no redis-server here)"
  need chromium chromium || skip "CORS and the operators' page in a real browser (no chromium here)"
fi
cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# nextest where it is installed, cargo's own runner elsewhere.
run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --no-fail-fast --no-tests=pass "$@"
  else
    cargo test --locked --no-fail-fast "$@"
  fi
}

# --- the clients that sign live requests ------------------------------------------------------------------------

# Debian's Python lacks `ensurepip` without its package; a call of `venv` that fails for that leaves a Python without `pip`
# behind, which is made anew.
make_venv() {
  [ -x .venv/bin/pip ] && return 0
  python3 -c 'import ensurepip' 2>/dev/null || install_package python3-venv
  python3 -m venv --clear .venv || { echo "missing: ensurepip (Debian package python3-venv)"; return 1; }
}

# Python's in .venv, JavaScript's below the target directory; tests name on a line what is not there.
install_python_clients() {
  make_venv || return 1
  .venv/bin/python -c 'import boto3, awscli' 2>/dev/null ||
    .venv/bin/pip install --quiet --disable-pip-version-check boto3==1.43.11 botocore==1.43.11 awscli==1.45.11
}

# Who reads metrics and traces in earnest.
install_readers() {
  make_venv || return 1
  .venv/bin/python -c 'import aws_xray_sdk, prometheus_client' 2>/dev/null ||
    .venv/bin/pip install --quiet --disable-pip-version-check aws-xray-sdk==2.15.0 prometheus_client==0.26.0
}

install_node_clients() {
  local folder=$target/tmp/clients
  [ -d "$folder/node_modules/aws4" ] && [ -d "$folder/node_modules/@smithy/signature-v4" ] &&
    [ -d "$folder/node_modules/playwright-core" ] && return 0
  mkdir -p "$folder"
  npm install --prefix "$folder" --no-audit --no-fund --silent \
    aws4@1.13.2 @smithy/signature-v4@5.7.5 @aws-crypto/sha256-js@5.2.0 playwright-core@1.64.1
}

install_clients() {
  install_python_clients >"$log" 2>&1 || skip "live requests of botocore, boto3 and the AWS CLI (they could not be installed)"
  install_readers >"$log" 2>&1 || skip "Prometheus' own parser and the X-Ray SDK (they could not be installed)"
  if command -v node >/dev/null && command -v npm >/dev/null; then
    install_node_clients >"$log" 2>&1 || skip "aws4, @smithy/signature-v4 and playwright-core (they could not be installed)"
  else
    skip "aws4, @smithy/signature-v4 and playwright-core (no node and npm here)"
  fi
}

# The examples, driven by plain curl.
. tests/examples.sh

# --- the steps --------------------------------------------------------------------------------------------------

features=$(python3 .ci/metadata.py features) || { echo "Cargo.lock does not fit Cargo.toml"; exit 1; }

step format "cargo fmt --check" cargo fmt --check -- --color never
for tool in benches/peers fuzz; do
  step format "$tool" cargo fmt --check --manifest-path "$tool/Cargo.toml" -- --color never
done
reporting deps python3 .ci/metadata.py licences
reporting deps python3 .ci/metadata.py tree-size
reporting deps python3 .ci/metadata.py msrv

# All features first: what follows rebuilds little more than the crate itself.
step clippy "all features, all targets" cargo clippy --locked --all-targets --all-features
step clippy "no features, all targets" cargo clippy --locked --all-targets --no-default-features
for feature in $features; do
  step clippy "$feature alone, all targets" cargo clippy --locked --all-targets --no-default-features --features "$feature"
done

[ -d ../shared/vectors ] || skip "outside test vectors (no ../shared/vectors here)"
if is_wanted test || is_wanted examples; then install_clients; fi
cargo nextest --version >/dev/null 2>&1 || echo "cargo-nextest is not installed: cargo test runs the tests"
# The property suite of the stores at full length once; the other feature sets run a twentieth of it.
all_features() { SCHEDULES=10000 run_tests --all-features --lib --tests; }
step test "all features" all_features
step test "no features" run_tests --no-default-features --lib --tests
for feature in $features; do
  step test "$feature alone" run_tests --no-default-features --features "$feature" --lib --tests
done
step doc "doc tests, compile-fail included" cargo test --locked --doc --all-features
step doc "pages, broken links denied" cargo doc --locked --no-deps --all-features

# What the manifest promises of an older Rust; `redb` promises less. Warnings of that Rust are nobody's.
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
toolchain=$(rustup toolchain list 2>/dev/null | grep -om1 "^$oldest[.-][^ ]*" || true)
if [ -n "$toolchain" ]; then
  older=$(printf '%s\n' $features | grep -vx redb | paste -sd, -)
  step build "all but redb, with Rust $oldest" env RUSTFLAGS= cargo "+$toolchain" check --locked --no-default-features \
    --features "$older" --target-dir "$target/oldest"
elif is_wanted build; then
  skip "Rust $oldest, which the manifest promises (no such toolchain here)"
fi
step build "examples compile" cargo build --locked --all-features --examples
step build "benches/peers compiles" cargo check --locked --manifest-path benches/peers/Cargo.toml --target-dir "$target/peers"
step build "fuzz targets compile" cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir "$target/fuzz"

if [ ! -f examples/gateway.rs ]; then
  skip "the examples (no examples/gateway.rs yet)"
elif [ $have_curl = no ]; then
  skip "the examples under curl (no curl here)"
else
  for name in gateway sigv4 jwt authorizer cache mtls observability firehose; do
    step examples "$name, driven by curl" smoke_example "$name"
  done
  step examples "settings that cannot be, said at the start" wrong_settings
  step examples "cache_proxy, driven by curl" smoke_cache_proxy
  step examples "redb, ended, killed and driven by curl" smoke_redb
  if command -v redis-server >/dev/null; then
    step examples "cluster, two of it on one Redis, driven by curl" smoke_cluster
  else
    skip "the example cluster (no redis-server here)"
  fi
fi

finished=yes
for item in "${left_out[@]+"${left_out[@]}"}"; do echo "left out: $item"; done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo "everything passed in $SECONDS s"
