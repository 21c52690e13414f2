# Ratios: fio's rbd engine, ours and the original over tcm_loop and iSCSI, on one RBD image in one boot
# needs: ceph
# suite: no
# timeout: 1200
# Settings (--set NAME=VALUE): ROUNDS (3), RUNTIME (seconds of each run, 3), PATTERNS ("randread randwrite"), DEPTHS ("1 32"),
# BLOCK (bytes, 4096), IMAGE_MIB (1024). Records go to results.jsonl in the directory of --results.
source "$library/bench.sh"
rounds=${ROUNDS:-3} runtime=${RUNTIME:-3} patterns=${PATTERNS:-randread randwrite} depths=${DEPTHS:-1 32} block=${BLOCK:-4096}
bytes=$((${IMAGE_MIB:-1024} << 20))
[[ -z ${LAB_HOST:-} ]] || fail "it is written for the lab's guest"
ours || fail "it runs both daemons: --daemon and --binary name ours"
[[ -x /usr/bin/tcmu-runner ]] || fail "no original to compare with: apt-get install tcmu-runner"
mkdir -p "$results"
fill_image "$bytes"

# As ceph-iscsi makes a disk.
serve_with tcmud
make_lun a "rbd/rbd/$image_name;osd_op_timeout=30" "$bytes" hw_max_sectors=1024 max_data_area_mb=8
put "$(device_directory a)/attrib/cmd_time_out" 0 || fail "cmd_time_out"
attach a
loop_disk=$disk
export_iscsi a
iscsi_login
iscsi_disk=$disk
lsscsi

for served_by in tcmud tcmu-runner; do
    serve_with "$served_by"
    settle "$loop_disk"
    prove_image "$loop_disk" "$iscsi_disk"
done

over() {
    serve_with "$1"
    local path=$loop_disk
    [[ $2 != iscsi ]] || path=$iscsi_disk
    settle "$path"
    measure_all "$2" "--filename=$path" --ioengine=libaio --direct=1
}

# Who begins changes from round to round, so that a machine that grows slower favours nobody.
for ((round = 1; round <= rounds; ++round)); do
    first=tcmud second=tcmu-runner
    ((round % 2)) || { first=tcmu-runner second=tcmud; }
    # Nobody else may hold the image's exclusive lock.
    serve_with nobody
    measure_all fio-rbd --ioengine=rbd --clientname=admin --pool=rbd "--rbdname=$image_name"
    over "$first" tcm_loop
    over "$second" tcm_loop
    over "$second" iscsi
    over "$first" iscsi
done

/usr/bin/python3 "$library/bench.py" table "$records" || fail "no table"
# The last round leaves whoever it ends with; the removal is ours to do.
serve_with tcmud
iscsi_logout
unexport_iscsi
remove_lun a
stop_daemon
kernel_log_clean
