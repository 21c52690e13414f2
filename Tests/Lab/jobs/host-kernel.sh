# `lab host` on the guest's kernel, which stands for a machine that has TCMU: a whole job, and one that is killed
# suite: no
# timeout: 300
tool=(/mnt/project/Tests/Lab/lab host --daemon "$LAB_DAEMON" --binary "$LAB_DAEMON_PROGRAM")
# What of the lab is still configured in the kernel.
left() { find "$target/core" "$target/loopback" -maxdepth 2 -path '*77*' 2> /dev/null | wc -l; }

unset LAB_SHARE LAB_STATE
"${tool[@]}" file-lun || fail "file-lun on this kernel (status $?)"
equal "left in the kernel after a job" "$(left)" 0

"${tool[@]}" restart > /run/interrupted.log 2>&1 &
until_true 60 grep -q 'mount' /run/interrupted.log || fail "the second job does not get far: $(cat /run/interrupted.log)"
(($(left) > 0)) || fail "the second job has nothing in the kernel"
kill -TERM $!
status=0
wait $! || status=$?
equal "the interrupted run's status" "$status" 143
equal "left in the kernel after an interrupted job" "$(left)" 0
LAB_SHARE=/mnt/share LAB_STATE=/run/lab
