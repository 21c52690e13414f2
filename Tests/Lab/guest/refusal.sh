# shellcheck shell=bash
# What must not be served: the errno the kernel gets, and the line for the operator; and another client in the way.

# refused TITLE CONFIG BYTES ERRNO SAYS…: the enable must fail so. The log must name the device, and one line of it
# must hold each of SAYS: the value that is wrong, and what was expected or is the way out.
refused() {
    local title=$1 config=$2 size=$3 expected=$4 status=0 name lines word text
    shift 4
    name=bad$next_hba
    lines=$(daemon_log | wc -l)
    declare_lun "$name" "$config" "$size" || fail "$title: configfs refuses $config"
    enable_lun "$name" 60 || status=$?
    ((status != 0)) || fail "$title: enabled although '$config' cannot be served"
    ((status != 124)) || fail "$title: not answered within 60 s"
    say "$title ($config): $(errno_name "$status") ($status)"
    text=$(daemon_log | tail -n "+$((lines + 1))")
    sed 's/^/    log: /' <<< "$text"
    if ours; then
        equal "$title: errno" "$(errno_name "$status")" "$expected"
        text=$(grep -F "/$name: " <<< "$text") || fail "$title: no log line names $name"
        # The line begins with the whole config string; the value that is wrong must stand apart from it, too.
        text=${text//"$config cannot be opened"/}
        for word in "$@"; do
            text=$(grep -F -- "$word" <<< "$text") || fail "$title: the log's line does not say '$word'"
        done
    elif [[ $(errno_name "$status") != "$expected" ]]; then
        note "the original answers $(errno_name "$status") where $expected is meant"
    fi
    bounded 20 rmdir "$(device_directory "$name")" || fail "$title: the refused device cannot be removed"
    unset "hba_of[$name]"
}

# foreign_lock IMAGE: a client that owns the image's exclusive lock, its process in $locker_pid.
foreign_lock() {
    /usr/bin/python3 - "$1" > "$LAB_STATE/locker" << 'PYTHON' &
import rados, rbd, signal, sys, time
# Leaves the blocks below in order: a client that dies keeps its lock until its watch has run out.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with rados.Rados(conffile="/etc/ceph/ceph.conf") as cluster, cluster.open_ioctx("rbd") as pool:
    with rbd.Image(pool, sys.argv[1]) as image:
        image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE)
        print("held", flush=True)
        time.sleep(1000)
PYTHON
    locker_pid=$!
    until_true 30 grep -q held "$LAB_STATE/locker" || fail "no foreign lock"
}

# hanging_config: in $config the config string of an RBD image whose open never ends: no route leads to its cluster, and its
# ceph.conf takes librados' own limit away.
hanging_config() {
    local conf=$LAB_STATE/nowhere.conf
    printf '[global]\nmon_host = 192.0.2.1\nclient_mount_timeout = 0\nrados_mon_op_timeout = 0\n' > "$conf"
    ip link add nowhere type dummy 2> /dev/null && ip addr add 192.0.2.2/24 dev nowhere && ip link set nowhere up
    config="rbd/rbd/image;conf=$conf"
}

# enable_aside NAME ANSWER: enables a declared LUN in the background; ANSWER then holds enable's status and $SECONDS.
enable_aside() {
    (
        status=0
        enable_lun "$1" 60 || status=$?
        echo "$status $SECONDS" > "$2"
    ) &
}
