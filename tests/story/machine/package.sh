#!/bin/bash
# Told in a machine of its own (boot.sh): hither is installed, serves, is reloaded, upgraded, removed and purged.
# /run/files has either the package, hither.deb, or what is in it, in root/.
set -eu
exec 2>&1

fail() {
    echo "FAILED: $*"
    systemctl --no-pager status hither || true
    cat /run/hither.err || true
    exit 1
}
is() { # what, expected, found
    [ "$2" = "$3" ] || fail "$1 is \`$3\`, not \`$2\`"
    echo "ok: $1 is $2"
}
has() { # what, expected within, found
    case $3 in *"$2"*) echo "ok: $1 has $2" ;; *) fail "$1 has no \`$2\`: $3" ;; esac
}
show() { systemctl show hither --value -p "$1"; }
install_it() {
    if [ -f /run/files/hither.deb ]; then
        dpkg --force-confold -i /run/files/hither.deb
    else
        cp -r /run/files/root/. /
        systemd-sysusers
        install -d -o root -g hither -m 0750 /etc/hither/secrets
        systemctl daemon-reload
    fi
}

cp /etc/passwd /etc/group /run/
mkdir -p /run/systemd/system/hither.service.d
printf '[Service]\nStandardError=append:/run/hither.err\n' >/run/systemd/system/hither.service.d/story.conf
systemctl daemon-reload

# Installed, it waits for its operator.
install_it
is 'after installing, the unit' disabled "$(systemctl is-enabled hither || true)"
systemctl start hither
is 'without a config, the unit' inactive "$(show ActiveState)"
is 'the mode of secrets' '750 root hither' "$(stat -c '%a %U %G' /etc/hither/secrets)"

# An operator writes the directory, beginning with the example.
sed -e 's/192.0.2.53/127.0.0.5/; s/192.0.2.10/127.0.0.5/; s/"fra-1"/"ns1"/' \
    -e 's|^# disk .*|disk = { path = "/var/cache/hither", size = "64MiB" }|' \
    /etc/hither/hither.toml.example >/etc/hither/hither.toml
mkdir /etc/hither/sites
cat >/etc/hither/sites/shop.toml <<'SITE'
hosts = ["www.shop.example"]
[origin]
servers = ["http://origin.shop.example:8000"]
allow_private = true
SITE
for secret in fleet.key admin.token; do
    head -c 32 /dev/urandom | base64 >"/etc/hither/secrets/$secret"
    chown root:hither "/etc/hither/secrets/$secret"
    chmod 0640 "/etc/hither/secrets/$secret"
done
echo 'HITHER_NODE=ns1' >>/etc/default/hither
echo '127.0.0.9 origin.shop.example' >>/etc/hosts
mkdir /run/origin
echo 'from the origin' >/run/origin/index.html
hither sample-origin /run/origin --listen 127.0.0.9:8000 &
hither check /etc/hither || fail 'the config is refused'

# It serves as soon as systemd says so, as its user, with one capability.
systemctl enable --now hither || fail 'it does not start'
main=$(show MainPID)
is 'its user' hither "$(stat -c %U "/proc/$main")"
has 'what systemd shows' 'ns1 serves config' "$(show StatusText)"
is 'what it may' 0000000000000400 "$(awk '/^CapEff/ { print $2 }' "/proc/$main/status")"
is 'its answer by UDP' 127.0.0.5 "$(dig @127.0.0.5 shop.cdn.example +short)"
is 'its answer by TCP' 127.0.0.5 "$(dig @127.0.0.5 shop.cdn.example +tcp +short)"
ask() { curl -si -H 'Host: www.shop.example' http://127.0.0.5/; }
has 'the first answer' 'fwd=uri-miss' "$(ask)"
has 'the second answer' 'hit' "$(ask)"
has 'its body' 'from the origin' "$(ask)"
has 'status' 'running' "$(hither -C /etc/hither status)"
has 'status for the group' 'running' "$(runuser -u nobody -g hither -- hither -C /etc/hither status)"
is 'the owner of state' hither "$(stat -c %U /var/lib/hither/ns1)"
is 'the owner of the cache' hither "$(stat -c %U /var/cache/hither/ns1)"

# A change is live, a bad one changes nothing and is told; neither is a restart.
printf '[[rule]]\nheaders = { set = { X-Hello = "world" } }\n' >>/etc/hither/sites/shop.toml
systemctl reload hither
settle() { for _ in $(seq 50); do "$@" && return; sleep 0.1; done; fail "in time: $*"; }
is_live() { ask | grep -qi '^x-hello: world'; }
settle is_live
is_told() { show StatusText | grep -q 'a change is refused'; }
echo 'nonsense' >>/etc/hither/sites/shop.toml
settle is_told
is_live || fail 'a bad change has changed something'
is 'its state' active "$(show ActiveState)"
sed -i '/nonsense/d' /etc/hither/sites/shop.toml
is_taken() { ! is_told; }
settle is_taken
is 'the process after reloads' "$main" "$(show MainPID)"

# What dies is started again; what is stopped stays so.
kill -9 "$main"
is_back() { [ "$(show ActiveState)" = active ] && [ "$(show MainPID)" != "$main" ] && is_live; }
settle is_back
main=$(show MainPID)

if [ -f /run/files/hither.deb ]; then
    # The new one takes over: no client is refused, and to systemd the unit has never left.
    since=$(show ActiveEnterTimestampMonotonic)
    while [ ! -f /run/enough ]; do ask | grep -q 'from the origin' || echo refused; done >/run/refused &
    install_it
    settle is_back
    touch /run/enough
    wait $!
    is 'who was refused meanwhile' '' "$(cat /run/refused)"
    is 'since when it is active' "$since" "$(show ActiveEnterTimestampMonotonic)"
    has 'the node after an upgrade' 'HITHER_NODE=ns1' "$(cat /etc/default/hither)"
    dpkg-deb -c /run/files/hither.deb | grep -q 'man1/hither.1' && echo 'ok: there is a man page'

    # Removed, it is stopped and leaves what the operator wrote; purged, it leaves nothing.
    dpkg -r hither
    is 'the unit after removal' inactive "$(systemctl is-active hither || true)"
    [ -f /etc/hither/hither.toml ] || fail 'removal has taken the config'
    [ -d /var/lib/hither/ns1 ] || fail 'removal has taken the state'
    dpkg -P hither
    traces=$(find /run/over ! -path '*/var/log/*' ! -type c -iname '*hither*')
    is 'what is left' '' "$traces"
    is 'what dpkg knows' '' "$(dpkg-query -W -f '${Status}' hither 2>/dev/null || true)"
    cmp /etc/passwd /run/passwd || fail 'the user is left'
    cmp /etc/group /run/group || fail 'the group is left'
else
    systemctl stop hither
    is 'how it ended' success "$(show Result)"
fi
echo 'the story is told'
