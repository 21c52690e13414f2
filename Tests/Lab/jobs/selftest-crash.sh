# For Tests/Lab/selftest: the guest's kernel panics
# suite: no
# timeout: 60
echo 1 > /proc/sys/kernel/sysrq
echo c > /proc/sysrq-trigger
sleep 1000000
