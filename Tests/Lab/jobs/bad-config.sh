# What cannot be served: the kernel gets the true errno, the log one line, and nobody else is disturbed
# needs: ceph
# timeout: 300
bytes=$((64 << 20))
start_daemon

rbd_image small "$bytes"
image_file small "$bytes"
refused "unknown image" rbd/rbd/nothing "$bytes" ENOENT nothing
refused "unknown pool" rbd/nothing/small "$bytes" ENOENT nothing
refused "unknown namespace" rbd/rbd/nowhere/small "$bytes" ENOENT nowhere
refused "unknown snapshot" rbd/rbd/small@never "$bytes" ENOENT never
refused "size that does not match" rbd/rbd/small $((2 * bytes)) EINVAL "$bytes" $((2 * bytes)) expected
refused "missing conf" "rbd/rbd/small;conf=/nothing" "$bytes" ENOENT /nothing
mkdir -p "$LAB_STATE/directory.conf"
refused "conf that cannot be read" "rbd/rbd/small;conf=$LAB_STATE/directory.conf" "$bytes" EISDIR "$LAB_STATE/directory.conf"
refused "rbd without an image" rbd/rbd "$bytes" EINVAL rbd 'expected <pool>'
refused "missing file" "$(file_config /nothing/here)" "$bytes" ENOENT /nothing/here 'truncate -s'
if ours; then
    # The original's stand-in for a file backend grows a raw file to the size asked for.
    refused "file of another size" "file/$image" $((2 * bytes)) EINVAL "$image" "$bytes" "expected at least $((2 * bytes))"
    refused "file without a path" file/ "$bytes" EINVAL 'expected an absolute path'
    refused "file with a relative path" file/some/where "$bytes" EINVAL some/where 'expected an absolute path'
    refused "a directory" "file/$LAB_STATE/directory.conf" "$bytes" EISDIR "$LAB_STATE/directory.conf" 'expected a regular file'
    refused "option without a value" "rbd/rbd/small;conf=" "$bytes" EINVAL conf expected
    refused "option with a wrong value" "rbd/rbd/small;osd_op_timeout=soon" "$bytes" EINVAL soon 'expected a whole number'
    refused "wrong option of a file" "file/$image;direct=perhaps" "$bytes" EINVAL perhaps 'expected on or off'

    make_lun holder "file/$image" "$bytes"
    refused "a file that another LUN has" "file/$image" "$bytes" EBUSY "$image" 'in use'
    remove_lun holder

    # Another client with the image's exclusive lock, which is not the advisory one of `rbd lock`.
    if /usr/bin/python3 -c 'import rados, rbd' 2> /dev/null; then
        rbd_image taken "$bytes"
        foreign_lock taken
        make_lun taken rbd/rbd/taken "$bytes"
        attach taken
        daemon_log | grep -F rbd/taken: | sed 's/^/    log: /'
        daemon_log | grep -F rbd/taken: | grep -q 'in use: [^ ]* owns its exclusive lock' ||
            fail "no line says that another client holds the image's lock"
        check "an image whose lock another client holds reads" limit 30 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
        kill "$locker_pid"
        wait "$locker_pid" 2> /dev/null
        check "and is written when that client has given it up" limit 60 dd if=/dev/urandom of="$disk" bs=1M count=4 oflag=direct
        remove_lun taken
    else
        note "no python3-rbd, so no foreign exclusive lock"
    fi
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

lines=$(daemon_log | wc -l)
declare_lun asking alien/thing "$bytes" || fail "foreign device"
status=0
enable_lun asking 4 || status=$?
if ours; then
    equal "a foreign device's question is left to its own daemon, status" "$status" 124
    daemon_log | tail -n "+$((lines + 1))" | sed 's/^/    log: /'
    daemon_log | tail -n "+$((lines + 1))" | grep 'asking wants backend "alien"' | grep -q 'eft to its own daemon' ||
        fail "no line says that nobody serves alien here"
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
    equal "a second instance's exit status, TEMPFAIL" "$status" 75
    grep -q -w "$daemon_pid" "$LAB_STATE/second.log" || fail "the second instance does not name the holder $daemon_pid"
else
    note "the original's second instance: status $status"
fi
daemon_alive || fail "the second instance took the first one down"
stop_daemon
