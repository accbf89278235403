#!/bin/bash
# Told in a network of its own (unshare --net): the fleet of deploy/docker/compose.yaml, each container a process at its
# container's address.
#
# Usage: fleet.sh HITHER FLEET ORIGIN
set -eu
hither=$1 fleet=$2 origin=$3
trap 'kill $(jobs -p) || true' EXIT

ip link set lo up
for address in 53 54 11 21 31 99; do
    ip address add "172.30.9.$address/32" dev lo
done
"$hither" sample-origin "$origin" --listen 172.30.9.99:8000 >/dev/null &
port=9300
for node in ns1 ns2 fra-1 iad-1 nrt-1; do
    # In containers each has a 127.0.0.1 of its own.
    port=$((port + 1))
    "$hither" run --config "$fleet" --node "$node" --admin "127.0.0.1:$port" 2>"$fleet/$node.log" &
done
for node in ns1 ns2 fra-1 iad-1 nrt-1; do
    for _ in $(seq 200); do
        [ -f "$fleet/.state/$node/node.json" ] && continue 2
        sleep 0.1
    done
    cat "$fleet/$node.log"
    exit 1
done

for subnet in 193.0.6.0/24 4.4.4.0/24 133.11.0.0/24; do
    echo "$subnet $(dig @172.30.9.54 www.shop.example +subnet=$subnet +short | tail -1)"
done
curl -si --connect-to ::172.30.9.31 http://www.shop.example/ | grep -i '^HTTP\|^cache-status'
"$hither" -C "$fleet" purge --site shop
