# For Tests/Lab/selftest: one wrong byte on the disk, which fio_verify's second half must notice
# suite: no
# timeout: 60
image_on_disk a $((32 << 20))
blockdev() { printf '\x5a' | dd of="$image" bs=1 seek=5000000 conv=notrunc status=none; }
fio_verify "$image" 16
