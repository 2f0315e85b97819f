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

# need COMMAND PACKAGE: installs a Debian package where the command is missing and we may.
need() {
  command -v "$1" >/dev/null && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $2"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2"; } >"$log" 2>&1 || cat "$log"
  fi
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

# Python's in .venv, JavaScript's below the target directory; tests name on a line what is not there.
install_python_clients() {
  [ -x .venv/bin/python ] || python3 -m venv .venv || return 1
  .venv/bin/python -c 'import boto3, awscli' 2>/dev/null ||
    .venv/bin/pip install --quiet --disable-pip-version-check boto3==1.43.11 botocore==1.43.11 awscli==1.45.11
}

# Who reads metrics and traces in earnest.
install_readers() {
  [ -x .venv/bin/python ] || python3 -m venv .venv || return 1
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

# --- the examples, driven by plain curl -------------------------------------------------------------------------

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# curls STATUS BODY arguments...: one request against the running example; BODY "*" is any.
curls() {
  local status=$1 body=$2 got
  shift 2
  got=$(curl --silent --max-time 10 --write-out '\n%{http_code}' "$@") || true
  if [ "${got##*$'\n'}" = "$status" ] && { [ "$body" = '*' ] || [ "${got%$'\n'*}" = "$body" ]; }; then
    echo "ok: $status curl $*"
  else
    printf 'curl %s\n  wanted: %s %s\n  got:    %s %s\n' "$*" "$status" "$body" "${got##*$'\n'}" "${got%$'\n'*}"
    return 1
  fi
}

# Every line that the example prints, and what it says of it.
gateway_requests() {
  local base=$1 bad=0
  local gold=(-H 'x-api-key: WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9') basic=(-H 'x-api-key: basic-0123456789abcdefghij')
  local preflight=(-X OPTIONS -H 'Origin: https://shop.example' -H 'Access-Control-Request-Method: POST')
  curls 403 '{"message":"Forbidden"}' "$base/prod/pets" || bad=1
  curls 200 '*' "${gold[@]}" "$base/prod/pets" || bad=1
  curls 403 '{"message":"Forbidden"}' "${gold[@]}" "$base/test/pets" || bad=1
  curls 403 '{"message":"Missing Authentication Token"}' "${gold[@]}" "$base/prod/dogs" || bad=1
  curls 200 '{"id":1,"price":249.99,"type":"dog"}' "${basic[@]}" "$base/prod/pets/1" || bad=1
  curls 404 '{"error":"no such pet"}' "${gold[@]}" "$base/prod/pets/9" || bad=1
  # Twenty at once of a plan that admits two: however slow the machine, most are refused.
  curl --silent --max-time 30 "${basic[@]}" "$base/prod/pets/1?[1-20]" | grep -q '{"message":"Too Many Requests"}' || bad=1
  curls 201 '*' "${gold[@]}" -H 'content-type: application/json' -d '{"type":"fish"}' "$base/prod/pets" || bad=1
  curls 204 '' "${preflight[@]}" "$base/prod/pets" || bad=1
  curls 200 $'answered after 1 ms\n' "$base/prod/slow?ms=1" || bad=1
  curls 504 '{"message": "Endpoint request timed out"}' "$base/prod/slow?ms=1500" || bad=1
  head -c 10485761 /dev/zero >"$log.body"
  curls 413 'HTTP content length exceeded 10485760 bytes.' -H 'Expect:' --data-binary "@$log.body" "$base/prod/pets" || bad=1
  rm -f "$log.body"
  has_header 'x-greeting: hello-from-dev' "${gold[@]}" "$base/dev/pets" || bad=1
  has_header 'x-amzn-requestid: ' "$base/nowhere" || bad=1
  has_header 'x-amz-apigw-id: ' "$base/prod/slow" || bad=1
  return $bad
}

# has_header START arguments...: the answer has a header line that starts so.
has_header() {
  local start=$1
  shift
  curl --silent --max-time 10 --output /dev/null --dump-header - "$@" | grep -q "^$start" && return 0
  echo "curl $* has no header line $start"
  return 1
}

sigv4_requests() {
  local base=$1 bad=0
  local signed=(--aws-sigv4 aws:amz:us-east-1:execute-api --user AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY)
  curls 403 '{"message":"Missing Authentication Token"}' "$base/prod/pets" || bad=1
  curl --help all 2>/dev/null | grep -c -- --aws-sigv4 >/dev/null || { echo "left out: signed requests (this curl cannot sign)"; return $bad; }
  curls 200 '*' "${signed[@]}" "$base/prod/pets" || bad=1
  curls 200 '*' "${signed[@]}" --json '{"name":"rex"}' "$base/prod/pets" || bad=1
  curls 403 '*' "${signed[@]}" "$base/prod/admin/keys" || bad=1
  curls 403 '*' "${signed[@]}" -X DELETE "$base/prod/pets/1" || bad=1
  return $bad
}

jwt_requests() {
  local base=$1 bad=0 unauthorized='{"message":"Unauthorized"}' token tokens
  # Each stands in two lines: a user, an administrator, an expired user, one for another audience.
  mapfile -t tokens < <(grep -o "Bearer [^']*\.[^']*" "$2" | uniq)
  [ ${#tokens[@]} = 4 ] || { echo "the example has printed ${#tokens[@]} tokens"; return 1; }
  curls 401 "$unauthorized" "$base/prod/me" || bad=1
  has_header 'www-authenticate: Bearer' "$base/prod/me" || bad=1
  curls 200 '*' -H "Authorization: ${tokens[0]}" "$base/prod/me" || bad=1
  curls 403 '{"message":"Forbidden"}' -H "Authorization: ${tokens[0]}" "$base/prod/admin" || bad=1
  curls 200 '*' -H "Authorization: ${tokens[1]}" "$base/prod/me" || bad=1
  curls 200 $'hello ada, you are an administrator\n' -H "Authorization: ${tokens[1]}" "$base/prod/admin" || bad=1
  for token in "${tokens[@]:2}"; do
    curls 401 "$unauthorized" -H "Authorization: $token" "$base/prod/me" || bad=1
    curls 401 "$unauthorized" -H "Authorization: $token" "$base/prod/admin" || bad=1
  done
  return $bad
}

authorizer_requests() {
  local base=$1 bad=0 denied='{"Message":"User is not authorized to access this resource with an explicit deny"}'
  local pets='{"for":"ada","pets":["dog","cat"],"plan":"gold"}'
  curls 200 "$pets" -H 'Authorization: allow' "$base/prod/pets" || bad=1
  curls 200 "$pets" -H 'Authorization: allow' "$base/prod/pets" || bad=1
  curls 403 "$denied" -H 'Authorization: deny' "$base/prod/pets" || bad=1
  curls 401 '{"message":"Unauthorized"}' -H 'Authorization: unauthorized' "$base/prod/pets" || bad=1
  curls 500 '{"message":null}' -H 'Authorization: anything' "$base/prod/pets" || bad=1
  curls 401 '{"message":"Unauthorized"}' "$base/prod/pets" || bad=1
  [ "$(grep -c 'the authorizer is asked about' "$2")" = 4 ] || { echo "not four calls of the authorizer"; bad=1; }
  return $bad
}

cache_requests() {
  local base=$1/prod bad=0 stored
  stored=$(curl --silent --max-time 10 "$base/time?zone=utc")
  [[ $stored = "call 1 at "*" in utc" ]] || { echo "unexpected: $stored"; bad=1; }
  curls 200 "$stored"$'\n' "$base/time?zone=utc" || bad=1
  curls 200 "$stored"$'\n' "$base/time?zone=utc&x=1" || bad=1
  curl --silent --max-time 10 -X POST "$base/time" | grep '^call 2 ' || { echo "not a second call"; bad=1; }
  curls 200 $'call 3 by ada\n' -H 'Authorization: ada' "$base/me" || bad=1
  curls 200 $'call 4 by bob\n' -H 'Authorization: bob' "$base/me" || bad=1
  curls 200 $'call 3 by ada\n' -H 'Authorization: ada' "$base/me" || bad=1
  has_header 'warning: 199 ' -H 'Cache-Control: max-age=0' "$base/time" || bad=1
  curl --silent --max-time 10 -X POST "$base/flush" | grep '^flushed ' || { echo "nothing flushed"; bad=1; }
  curl --silent --max-time 10 "$base/time?zone=utc" | grep '^call [5-9] ' || { echo "stored after the flush"; bad=1; }
  return $bad
}

mtls_requests() {
  local port=${1##*:} bad=0
  local directory=${TMPDIR:-/tmp}/tower-gateway-mtls-$port
  local api=(--cacert "$directory/servers.pem" --resolve "api.example.com:$port:127.0.0.1" "https://api.example.com:$port/")
  local strict=(--cacert "$directory/servers.pem" --resolve "strict.example.com:$port:127.0.0.1" "https://strict.example.com:$port/")
  local client=(--cert "$directory/client.pem" --key "$directory/client.key")
  local stranger=(--cert "$directory/stranger.pem" --key "$directory/stranger.key")
  curls 200 '*' "${client[@]}" "${api[@]}" || bad=1
  curl --silent --max-time 10 "${client[@]}" "${api[@]}" | grep '^subjectDN: CN=client' || { echo "not the client"; bad=1; }
  curls 403 '{"message":"Forbidden"}' "${api[@]}" || bad=1
  curls 200 '*' "${client[@]}" "${strict[@]}" || bad=1
  # No status at all: the handshake fails.
  curls 000 '*' "${stranger[@]}" "${api[@]}" || bad=1
  curls 000 '*' "${strict[@]}" || bad=1
  rm -rf "$directory"
  return $bad
}

observability_requests() {
  local base=$1 bad=0
  curls 200 '*' -H 'x-api-key: WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9' "$base/prod/pets" || bad=1
  curls 403 '{"message":"Forbidden"}' "$base/prod/pets" || bad=1
  curls 200 '*' "$base/prod/stock" || bad=1
  curl --silent --max-time 10 "$base/metrics" | grep '^# TYPE ' || { echo "no metrics"; bad=1; }
  curls 200 '*' "$base/admin/" || bad=1
  curl --silent --max-time 10 "$base/admin/limits/gold-key" | grep '"remaining":999,' || { echo "no limits"; bad=1; }
  curls 404 '{"message":"Not Found"}' "$base/admin/limits/nobody" || bad=1
  curl --silent --max-time 10 "$base/admin/stages" | grep '"history":\["initial"\]' || { echo "no stages"; bad=1; }
  admin_page "$base" || bad=1
  return $bad
}

firehose_requests() {
  local base=$1 bad=0 tries=50
  for number in 1 2 3 4 5; do curls 200 '["dog","cat"]' "$base/prod/pets?$number" || bad=1; done
  curls 403 '{"message":"Missing Authentication Token"}' "$base/prod/dogs" || bad=1
  until [ "$(curl --silent --max-time 10 "$base/delivered" | grep -c '"requestId"')" = 6 ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { echo "not six records delivered"; return 1; }
    sleep 0.1
  done
  return $bad
}

# The operators' page of the running example in Chromium, with traffic; screenshots go below the target directory.
admin_page() {
  local base=$1 clients=$target/tmp/clients key=WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9 browser
  browser=$(command -v chromium) && command -v node >/dev/null && [ -d "$clients/node_modules/playwright-core" ] ||
    { echo "left out: the operators' page of the example in a real browser (no chromium, node or playwright-core here)"; return 0; }
  CHROMIUM=$browser node tests/it/operators/page.mjs "$base/admin/" "$clients" "$target/tmp" observability \
    "$base/prod/pets $key" "$base/prod/pets/1 $key" "$base/prod/pets" "$base/prod/nothing" "$base/prod/stock" >"$log.page" ||
    { echo "the page could not be looked at"; return 1; }
  python3 - "$log.page" <<'END'
import json, sys
for theme, page in json.load(open(sys.argv[1])).items():
    quota, recent = page["tables"]["quotas"], page["tables"]["recent"]
    assert not page["bad"] and not page["foreign"] and not page["inline"] and not page["overflow"], (theme, page)
    assert page["shown"]["state"] == "live" and float(page["shown"]["rate"]) > 0, (theme, page["shown"])
    assert quota[0][0] == "gold-key" and int(quota[0][4]) > 0 and len(recent) == 20, (theme, page["tables"])
    assert ["INVALID_API_KEY", "ApiKeyMissing"] in [row[:2] for row in page["tables"]["refusals"]], (theme, page["tables"])
END
}

cache_proxy_requests() {
  local base=$1 bad=0
  curls 200 'call 1' "$base/" || bad=1
  curls 200 'call 1' "$base/" || bad=1
  has_header 'age: ' "$base/" || bad=1
  has_header 'cache-status: .*hit' "$base/" || bad=1
  curls 200 'call 2' "$base/other" || bad=1
  return $bad
}

# The same file in three processes: one ends cleanly, one is killed, and the third knows all of it.
redb_requests() {
  local base=$1 bad=0 partner=(-H 'x-api-key: partner-0123456789abcdefghij') value
  curls 200 $'cat, dog\n' "${partner[@]}" "$base/prod/pets" || bad=1
  curls 200 $'used in 2026: 1, unknown since a crash: 0\n' "$base/admin/usage/partner" || bad=1
  value=$(curl --silent --max-time 10 -X POST "$base/admin/keys/new")
  [ ${#value} = 40 ] || { echo "no new key: $value"; bad=1; }
  curls 200 $'stopping\n' -X POST "$base/admin/stop" || bad=1
  wait "$server" || { echo "it ended with status $?"; bad=1; }
  start_redb && wait_for "$port" "$server" || return 1
  curls 200 $'cat, dog\n' -H "x-api-key: $value" "$base/prod/pets" || bad=1
  curls 200 $'used in 2026: 1, unknown since a crash: 0\n' "$base/admin/usage/partner" || bad=1
  curls 200 $'cat, dog\n' "${partner[@]}" "$base/prod/pets" || bad=1
  curls 200 $'deleted new\n' -X DELETE "$base/admin/keys/new" || bad=1
  kill -9 "$server"
  wait "$server" 2>/dev/null || true
  start_redb && wait_for "$port" "$server" || return 1
  curls 403 '{"message":"Forbidden"}' -H "x-api-key: $value" "$base/prod/pets" || bad=1
  curls 200 $'reconciled, 0 given back\n' -X POST "$base/admin/reconcile" || bad=1
  curl --silent --max-time 10 "$base/admin/usage/partner" | grep 'unknown since a crash: 0$' || { echo "something is unknown"; bad=1; }
  # Of six in a month at least two are used.
  [ "$(curl --silent --max-time 10 "${partner[@]}" "$base/prod/pets?[1-9]" | grep -c 'cat, dog')" -le 4 ] || { echo "too many"; bad=1; }
  curls 429 '{"message":"Limit Exceeded"}' "${partner[@]}" "$base/prod/pets" || bad=1
  return $bad
}

start_redb() {
  STATE=$log.state PORT=$port cargo run --locked --quiet --all-features --example redb >>"$log.printed" 2>&1 &
  server=$!
}

smoke_redb() {
  local result=0
  rm -f "$log.state"
  STATE=$log.state smoke_example redb || result=1
  rm -f "$log.state"
  return $result
}

# Two processes on one Redis of their own: what one does, the other knows.
cluster_requests() {
  local base=$1 other=$2 bad=0 first second printed=$3
  local gold=(-H 'x-api-key: WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9') basic=(-H 'x-api-key: basic-0123456789abcdefghij')
  first=$(curl --silent --max-time 10 "${gold[@]}" "$base/prod/pets/1")
  second=$(curl --silent --max-time 10 "${gold[@]}" "$other/prod/pets/1")
  [ -n "$first" ] && [ "$first" = "$second" ] || { echo "two calls: $first $second"; bad=1; }
  for pet in 1 2 3; do curls 200 '*' "${basic[@]}" "$base/prod/pets/$pet" || bad=1; done
  for pet in 4 5; do curls 200 '*' "${basic[@]}" "$other/prod/pets/$pet" || bad=1; done
  curls 429 '{"message":"Limit Exceeded"}' "${basic[@]}" "$other/prod/pets/6" || bad=1
  curls 429 '{"message":"Limit Exceeded"}' "${basic[@]}" "$base/prod/pets/6" || bad=1
  curls 200 '{"acknowledged":2,"cut off":[],"silent":[]}' -X POST "$base/admin/keys/gold-key/disable" || bad=1
  curls 403 '{"message":"Forbidden"}' "${gold[@]}" "$other/prod/pets/1" || bad=1
  curls 200 '*' -X POST "$other/admin/keys/gold-key/enable" || bad=1
  curls 200 '*' -X POST "$base/admin/flush" || bad=1
  second=$(curl --silent --max-time 10 "${gold[@]}" "$other/prod/pets/1")
  [ "$first" != "$second" ] || { echo "not flushed: $second"; bad=1; }
  for _ in 1 2; do curls 200 $'hello ada\n' -H 'Authorization: ada' "$other/prod/me" || bad=1; done
  curls 200 '*' -X POST "$base/admin/revoke/ada" || bad=1
  curls 200 $'hello ada\n' -H 'Authorization: ada' "$other/prod/me" || bad=1
  [ "$(grep -c 'the authorizer is asked about ada' "$printed")" = 2 ] || { echo "not two calls of the authorizer"; bad=1; }
  return $bad
}

smoke_cluster() {
  local store port other result=0 process processes=()
  cargo build --locked --quiet --all-features --example cluster || return 1
  store=$(free_port)
  redis-server --port "$store" --bind 127.0.0.1 --save '' --appendonly no >/dev/null &
  processes+=($!)
  wait_for "$store" "${processes[0]}" || result=1
  port=$(free_port)
  REDIS_URL=redis://127.0.0.1:$store PORT=$port "$target/debug/examples/cluster" >"$log.printed" 2>&1 &
  processes+=($!)
  wait_for "$port" "${processes[1]}" || result=1
  other=$(free_port)
  REDIS_URL=redis://127.0.0.1:$store PORT=$other "$target/debug/examples/cluster" >"$log.other" 2>&1 &
  processes+=($!)
  wait_for "$other" "${processes[2]}" || result=1
  [ $result = 1 ] || cluster_requests "http://127.0.0.1:$port" "http://127.0.0.1:$other" "$log.other" || result=1
  [ $result = 0 ] || cat "$log.printed" "$log.other"
  for process in "${processes[@]}"; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  rm -f "$log.printed" "$log.other"
  return $result
}

# A server for the proxy to stand in front of: it counts its calls, and every answer is good for a minute.
counting_origin() {
  exec python3 -c '
import http.server, sys

class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version, calls = "HTTP/1.1", 0

    def do_GET(self):
        Origin.calls += 1
        body = f"call {Origin.calls}".encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=60")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()' "$1"
}

smoke_cache_proxy() {
  local port result=0
  port=$(free_port)
  counting_origin "$port" &
  origin=$!
  wait_for "$port" "$origin" && ORIGIN=127.0.0.1:$port smoke_example cache_proxy || result=1
  kill "$origin" 2>/dev/null || true
  wait "$origin" 2>/dev/null || true
  origin=
  return $result
}

# wait_for PORT PROCESS: until somebody listens there; fails where the process ends before.
wait_for() {
  local tries=100
  until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] && kill -0 "$2" 2>/dev/null || { echo "nobody listens on port $1"; return 1; }
    sleep 0.1
  done
}

# smoke_example NAME: starts an example, has NAME_requests send it requests, and ends it. They are told its address and
# the file with what it has printed. All features: so no example costs another build of the library.
smoke_example() {
  local name=$1 port result=0
  cargo build --locked --quiet --all-features --example "$name" || return 1
  port=$(free_port)
  PORT=$port cargo run --locked --quiet --all-features --example "$name" >"$log.printed" 2>&1 &
  server=$!
  if wait_for "$port" "$server"; then
    "${name}_requests" "http://127.0.0.1:$port" "$log.printed" || result=1
  else
    result=1
  fi
  [ $result = 0 ] || cat "$log.printed"
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
  rm -f "$log.printed"
  return $result
}

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

step build "benches compile" cargo check --locked --benches --all-features
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
