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

is_wanted() { # is_wanted <name>: all are, unless words were given.
    local word
    [ ${#only[@]} -gt 0 ] || return 0
    for word in "${only[@]}"; do
        [[ $1 != *"$word"* ]] || return 0
    done
    return 1
}

step() { # step <name> <user> <commands>
    local began=$SECONDS
    is_wanted "$1" || return 0
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
# A step that fails leaves no shop behind that would hold the next one's port.
ends='trap "cd ~/thole && ./dev down >/dev/null 2>&1 || true" EXIT && '

# The first `up` builds thole and then has 60 s, in which everything else is counted: from the moment build/thole lies there,
# through Debian's packages for the shop, npm, pip, Go and g++ for its services, to `ps` with all ready and the page. How much
# of it came after Debian's packages is printed beside it: `thole up` names the system as the first thing it does. The second
# `up` starts what is built, and has 60 s for that.
step bare_debian_runs_the_shop root \
    "$clone$ends"'since() { echo $(($(date +%s) - $(stat -c %Y "$1"))); } && began=$(date +%s) && test ! -e build/thole &&
     ./dev up && cd examples/shop && python3 -c '"'$looks_well'"' && first=$(since ../../build/thole) &&
     services=$(since .thole/id) && whole=$(($(date +%s) - began)) && ../../build/thole ps && ../../build/thole down &&
     cd ../.. && began=$(date +%s) && ./dev up && cd examples/shop && python3 -c '"'$looks_well'"' &&
     second=$(($(date +%s) - began)) && ../../build/thole down &&
     echo "from nothing in $whole s; ready $first s after the build, $services s of them in thole; again in $second s" &&
     test "$first" -le 60 && test "$second" -le 60'
step bare_debian_builds_and_tests_as_root root \
    "$clone ./dev build && .ci/run"
# Of what was installed into folders of our own every file counts, with its time; but for what Python compiles by itself. A
# file of a Go cache is named after what it holds, and a mere look at it may renew its time.
step bare_debian_second_time_installs_nothing root \
    "$clone$ends"'everything() { ./dev build && ./dev test base && ./dev lint && ./dev up && ./dev down; } &&
     kept() {
         wc -l /var/log/dpkg.log
         find .venv "$data/releases" -type f ! -path "*/__pycache__/*" -printf "%p %s %T@\n" | sort | sha256sum
         find "$data/cache" build/go-cache ~/.cache/go-build ~/go ! -name trim.txt -type f -printf "%p %s\n" 2>/dev/null |
             sort | sha256sum
     } &&
     everything && data=/var/lib/thole/$(cat examples/shop/.thole/id) && before=$(kept) &&
     test -x .venv/bin/pytest && test -d "$data/releases/web/v1/node_modules" && test -d "$data/cache/catalog/go-build" &&
     { everything >build/second.txt 2>&1 || { cat build/second.txt; exit 1; }; } &&
     ! grep -E "dev: (needs|installing)|: v[0-9]+ builds: " build/second.txt &&
     after=$(kept) && echo "$before" && echo "$after" && test "$before" = "$after" &&
     echo "as it was: Debian'"'s packages, .venv, node_modules, gunicorn's folder, Go's caches"'"'
chroot "$root" useradd --create-home --shell /bin/bash rower >/dev/null 2>&1
# Somebody with root has installed the tools.
if is_wanted bare_debian_tests_as_an_unprivileged_user; then
    inside root "$clone ./dev prepare need-build need-test need-lint need-shop" >"$cache/tools.log" 2>&1 ||
        { tail -n 20 "$cache/tools.log"; give_up "the tools"; }
fi
step bare_debian_tests_as_an_unprivileged_user rower \
    "$clone$ends"'./dev up && cd examples/shop && python3 -c '"'$looks_well'"' && ../../build/thole ps >../../build/ps.txt &&
     cat ../../build/ps.txt && grep -q "^not promised here: .*cgroup" ../../build/ps.txt && ../../build/thole down && cd ../.. &&
     ./dev build && ./dev test && ./dev lint'
finish
