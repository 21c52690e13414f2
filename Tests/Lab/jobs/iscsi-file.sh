# A file LUN over iSCSI on loopback with open-iscsi: file system, fio with verify
# timeout: 300
bytes=$((512 << 20))
start_daemon
image_file a "$bytes"
make_lun a "$(file_config "$image")" "$bytes"
iscsi_round a ext4
