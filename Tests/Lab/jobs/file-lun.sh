# A LUN on a file over tcm_loop: identity, ext4, xfs, fio with verify, discard, removal while idle
# timeout: 300
bytes=$((512 << 20))
start_daemon
image_file a "$bytes"
config=$(file_config "$image")
make_lun a "$config" "$bytes"
attach a
inquiries "$disk" "$bytes" "${config#*/}" a
lsscsi
disk_work "$disk"
if ours; then
    equal "bytes the image still occupies after the discard" "$(($(stat -c %b "$image") * 512))" 0
fi
remove_lun a
if ours; then
    # Past the page cache, which needs a file system with O_DIRECT: the guest's own disk.
    image_on_disk b "$bytes"
    make_lun b "file/$image;direct=on" "$bytes"
    attach b
    fio_verify "$disk"
    discard "$disk"
    remove_lun b
fi
stop_daemon
kernel_log_clean
