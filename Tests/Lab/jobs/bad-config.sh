# What cannot be served: the kernel gets the true errno, the log one line, and nobody else is disturbed
# needs: ceph
# timeout: 300
bytes=$((64 << 20))
start_daemon

# refused TITLE CONFIG BYTES ERRNO: the enable must fail so, and the log must name the device.
refused() {
    local title=$1 config=$2 size=$3 expected=$4 status=0 name lines
    name=bad$next_hba
    lines=$(daemon_log | wc -l)
    declare_lun "$name" "$config" "$size" || fail "$title: configfs refuses $config"
    enable_lun "$name" 60 || status=$?
    ((status != 0)) || fail "$title: enabled although '$config' cannot be served"
    ((status != 124)) || fail "$title: not answered within 60 s"
    say "$title ($config): $(errno_name "$status") ($status)"
    daemon_log | tail -n "+$((lines + 1))" | sed 's/^/    log: /'
    if ours; then
        equal "$title: errno" "$(errno_name "$status")" "$expected"
        daemon_log | tail -n "+$((lines + 1))" | grep -F "$name" > /dev/null || fail "$title: no log line names $name"
    elif [[ $(errno_name "$status") != "$expected" ]]; then
        note "the original answers $(errno_name "$status") where $expected is meant"
    fi
    bounded 20 rmdir "$(device_directory "$name")" || fail "$title: the refused device cannot be removed"
}

rbd_image small "$bytes"
image_file small "$bytes"
refused "unknown image" rbd/rbd/nothing "$bytes" ENOENT
refused "unknown pool" rbd/nothing/small "$bytes" ENOENT
refused "size that does not match" rbd/rbd/small $((2 * bytes)) EINVAL
refused "missing conf" "rbd/rbd/small;conf=/nothing" "$bytes" ENOENT
refused "rbd without an image" rbd/rbd "$bytes" EINVAL
refused "missing file" "$(file_config /nothing/here)" "$bytes" ENOENT
if ours; then
    # The original's stand-in for a file backend grows a raw file to the size asked for.
    refused "file of another size" "file/$image" $((2 * bytes)) EINVAL
    refused "file without a path" file/ "$bytes" EINVAL
    refused "option without a value" "rbd/rbd/small;conf=" "$bytes" EINVAL
fi
# As with the original an option that nobody knows is no error; ours says so.
make_lun good "rbd/rbd/small;colour=blue" "$bytes"
attach good
if ours; then
    daemon_log | grep -F "colour=blue" > /dev/null || fail "no log line about the unknown option"
fi
check "a good LUN beside all that reads" limit 30 dd if="$disk" of=/dev/null bs=1M count=4
remove_lun good

# uio_of PROCESS: the UIO devices it has open.
uio_of() { find "/proc/$1/fd" -lname '/dev/uio*' 2> /dev/null | wc -l; }

declare_lun foreign alien/thing "$bytes" nl_reply_supported=-1 || fail "foreign device"
check "a foreign device that wants no reply is enabled" enable_lun foreign 20
sleep 1
if ours && kernel_log | grep 'completion could not find device'; then
    fail "the daemon answered a question nobody asked it"
fi
equal "UIO devices the daemon holds with a foreign device present" "$(uio_of "$daemon_pid")" 0
stop_daemon
start_daemon
equal "the same after a restart" "$(uio_of "$daemon_pid")" 0
equal "the foreign device" "$(< "$(device_directory foreign)/action/block_dev")" unblocked
bounded 20 rmdir "$(device_directory foreign)" || fail "the foreign device cannot be removed"

declare_lun asking alien/thing "$bytes" || fail "foreign device"
status=0
enable_lun asking 4 || status=$?
if ours; then
    equal "a foreign device's question is left to its own daemon, status" "$status" 124
else
    note "the original answers for a foreign device: status $status"
fi
# Nobody will answer: the kernel gives up only when it is told to.
put "$block_netlink" 1 && put "$reset_netlink" 1 && put "$block_netlink" 0
until_true 10 rmdir "$(device_directory asking)" || fail "the foreign device cannot be removed"

status=0
limit 20 "$LAB_DAEMON_PROGRAM" > "$LAB_STATE/second.log" 2>&1 || status=$?
sed 's/^/    second instance: /' "$LAB_STATE/second.log"
if ours; then
    equal "a second instance's exit status" "$status" 1
    grep -q -w "$daemon_pid" "$LAB_STATE/second.log" || fail "the second instance does not name the holder $daemon_pid"
else
    note "the original's second instance: status $status"
fi
daemon_alive || fail "the second instance took the first one down"
stop_daemon
