# shellcheck shell=bash
# LUNs over iSCSI on loopback, used by this kernel's own initiator (open-iscsi).

iscsi_name=iqn.2026-01.com.example:lab
iscsi=$target/iscsi/$iscsi_name/tpgt_1
portal=127.0.0.1:3260

# export_iscsi NAME…: LUN 0, 1, … of one open target.
export_iscsi() {
    local name number=0 word
    mkdir -p "$iscsi" || fail "no iSCSI target"
    for word in generate_node_acls=1 demo_mode_write_protect=0 authentication=0 cache_dynamic_acls=1; do
        put "$iscsi/attrib/${word%=*}" "${word#*=}" || fail "attribute $word"
    done
    for name in "$@"; do
        mkdir "$iscsi/lun/lun_$number" || fail "no LUN $number"
        ln -s "$(device_directory "$name")" "$iscsi/lun/lun_$number/lab" || fail "export of $name"
        ((++number))
    done
    mkdir "$iscsi/np/$portal" || fail "no portal $portal"
    put "$iscsi/enable" 1 || fail "the target cannot be enabled"
    say "ok: $* exported as $iscsi_name"
}

# what_holds_it: which tasks of the kernel hang and where, and how the daemon's rings stand: head and tail are equal
# where the daemon has answered all that the kernel has given it.
what_holds_it() {
    local node
    echo w > /proc/sysrq-trigger
    dmesg | tail -n 400
    for node in /dev/uio*; do
        /usr/bin/python3 "$LAB_PROJECT/Tests/Lab/guest/ring.py" "$node"
    done
}

# unexport_iscsi: the target and its LUNs away, the devices stay.
unexport_iscsi() {
    local lun
    put "$iscsi/enable" 0
    for lun in "$iscsi"/lun/lun_*; do
        bounded 30 rm "$lun/lab" || {
            what_holds_it
            fail "the LUN cannot be taken out of the iSCSI target"
        }
        rmdir "$lun"
    done
    bounded 30 rmdir "$iscsi/np/$portal" "$iscsi" "${iscsi%/*}" || fail "the iSCSI target cannot be removed"
    say "ok: the iSCSI target is removed"
}

# iscsi_login: starts the initiator and logs in; the disk of LUN 0 in $disk.
iscsi_login() {
    mkdir -p /etc/iscsi /run/lock/iscsi
    echo "InitiatorName=iqn.2026-01.com.example:initiator" > /etc/iscsi/initiatorname.iscsi
    [[ -s /etc/iscsi/iscsid.conf ]] || : > /etc/iscsi/iscsid.conf
    # A session of its own, because iscsid ends by a signal to its whole process group.
    setsid iscsid -f > "$LAB_STATE/iscsid.log" 2>&1 &
    iscsid_pid=$!
    until_true 20 limit 5 iscsiadm -m iface || fail "iscsid does not answer: $(cat "$LAB_STATE/iscsid.log")"
    check "discovery" limit 30 iscsiadm -m discovery -t sendtargets -p "$portal"
    check "login" limit 60 iscsiadm -m node -T "$iscsi_name" -p "$portal" --login
    local session
    session=$(ls -d /sys/class/iscsi_session/session*/device/target*) || fail "no session"
    wait_for_disk "${session##*/target}:0"
    say "ok: LUN 0 is $disk over iSCSI"
}

iscsi_logout() {
    check "logout" limit 60 iscsiadm -m node -T "$iscsi_name" -p "$portal" --logout
    kill "$iscsid_pid"
    if ! bounded 10 wait_for_process "$iscsid_pid"; then
        note "iscsid does not end by itself"
        kill -KILL "$iscsid_pid"
    fi
}

# iscsi_round NAME FILE_SYSTEM: a LUN's life as an initiator's disk, from login to logout: file system, fio with verify, discard.
iscsi_round() {
    export_iscsi "$1"
    iscsi_login
    file_system "$disk" "$2"
    fio_verify "$disk"
    discard "$disk"
    iscsi_logout
    unexport_iscsi
    remove_lun "$1"
    stop_daemon
    kernel_log_clean
}
