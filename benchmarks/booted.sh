#!/bin/sh
# Run a command as root on a throw-away copy of this machine that systemd has booted:
#
#     sudo sh benchmarks/booted.sh FOLDER COMMAND...
#
# All that it writes is gone afterwards, except what is in FOLDER. Its exit code is the command's. It needs root,
# systemd (240 or later), and a kernel that lays one file system over another.
set -eu

if [ "${1:-}" != --inside ]; then
    [ "$(id -u)" = 0 ] || { echo "booted.sh: run it as root" >&2; exit 2; }
    folder=$(realpath "$1"); shift
    here=$(pwd); script=$(realpath "$0")
    exec unshare --pid --fork --mount --cgroup -- sh "$script" --inside "$folder" "$here" "$@"
fi

folder=$2 here=$3; shift 3
mount --make-rprivate /
base=$(mktemp -d); new=$base/root
mount -t tmpfs none "$base"
mkdir "$base/changed" "$base/work" "$new"
mount -t overlay none -o "lowerdir=/,upperdir=$base/changed,workdir=$base/work" "$new"
mount -t proc proc "$new/proc"
mount --rbind /sys "$new/sys"
mount --rbind /dev "$new/dev"
mount -t tmpfs -o mode=755 none "$new/run"
mkdir "$new/run/lock"
for place in "$folder" "$here"; do
    [ -e "$new$place" ] && [ "$place" != "$folder" ] && continue
    mkdir -p "$new$place"
    mount --bind "$place" "$new$place"
done
umount -R "$new/sys/fs/cgroup" 2>/dev/null || true
mount -t cgroup2 none "$new/sys/fs/cgroup"
# Other users are to run what is here, and an interpreter that may live in root's home.
chmod 755 "$new/root"
place=$here
while [ "$place" != / ]; do chmod go+x "$new$place"; place=$(dirname "$place"); done

{
    echo "cd '$here'"
    for word in "$@"; do printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"; done
    echo ">'$folder/output' 2>&1"
} >"$new/booted"
cat >"$new/etc/systemd/system/booted.service" <<END
[Unit]
After=basic.target
Wants=basic.target
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=HOME=/root PATH=$PATH
ExecStart=/bin/sh -e /booted
END
# Nothing of this machine's own is to be started besides.
rm -rf "$new/etc/systemd/system/"*.wants
for unit in systemd-udevd systemd-udev-trigger systemd-tmpfiles-setup systemd-sysctl systemd-modules-load; do
    ln -sf /dev/null "$new/etc/systemd/system/$unit.service"
done
code=0
# systemd is process 1 of the copy, and ends with the command's exit code.
cd "$new"
exec chroot "$new" /usr/bin/env container=booted /lib/systemd/systemd --system --unit=booted.service >/dev/null 2>&1
