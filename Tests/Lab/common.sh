# shellcheck shell=bash
# What the front doors (demo, test) share: the toolchain check, packages and steps with visible progress.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
lab=$project/Tests/Lab/lab
logs=$project/.lab
needed_swift=6.3
# What maintainer scripts ask before they start a service, and how a file of ours is told from another's.
service_policy=/usr/sbin/policy-rc.d
policy_mark="# Tests/Lab: for the time of one installation"
mkdir -p "$logs"

fatal() {
    echo "$*" >&2
    exit 1
}

# as_root COMMAND…: straight when root already, else through sudo.
as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo env "PATH=$PATH" "$@"
    else
        fatal "this needs root: run it as root, or install sudo"
    fi
}

# step TITLE COMMAND…: runs it with its output in a log, and says every five seconds that it still works.
step() {
    local title=$1 log status=0 pid begin=$SECONDS last=$SECONDS text
    log=$logs/$(tr -cs '[:alnum:]\n' - <<< "$title").log
    shift
    echo "==> $title"
    "$@" > "$log" 2>&1 < /dev/null &
    pid=$!
    while kill -0 "$pid" 2> /dev/null; do
        sleep 0.2
        if ((SECONDS - last >= 5)); then
            last=$SECONDS
            text=$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-80)
            echo "    … $((SECONDS - begin)) s  $text"
        fi
    done
    wait "$pid" || status=$?
    if ((status != 0)); then
        tail -n 60 "$log" | sed 's/^/    /'
        echo "    failed with status $status after $((SECONDS - begin)) s; all of it: $log"
        return "$status"
    fi
    echo "    done, $((SECONDS - begin)) s"
}

# need_swift: the toolchain is the one thing no Debian package brings.
need_swift() {
    local version
    if ! command -v swift > /dev/null; then
        version=none
    else
        version=$(swift --version 2> /dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -1)
        if [[ $(printf '%s\n' "$needed_swift" "$version" | sort -V | head -1) == "$needed_swift" ]]; then
            return
        fi
    fi
    fatal "A Swift toolchain of at least $needed_swift is needed, here is: ${version:-unknown}.
Debian has none. Get it in one of two ways, then run this again:
  - swiftly, Swift's own installer:  https://www.swift.org/install/linux/   (swiftly install $needed_swift)
  - a tar file for Debian 12:        https://www.swift.org/download/        (unpack, put its usr/bin into PATH)"
}

# without_services COMMAND…: packages installed by it start none of their services, which on a machine of one's own would run
# from then on (ceph-iscsi brings the original daemon). A policy that is there already is left as it is, and is the one that counts.
without_services() (
    if [[ -e $service_policy ]] && ! grep -qxF "$policy_mark" "$service_policy"; then
        "$@"
        exit
    fi
    # Ordering: an installation may go on for a while after Ctrl-C, and the policy must outlive it.
    # Bound: not SIGKILL; what is left behind then has the mark, and goes with the next installation.
    trap 'wait; as_root rm -f "$service_policy"' EXIT
    trap 'exit 143' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" | as_root tee "$service_policy" > /dev/null || exit
    as_root chmod 755 "$service_policy" || exit
    "$@"
)

# need_packages LIST…: installs what is missing from the lists in Tests/Lab/packages, and starts nothing; asks nothing.
need_packages() {
    local list package missing=() state
    for list in "$@"; do
        while read -r package; do
            [[ -z $package || $package == \#* ]] && continue
            state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) || state=absent
            [[ $state == installed ]] || missing+=("$package")
        done < "$project/Tests/Lab/packages/$list"
    done
    if ((${#missing[@]} == 0)); then
        echo "==> packages: all there"
        return
    fi
    command -v apt-get > /dev/null || fatal "no apt-get here; needed (Debian's names): ${missing[*]}"
    echo "==> packages to install: ${missing[*]}"
    step "package lists" as_root apt-get update
    without_services step "installing ${#missing[@]} packages" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"
    if [[ -d /run/systemd/system ]]; then
        echo "    their services were not started, but may be enabled for the next boot: systemctl list-unit-files --state=enabled"
    fi
}
