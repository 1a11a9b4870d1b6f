#!/bin/bash
# A bare Debian 12, made by debootstrap, in which somebody clones this repository and types the README's commands: first as
# root, then as a user who may install nothing. Needs root and debootstrap; its last line counts the steps. Words after its
# name run only the steps whose names contain one of them; each step brings what it needs.
#
# test: bare_debian_runs_the_shop
# test: bare_debian_builds_and_tests_as_root
# test: bare_debian_second_time_installs_nothing
# test: bare_debian_tests_as_an_unprivileged_user
#
# All runs in mount and process namespaces of its own, so that whatever is mounted or started goes with them. The bare
# root is kept as a tarball in ~/.cache/thole, and so is the compiler cache of these builds. Set THOLE_MIRROR to use
# another mirror of Debian.
set -u -o pipefail

if [ "${1:-}" != inside ]; then
    [ "$(id -u)" -eq 0 ] || { echo "needs root: debootstrap, chroot"; echo "0 passed, 1 failed"; exit 1; }
    exec unshare --mount --pid --fork --kill-child --propagation private "$0" inside "$@"
fi
shift
only=("$@")

repository=$(cd "$(dirname "$0")/../.." && pwd)
mirror=${THOLE_MIRROR:-http://deb.debian.org/debian}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/thole
tarball=$cache/bookworm-bare.tar
data=${THOLE_TEST_DATA:-$repository/../shared/data}
passed=0 failed=0

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
give_up() { echo "FAILED $1"; failed=$((failed + 1)); finish; }

mkdir -p "$cache/ccache"
root=$(mktemp -d /var/tmp/thole-bare.XXXXXX) || exit 1
trap 'umount -R "$root" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
mount -t tmpfs -o mode=0755 tmpfs "$root" || give_up "no tmpfs for the bare root"

if [ ! -s "$tarball" ]; then
    echo "making a bare Debian from $mirror, once"
    debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root" "$mirror" >"$cache/debootstrap.log" 2>&1 ||
        { tail -n 20 "$cache/debootstrap.log"; give_up "debootstrap"; }
    tar --one-file-system -C "$root" -cf "$tarball.new" . && mv "$tarball.new" "$tarball"
else
    tar -C "$root" -xpf "$tarball" || give_up "the tarball $tarball is damaged: remove it"
fi

mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" &&
    mount -t tmpfs tmpfs "$root/run" || give_up "mounts"
cp /etc/resolv.conf "$root/etc/resolv.conf"
# A company's proxy may sign with an authority of its own.
[ -f /etc/ssl/certs/ca-certificates.crt ] && cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/root/.cache/ccache" "$root/source" "$root/data"
mount --bind "$cache/ccache" "$root/root/.cache/ccache"
chroot "$root" git config --system --add safe.directory '*'  # The clone to clone from is root's, whoever asks.
git -c safe.directory='*' clone -q --bare "$repository" "$root/source/thole.git" || give_up "clone"
if [ -d "$data" ]; then mount --bind -o ro "$data" "$root/data"; fi

inside() { # inside <user> <commands>: in the bare root, with none of our environment.
    chroot "$root" /usr/bin/env -i HOME="$(chroot "$root" sh -c "echo ~$1")" PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        THOLE_TEST_DATA=/data THOLE_JOBS="${THOLE_JOBS:-2}" \
        setpriv --reuid="$1" --regid="$1" --init-groups sh -ec "$2" </dev/null
}

step() { # step <name> <user> <commands>
    local began=$SECONDS word wanted=1
    for word in "${only[@]}"; do
        wanted=0
        [[ $1 == *"$word"* ]] && wanted=1 && break
    done
    [ "$wanted" -eq 1 ] || return 0
    if inside "$2" "$3" >"$cache/$1.log" 2>&1; then
        passed=$((passed + 1))
        echo "passed $1, $((SECONDS - began)) s: $(tail -n 1 "$cache/$1.log")"
    else
        failed=$((failed + 1))
        tail -n 40 "$cache/$1.log"
        echo "FAILED $1, $((SECONDS - began)) s"
    fi
}

clone='cd && { [ -d thole ] || git clone -q /source/thole.git; } && cd thole && '
# What a person looks at: everything ready in `ps`, and the page in a browser.
looks_well='import json, subprocess, sys, urllib.request
said = json.loads(subprocess.run(["../../build/thole", "ps", "--json"], check=True, capture_output=True).stdout)["system"]
wrong = [each for each in said["services"] if each["state"] != "serving" or each["instances_ready"] < each["instances_wanted"]]
page = urllib.request.urlopen(said["services"][0]["address"], timeout=30).read().decode()
sys.exit(0 if said["settled"] and len(said["services"]) == 4 and not wrong and "<html" in page.lower() else
         f"{wrong} {said} {page[:500]}")'
# The first `up` builds thole and the shop; the second one starts what is built, and has 60 s for it.
step bare_debian_runs_the_shop root \
    "$clone"'began=$(date +%s) && ./dev up && first=$(($(date +%s) - began)) && cd examples/shop &&
     python3 -c '"'$looks_well'"' && ../../build/thole ps && ../../build/thole down && cd ../.. &&
     began=$(date +%s) && ./dev up && second=$(($(date +%s) - began)) && cd examples/shop &&
     python3 -c '"'$looks_well'"' && ../../build/thole down &&
     echo "everything built and ready in $first s, ready again in $second s" && test "$second" -le 60'
step bare_debian_builds_and_tests_as_root root \
    "$clone ./dev build && .ci/run"
step bare_debian_second_time_installs_nothing root \
    "$clone"'./dev build && before=$(cat /var/log/dpkg.log | wc -l) && ./dev build && ./dev test base && ./dev lint &&
     test "$before" = "$(cat /var/log/dpkg.log | wc -l)"'
chroot "$root" useradd --create-home --shell /bin/bash rower >/dev/null 2>&1
step bare_debian_tests_as_an_unprivileged_user rower \
    "$clone ./dev build && ./dev test && ./dev lint"
finish
