#!/bin/sh
# Postrider from a shell: psql to manage and to look, openssl to verify, and a receiver that knows nothing of us.
# Needs a migrated database and a worker that may reach 127.0.0.1 over http:
#   POSTRIDER_ALLOW_HTTP=true POSTRIDER_ALLOW_NETWORKS=127.0.0.0/8 postrider work &
#   sh test/psql.sh postgres://...
set -eu

database=$1
work=$(mktemp -d)
receiver=

clean_up() {
  [ -z "$receiver" ] || kill "$receiver" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$database" -c "$1"; }

# Waits for a command to print something, 20 s at most, and prints that.
wait_for() {
  for _ in $(seq 200); do
    answer=$("$@" 2>/dev/null) && [ -n "$answer" ] && echo "$answer" && return
    sleep 0.1
  done
  echo "waited in vain for: $*" >&2
  return 1
}

expect() {
  [ "$2" = "$3" ] || { printf '%s: expected "%s", not "%s"\n' "$1" "$2" "$3" >&2; exit 1; }
  echo "ok: $1"
}

# 1. A receiver that writes down what it gets: the body to one file, then the headers to another.
node -e '
  const { renameSync, writeFileSync } = require("node:fs");
  const write = (name, text) => { writeFileSync(name + ".new", text); renameSync(name + ".new", name); };
  const server = require("node:http").createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
      write("body", Buffer.concat(chunks));
      write("headers", Object.entries(request.headers).map(([name, value]) => name + ": " + value + "\n").join(""));
      response.end("thank you");
    });
  });
  process.chdir(process.argv[1]);
  server.listen(0, "127.0.0.1", () => write("port", String(server.address().port)));
' "$work" &
receiver=$!
port=$(wait_for cat "$work/port")

# 2. A destination, and its signing secret.
destination=$(sql "select outbox.create_destination(
  type => 'webhook', name => 'from psql', topics => '{order.*}', config => '{\"url\": \"http://127.0.0.1:$port/hook\"}')")
secret=$(sql "select outbox.rotate_secret('$destination', overlap => '0')")

# 3. An event, in a transaction of its own.
payload='{"order": 7, "price": 12.50, "note": "caf\u00e9"}'
event=$(sql "insert into outbox.events (topic, payload) values ('order.paid', '$payload') returning id")

# 4. It arrives, byte for byte.
headers=$(wait_for cat "$work/headers")
header() { printf '%s\n' "$headers" | sed -n "s/^$1: //p"; }
expect "the body is the payload" "$payload" "$(cat "$work/body")"
expect "the id is the event's" "$event" "$(header webhook-id)"

# 5. The signature is that of Standard Webhooks.
key=$(printf %s "${secret#whsec_}" | base64 -d | od -An -v -tx1 | tr -d ' \n')
signature=$(
  { printf '%s.%s.' "$event" "$(header webhook-timestamp)"; cat "$work/body"; } |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64
)
expect "the signature is right" "v1,$signature" "$(header webhook-signature)"

# 6. The attempt is a row.
attempt=$(wait_for sql "select number, outcome, response ->> 'status', response ->> 'body' from outbox.attempts where event_id = '$event'")
expect "the attempt is recorded" "1|delivered|200|thank you" "$attempt"
expect "the delivery is done" "delivered" "$(sql "select status from outbox.deliveries where event_id = '$event'")"
