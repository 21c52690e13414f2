# shellcheck shell=bash
# LUNs through plain configfs, in the order rtslib uses: control, enable, and only then serial and attributes.

target=/sys/kernel/config/target
loop=$target/loopback/naa.5001405770000001/tpgt_1
# Indexes out of the way of a configuration that a host may already have.
next_hba=7700
declare -A hba_of=() lun_of=()
disk=

# file_config PATH: the config string of a LUN on a file. Debian ships the original without its file
# handler, so its qcow handler on a raw file stands in.
file_config() {
    if ours; then echo "file/$1"; else echo "qcow/$1"; fi
}

# device_directory NAME: where the kernel has that device.
device_directory() { echo "$target/core/${hba_of[$1]}/$1"; }

# put PATH TEXT: writes it, status = errno. Perl, because a shell tells only that a write failed.
put() {
    perl -e 'open(F, ">", $ARGV[0]) or exit $!+0; defined(syswrite(F, $ARGV[1])) or exit $!+0' "$1" "$2"
}

errno_name() { perl -MErrno -e 'for (keys %!) { print and exit if Errno->can($_)->() == $ARGV[0] }' "$1"; }

# bounded SECONDS COMMAND…: for what may hang in the kernel, where no signal helps: it is left behind, status 124.
bounded() {
    local end=$((SECONDS + $1)) pid
    shift
    "$@" &
    pid=$!
    while kill -0 "$pid" 2> /dev/null; do
        ((SECONDS < end)) || return 124
        sleep 0.05
    done
    wait "$pid"
}

# declare_lun NAME CONFIG BYTES [CONTROL…]: makes the device's directory and its parameters, not yet enabled.
declare_lun() {
    local name=$1 config=$2 bytes=$3 directory word
    shift 3
    hba_of[$name]=user_$((next_hba++))
    directory=$(device_directory "$name")
    mkdir -p "$directory" || return
    for word in "dev_config=$config" "dev_size=$bytes" "$@"; do
        put "$directory/control" "$word" || return
    done
}

# enable_lun NAME: the daemon is asked now; status 0 or the errno the kernel gave, 124 when nobody answers.
enable_lun() { bounded "${2:-60}" put "$(device_directory "$1")/enable" 1; }

# make_lun NAME CONFIG BYTES [CONTROL…]: an enabled device with a serial made from its name.
make_lun() {
    local name=$1 status=0 directory
    declare_lun "$@" || fail "configfs refuses $name"
    enable_lun "$name" || status=$?
    case $status in
        0) ;;
        124) fail "enabling $name is not answered" ;;
        *) fail "enabling $name: $(errno_name "$status") ($status)" ;;
    esac
    directory=$(device_directory "$name")
    put "$directory/wwn/vpd_unit_serial" "$(serial_of "$name")" || fail "serial of $name"
    say "ok: $name enabled as $2"
}

# make_fileio_lun NAME PATH BYTES: the kernel's own backstore on a file, for what no daemon has a part in.
make_fileio_lun() {
    local name=$1 path=$2 bytes=$3 directory word
    hba_of[$name]=fileio_$((next_hba++))
    directory=$(device_directory "$name")
    mkdir -p "$directory" || fail "configfs refuses $name"
    put "$directory/control" "fd_dev_name=$path,fd_dev_size=$bytes" || fail "parameters of $name"
    put "$directory/enable" 1 || fail "enabling $name"
    put "$directory/wwn/vpd_unit_serial" "$(serial_of "$name")" || fail "serial of $name"
    # Both are off unless asked for; without them the kernel has no thin provisioning to show.
    for word in emulate_tpu emulate_tpws; do
        put "$directory/attrib/$word" 1 || fail "attribute $word of $name"
    done
    say "ok: $name enabled as fileio on $path"
}

# make_pscsi_lun NAME HOST:CHANNEL:TARGET:LUN: the kernel's pass-through backstore on a SCSI disk of this machine.
make_pscsi_lun() {
    local name=$1 directory words
    IFS=: read -ra words <<< "$2"
    hba_of[$name]=pscsi_$((next_hba++))
    directory=$(device_directory "$name")
    mkdir -p "$directory" || fail "configfs refuses $name"
    put "$directory/control" "scsi_host_id=${words[0]},scsi_channel_id=${words[1]},scsi_target_id=${words[2]},scsi_lun_id=${words[3]}" ||
        fail "parameters of $name"
    # The kernel enables it only with some path here, which it never opens.
    put "$directory/udev_path" "/dev/$(ls "/sys/bus/scsi/devices/$2/block")" || fail "path of $name"
    put "$directory/enable" 1 || fail "enabling $name"
    say "ok: $name enabled as pscsi on $2"
}

serial_of() { printf '%s' "$1" | sha256sum | sed -E 's/^(.{8})(.{4})(.{4})(.{4})(.{12}).*/\1-\2-\3-\4-\5/'; }

# remove_lun NAME: detaches it and removes the device; must not take longer than 20 s.
remove_lun() {
    detach "$1"
    bounded 20 rmdir "$(device_directory "$1")" || fail "removal of $1 (status $?)"
    unset "hba_of[$1]"
    say "ok: $1 removed"
}

# attach NAME: a SCSI disk of this kernel, through tcm_loop; its path is in $disk afterwards.
attach() {
    local name=$1 number=${#lun_of[@]} address
    while [[ " ${lun_of[*]} " == *" $number "* ]]; do ((number++)); done
    if [[ ! -d $loop ]]; then
        mkdir -p "$loop" || fail "no loopback target"
        put "$loop/nexus" naa.5001405770000002 || fail "no nexus"
    fi
    mkdir "$loop/lun/lun_$number" || fail "no LUN $number"
    bounded 60 ln -s "$(device_directory "$name")" "$loop/lun/lun_$number/lab" || fail "attaching $name (status $?)"
    lun_of[$name]=$number
    address=$(< "$loop/address"):$number
    wait_for_disk "$address"
    say "ok: $name is $disk ($address)"
}

# wait_for_disk HOST:CHANNEL:TARGET:LUN: sets $disk when the kernel has its node and its size.
wait_for_disk() {
    local block=/sys/bus/scsi/devices/$1/block
    until_true 30 eval "ls '$block'/*/size" || fail "no disk at $1 after 30 s"
    disk=/dev/$(ls "$block")
    until_true 10 test -b "$disk" || fail "no node $disk"
}

# detach NAME: takes the disk away; nothing when it is not attached.
detach() {
    local name=$1 number=${lun_of[$1]:-}
    [[ -n $number ]] || return 0
    bounded 60 rm "$loop/lun/lun_$number/lab" || fail "detaching $name (status $?)"
    rmdir "$loop/lun/lun_$number"
    unset "lun_of[$name]"
}

# remove_everything: for a job on the host's own kernel, where no halt cleans up. Never fails.
remove_everything() {
    local name
    mountpoint -q "$LAB_STATE/mnt" && umount "$LAB_STATE/mnt"
    for name in "${!lun_of[@]}"; do
        rm -f "$loop/lun/lun_${lun_of[$name]}/lab"
        rmdir "$loop/lun/lun_${lun_of[$name]}"
    done
    rmdir "$loop" "${loop%/*}" 2> /dev/null
    for name in "${!hba_of[@]}"; do
        bounded 20 rmdir "$(device_directory "$name")"
        rmdir "$target/core/${hba_of[$name]}"
    done
    daemon_alive && kill -TERM "$daemon_pid" && until_true 30 eval '! daemon_alive'
    return 0
}
