# Devices that end without a word on netlink, and a LUN that is taken away under running I/O
# timeout: 200
bytes=$((64 << 20))
start_daemon

# gone_of PROCESS: UIO nodes that it still has open although they are no more.
gone_of() { find "/proc/$1/fd" -lname '/dev/uio* (deleted)' 2> /dev/null | wc -l; }
uio_of() { find "/proc/$1/fd" -lname '/dev/uio*' 2> /dev/null | wc -l; }

for kind in idle used; do
    image_file "$kind" "$bytes"
    make_lun "$kind" "$(file_config "$image")" "$bytes"
    if [[ $kind == used ]]; then
        attach "$kind"
        check "I/O before the device vanishes" limit 30 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
        detach "$kind"
    fi
    # Whoever removes it now tells nobody: the daemon has to notice by the node itself.
    put "$block_netlink" 1 || fail "netlink cannot be blocked"
    bounded 20 rmdir "$(device_directory "$kind")" || fail "removal of $kind while netlink is blocked (status $?)"
    put "$block_netlink" 0 || fail "netlink cannot be unblocked"
    unset "hba_of[$kind]"
    if ours; then
        until_true 20 eval '(($(uio_of "$daemon_pid") == 0))' || {
            find "/proc/$daemon_pid/fd" -lname '/dev/uio*' -printf '    %l\n'
            fail "$kind: the daemon has not noticed in 20 s that the device is gone"
        }
        say "ok: $kind: the daemon has let go of the node by itself"
        until_true 10 eval '! find "/proc/$daemon_pid/fd" -lname "$image*" | grep -q .' || fail "$kind: the image is still open"
        say "ok: $kind: the image is closed"
        # A lock left behind would refuse this with EBUSY.
        make_lun "$kind" "$(file_config "$image")" "$bytes"
        attach "$kind"
        check "$kind: the same image, added again, reads" limit 30 dd if="$disk" of=/dev/null bs=1M count=4 iflag=direct
        remove_lun "$kind"
    else
        sleep 5
        note "$kind: nodes that the original still has open: $(uio_of "$daemon_pid"), of them deleted: $(gone_of "$daemon_pid")"
    fi
done

say "--- the LUN detached under I/O"
image_file busy "$bytes"
make_lun busy "$(file_config "$image")" "$bytes"
attach busy
busy_disk=$disk
image_file beside "$bytes"
make_lun beside "$(file_config "$image")" "$bytes"
attach beside
fio --name=busy --filename="$busy_disk" --rw=randwrite --bs=4k --size=48M --iodepth=16 --ioengine=libaio --direct=1 \
    --time_based --runtime=120 --eta=never --output="$LAB_STATE/busy.log" &
busy_pid=$!
sleep 3
kill -0 "$busy_pid" || fail "fio ended too early: $(tail -n 20 "$LAB_STATE/busy.log")"
began=$SECONDS
detach busy
say "detached within $((SECONDS - began)) s"
bounded 60 wait_for_process "$busy_pid" || fail "fio hangs 60 s after its LUN was detached"
status=0
wait "$busy_pid" || status=$?
((status != 0)) || fail "fio succeeded on a disk that went away"
say "ok: fio ended with status $status, $((SECONDS - began)) s after its LUN was detached"
bounded 20 rmdir "$(device_directory busy)" || fail "the device that was detached under I/O cannot be removed (status $?)"
unset "hba_of[busy]"
check "the LUN beside it reads" limit 30 dd if="$disk" of=/dev/null bs=1M count=8 iflag=direct
daemon_alive || fail "the daemon has ended"
make_lun busy "$(file_config "$LAB_STATE/busy.img")" "$bytes"
attach busy
fio_verify "$disk" 4
remove_lun busy
remove_lun beside
stop_daemon
# Errors of the disk that went away belong to this job; anything else in the kernel's log does not.
kernel_alarms='ring is broken|BUG:|Oops|WARNING:|blocked for more|Corruption'
kernel_log_clean
