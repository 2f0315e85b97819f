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
  stopped_with_all_lines "$2" '"httpMethod":"DELETE"' -X DELETE "$base/nowhere?[1-50]" || bad=1
  return $bad
}

# stopped_with_all_lines PRINTED PART arguments...: fifty requests, and the example is asked to stop (SIGTERM) before its
# access log has written them; all of their lines, which have PART in them, are there when it has ended.
stopped_with_all_lines() {
  local printed=$1 part=$2 count
  shift 2
  curl --silent --max-time 30 "$@" >/dev/null || { echo "fifty requests failed"; return 1; }
  kill "$server"
  wait "$server" || { echo "it ended with status $?"; return 1; }
  count=$(grep -c "$part" "$printed")
  [ "$count" = 50 ] || { echo "$count lines of 50 in the access log"; return 1; }
  echo "ok: fifty lines after SIGTERM"
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
  # A machine that compiles beside it answers late.
  export PROCESSES=2 STORE_DEADLINE_MS=2000
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
