# A hostile initiator on one LUN, of a file and of RBD: the daemon lives, the neighbour keeps a third of its rate, nothing is left
# needs: ceph
# timeout: 400
# alone: yes
# suite: no
source "$library/hostile.sh"
# `make hostile-lab` sets these for a long storm.
seconds=${STORM:-20} calm=${CALM:-8} control=${CONTROL:-0}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))} rate=${RATE:-60} flood=${FLOOD:-0}
# Microseconds between four I/Os of the neighbour and the next four; 0 for full speed.
pause=${PAUSE:-10000}
reason_found=()
start_daemon
for backend in ${BACKENDS:-file rbd}; do
    say "--- $backend"
    hostile_work "$backend" $((2 << 30)) "$seconds"
done
begin=$SECONDS
stop_daemon
((SECONDS - begin < 15)) || reason_found+=("the daemon took $((SECONDS - begin)) s to stop")
((${#reason_found[@]} == 0)) || fail "${reason_found[*]}"
kernel_log_clean
