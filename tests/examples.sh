# Sourced by test.sh: each example is started, and driven by plain curl with the lines it prints; what comes back is
# compared with what it says there. `$log` is test.sh's scratch file, `$target` cargo's folder.

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

# What each example that is a pet shop must answer: the one of examples/gateway.rs.
pet_shop_requests() {
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

# Every line that the example prints, and what it says of it.
gateway_requests() {
  local bad=0
  pet_shop_requests "$1" || bad=1
  stopped_with_all_lines "$2" '"httpMethod":"DELETE"' -X DELETE "$1/nowhere?[1-50]" || bad=1
  return $bad
}

# stopped_with_all_lines PRINTED PART arguments...: fifty requests, and the example is asked to stop (SIGTERM) before its
# access log has written them; all of their lines, which have PART in them, are there when it has ended.
stopped_with_all_lines() {
  local printed=$1 part=$2 count
  shift 2
  curl --silent --max-time 30 "$@" >/dev/null || { echo "fifty requests failed"; return 1; }
  stopped || return 1
  count=$(grep -c "$part" "$printed")
  [ "$count" = 50 ] || { echo "$count lines of 50 in the access log"; return 1; }
  echo "ok: fifty lines after SIGTERM"
}

# stopped [PROCESS]: asks the running example to stop, and waits until it has ended well.
stopped() {
  local process=${1:-$server}
  kill "$process"
  wait "$process" || { echo "it ended with status $?"; return 1; }
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
  [ "$(stat -c %a "$directory/client.key")" = 600 ] || { echo "others may read the key"; bad=1; }
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
  curl --silent --max-time 10 "$base/admin/stages" | grep '"history":\["v1"\]' || { echo "no stages"; bad=1; }
  admin_page "$base" || bad=1
  pet_shop_requests "$base" || bad=1
  stopped_with_all_lines "$2" '"path":"/prod/last' "$base/prod/last?[1-50]" || bad=1
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
  # What was logged last is delivered before it ends, and counted.
  curls 200 '["dog","cat"]' "$base/prod/pets?last" || bad=1
  stopped || bad=1
  grep 'delivered: 7,' "$2" || { echo "not seven records delivered"; bad=1; }
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
    assert ["INVALID_API_KEY", "ApiKeyMissing, ApiKeyLayer"] in [row[:2] for row in page["tables"]["refusals"]], (theme, page["tables"])
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

# The same file in four processes: one is asked to stop, one ends by a signal, one is killed; each next one knows all of it.
redb_requests() {
  local base=$1 bad=0 partner=(-H 'x-api-key: partner-0123456789abcdefghij') value
  curls 200 $'cat, dog\n' "${partner[@]}" "$base/prod/pets" || bad=1
  curls 200 $'used in 2026: 1, unknown since a crash: 0\n' "$base/admin/usage/partner" || bad=1
  value=$(curl --silent --max-time 10 -X POST "$base/admin/keys/new")
  [ ${#value} = 40 ] || { echo "no new key: $value"; bad=1; }
  curls 200 $'stopping\n' -X POST "$base/admin/stop" || bad=1
  wait "$server" || { echo "it ended with status $?"; bad=1; }
  start_redb && wait_for "$port" "$server" || return 1
  curls 200 $'cat, dog\n' "${partner[@]}" "$base/prod/pets" || bad=1
  stopped || bad=1
  start_redb && wait_for "$port" "$server" || return 1
  curls 200 $'used in 2026: 2, unknown since a crash: 0\n' "$base/admin/usage/partner" || bad=1
  curls 200 $'cat, dog\n' -H "x-api-key: $value" "$base/prod/pets" || bad=1
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
  local base=$1 other=$2 bad=0 first second printed=$3 at
  local gold=(-H 'x-api-key: WBjHxNtoAb4WPKBC7cGm64CBibIb24b4jt8jJHo9') basic=(-H 'x-api-key: basic-0123456789abcdefghij')
  local dog='{"id":1,"price":249.99,"type":"dog"}'
  first=$(served_by "${gold[@]}" "$base/prod/pets/1")
  second=$(served_by "${gold[@]}" "$other/prod/pets/1")
  [ -n "$first" ] && [ "$first" = "$second" ] || { echo "two calls: $first $second"; bad=1; }
  # The plan admits two a second.
  for at in "$base" "$base" "$base" "$other" "$other"; do
    curls 200 "$dog" "${basic[@]}" "$at/prod/pets/1" || bad=1
    sleep 1
  done
  curls 429 '{"message":"Limit Exceeded"}' "${basic[@]}" "$other/prod/pets/1" || bad=1
  sleep 1
  curls 429 '{"message":"Limit Exceeded"}' "${basic[@]}" "$base/prod/pets/1" || bad=1
  inspected basic basic-key pet-shop | grep '5 charged' || { echo "five units are not in Redis"; bad=1; }
  inspected basic nobody pet-shop | grep '^nothing known' || { echo "something is known of nobody"; bad=1; }
  curls 404 '*' -X POST "$base/admin/keys/gold-key/bogus" || bad=1
  curls 200 '{"acknowledged":2,"cut off":[],"silent":[]}' -X POST "$base/admin/keys/gold-key/disable" || bad=1
  curls 403 '{"message":"Forbidden"}' "${gold[@]}" "$other/prod/pets/1" || bad=1
  curls 200 '*' -X POST "$other/admin/keys/gold-key/enable" || bad=1
  curls 200 '*' -X POST "$base/admin/flush" || bad=1
  second=$(served_by "${gold[@]}" "$other/prod/pets/1")
  [ "$first" != "$second" ] || { echo "not flushed: $second"; bad=1; }
  for _ in 1 2; do curls 200 $'hello ada\n' -H 'Authorization: ada' "$other/prod/me" || bad=1; done
  curls 200 '*' -X POST "$base/admin/revoke/ada" || bad=1
  curls 200 $'hello ada\n' -H 'Authorization: ada' "$other/prod/me" || bad=1
  [ "$(grep -c 'the authorizer is asked about ada' "$printed")" = 2 ] || { echo "not two calls of the authorizer"; bad=1; }
  return $bad
}

served_by() { curl --silent --max-time 10 --output /dev/null --dump-header - "$@" | grep '^x-served-by: '; }

inspected() { REDIS_URL=redis://:secret@127.0.0.1:$store "$target/debug/examples/inspect_redis" "$@"; }

# start_cluster STORE PORT PRINTED: with the example's own defaults.
start_cluster() {
  REDIS_URL=redis://:secret@127.0.0.1:$1 PORT=$2 "$target/debug/examples/cluster" >>"$3" 2>&1 &
  processes+=($!)
  wait_for "$2" "${processes[-1]}"
}

# A shop of its own, empty Redis: all that the pet shop answers, and what one process has in hand at its end is there for
# the next.
cluster_is_a_pet_shop() {
  local store=$1 port bad=0
  redis-cli -p "$store" -a secret flushall >/dev/null 2>&1
  port=$(free_port)
  start_cluster "$store" "$port" "$log.printed" || return 1
  pet_shop_requests "http://127.0.0.1:$port" || bad=1
  stopped "${processes[-1]}" || bad=1
  inspected gold gold-key pet-shop | grep 'holds [1-9]' && { echo "a lease was not handed back"; bad=1; }
  return $bad
}

# What it says where there is no Redis: who is away, and no password.
cluster_without_redis() {
  local nobody told
  nobody=$(free_port)
  told=$(REDIS_URL=redis://:secret@127.0.0.1:$nobody PORT=0 "$target/debug/examples/cluster" 2>&1) && return 1
  [[ $told = *"Redis at redis://127.0.0.1:$nobody: "* && $told != *secret* ]] || { echo "it says $told"; return 1; }
}

smoke_cluster() {
  local store port other result=0 process processes=()
  cargo build --locked --quiet --all-features --example cluster --example inspect_redis || return 1
  cluster_without_redis || result=1
  store=$(free_port)
  redis-server --port "$store" --bind 127.0.0.1 --save '' --appendonly no --requirepass secret >/dev/null &
  processes+=($!)
  wait_for "$store" "${processes[0]}" || result=1
  port=$(free_port)
  start_cluster "$store" "$port" "$log.printed" || result=1
  other=$(free_port)
  start_cluster "$store" "$other" "$log.other" || result=1
  [ $result = 1 ] || cluster_requests "http://127.0.0.1:$port" "http://127.0.0.1:$other" "$log.other" || result=1
  for process in "${processes[@]:1}"; do stopped "$process" || result=1; done
  cluster_is_a_pet_shop "$store" || result=1
  [ $result = 0 ] || cat "$log.printed" "$log.other"
  kill "${processes[0]}"
  wait "${processes[0]}" || true
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

# Each example that listens says what is wrong with its port, and an example with settings of its own what is wrong there.
wrong_settings() {
  local name bad=0
  cargo build --locked --quiet --all-features --examples || return 1
  for name in authorizer cache cache_proxy cluster firehose gateway hyper_service jwt mtls observability redb sigv4; do
    says 'PORT=30x is not a port number' "$name" PORT=30x || bad=1
  done
  for origin in '' https://example.com 127.0.0.1:8000/path user@127.0.0.1:8000; do
    says "ORIGIN=$origin is not a host and port" cache_proxy PORT=0 "ORIGIN=$origin" || bad=1
  done
  says 'missing: JWT_AUDIENCE, JWKS_FILE' jwt PORT=0 JWT_ISSUER=https://issuer.example || bad=1
  says 'JWKS_FILE=/nowhere: ' jwt PORT=0 JWT_ISSUER=https://issuer.example JWT_AUDIENCE=a JWKS_FILE=/nowhere || bad=1
  says 'PROCESSES=many is not a number' cluster PORT=0 PROCESSES=many || bad=1
  return $bad
}

# says WORDS NAME variables...: the example ends with status 1 and these words, and has not begun.
says() {
  local words=$1 name=$2 told status=0
  shift 2
  told=$(env STATE="$log.state" "$@" timeout 20 "$target/debug/examples/$name" 2>&1) || status=$?
  [ $status = 1 ] && [[ $told = Error:*"$words"* ]] && return 0
  echo "$name with $*: status $status, $told"
  return 1
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
