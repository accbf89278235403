#!/bin/bash
# Boots a machine for a story: this one's files under an overlay, with processes, network, mounts and a systemd of
# its own. Nothing that happens in it is left. Needs root.
#
# Usage: boot.sh TOP FILES SAID
#   TOP    an empty directory, for mounts
#   FILES  what the story brings, at /run/files: its script is `story`
#   SAID   a file for what the script says
set -eu
if [ "${INSIDE:-}" != yes ]; then
    INSIDE=yes exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child "$0" "$@"
fi
top=$1 files=$2 said=$3 root=$1/root

mount --make-rprivate /
mkdir "$top/own"
mount --bind "$files" "$top/own"
exec >"$said" 2>&1
mkdir "$top/layer"
mount -t tmpfs none "$top/layer"
mkdir "$top"/layer/{over,work} "$root"
mount -t overlay none -o "lowerdir=/,upperdir=$top/layer/over,workdir=$top/layer/work" "$root"
mount -t proc none "$root/proc"
mount -t sysfs none "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 none "$root/run"
mount -t tmpfs -o mode=1777 none "$root/tmp"

mount -t tmpfs -o mode=0755 none "$root/dev"
mkdir "$root"/dev/{pts,shm,mqueue,hugepages}
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mount -t devpts -o newinstance,ptmxmode=0666 none "$root/dev/pts"
mount -t tmpfs -o mode=1777 none "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# What was changed in the machine is seen at /run/over.
mkdir "$root"/run/{files,over,outside}
mount --bind "$top/own" "$root/run/files"
mount --bind "$top/layer/over" "$root/run/over"

# Nothing of this machine's own is started, and no policy forbids starting what is installed.
rm -rf "$root"/etc/systemd/system/*.wants "$root/usr/sbin/policy-rc.d" "$root/etc/hither"
mkdir -p "$root/run/systemd/system"
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-journald.service systemd-resolved.service \
    systemd-timesyncd.service systemd-networkd.service systemd-tmpfiles-setup.service; do
    ln -s /dev/null "$root/run/systemd/system/$unit"
done
cat >"$root/run/systemd/system/story.target" <<'UNIT'
[Unit]
Requires=story.service
UNIT
cat >"$root/run/systemd/system/story.service" <<'UNIT'
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash /run/files/story
StandardOutput=append:/run/said
StandardError=append:/run/said
TimeoutStartSec=100
UNIT
touch "$root/run/said"
mount --bind "$said" "$root/run/said"

ip link set lo up
cd "$root"
mount --make-rprivate "$root"
pivot_root . run/outside
cd /
umount -l /run/outside
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=story.target --log-target=console --log-level=err
