#!/usr/bin/env bash
# The machines of a page: each has a network, mounts and processes of its own, and a router joins them. Run it in such
# namespaces itself (tests/story/world.rs does); when its input ends they end, and nothing is left.
#
#   world.sh FOLDER PROGRAM NAME=ADDRESS...      then, line by line: STEP NAME FILE
#
# A step is the shell script FILE, run on the machine NAME by root, in /root. It ends with a line "\001STEP CODE".
set -eu
folder=$1 program=$2
shift 2
mkdir -p "$folder/etc" "$folder/bin" "$folder/ssh"
# It may lie where something else is about to be mounted.
touch "$folder/hither"
mount --bind "$program" "$folder/hither"
for place in /run /var/lib /mnt; do mount -t tmpfs none "$place"; done
cp -a /etc/. "$folder/etc" 2>"$folder/copied" || true    # what is not to be read is not needed either
mkdir -p "$folder/etc/hither" /var/lib/hither
mount --bind "$folder/etc" /etc
mount --bind "$folder/bin" /usr/local/bin
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

# A machine is what its first process is in; what is started there ends with it.
add() {
    local name=$1 address=$2 home=$folder/$1
    mkdir -p "$home/etc" "$home/lib" "$home/bin" "$home/root"
    ln -sf "$folder/hither" "$home/bin/hither"
    ln -sf "$folder/ssh/ssh" "$home/bin/ssh"
    ip netns add "$name"
    ip link add "to-$name" type veth peer name eth0 netns "$name"
    ip addr add "${address%.*}.1/24" dev "to-$name"
    ip link set "to-$name" up
    # As far as a continent. Not every kernel can.
    tc qdisc add dev "to-$name" root netem delay 20ms 2>/dev/null || true
    ip -n "$name" addr add "$address/24" dev eth0
    ip -n "$name" link set eth0 up
    ip -n "$name" link set lo up
    ip -n "$name" route add default via "${address%.*}.1"
    echo "$address $name" >>/etc/hosts
    ip netns exec "$name" unshare --uts --mount --pid --fork --kill-child bash -c '
        read -r pid _ </proc/self/stat
        hostname "$1"
        mount --bind "$2/etc" /etc/hither
        mount --bind "$2/lib" /var/lib/hither
        mount --bind "$2/bin" /usr/local/bin
        mount --bind "$2/root" /root
        mount -t proc proc /proc
        echo "$pid" >"$2/first.new"
        mv "$2/first.new" "$2/first"
        while sleep 1000; do :; done' first "$name" "$home" </dev/null &
}

on() {
    local first
    first=$(cat "$folder/$1/first")
    nsenter --target "$first" --net --uts --mount --pid env HOME=/root bash -c 'cd && . "$1"' on "$2"
}

# There is no sshd: `ssh NAME COMMAND` on a machine asks this loop.
cat >"$folder/ssh/ssh" <<'SSH'
#!/usr/bin/env bash
cd "$(dirname "$(readlink -f "$0")")"
host=${1#*@} id=$(hostname).$$
shift
printf '%s\n' "$*" >"$id.sh"
mkfifo "$id.in" "$id.out"
echo "$host $id" >asked
exec 3<&0
cat <&3 >"$id.in" &
cat "$id.out"
kill $! 2>/dev/null
exit "$(cat "$id.code")"
SSH
chmod +x "$folder/ssh/ssh"
mkfifo "$folder/ssh/asked"
while read -r host id; do
    (
        code=0
        on "$host" "$folder/ssh/$id.sh" <"$folder/ssh/$id.in" || code=$?
        echo "$code" >"$folder/ssh/$id.code"
    ) >"$folder/ssh/$id.out" 2>&1 &
done <>"$folder/ssh/asked" &

for machine in "$@"; do
    add "${machine%=*}" "${machine#*=}"
done
for machine in "$@"; do
    until [ -e "$folder/${machine%=*}/first" ]; do sleep 0.02; done
done

printf '\001ready\n'
while read -r step name file; do
    code=0
    on "$name" "$file" </dev/null 2>&1 || code=$?
    printf '\001%s %s\n' "$step" "$code"
done
