#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

void clinux_set_thread_name(const char *name) {
    char cut[16] = {0};
    strncpy(cut, name, sizeof cut - 1);
    (void)pthread_setname_np(pthread_self(), cut);
}

int clinux_memfd_create(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clinux_o_direct(void) { return O_DIRECT; }

int clinux_fallocate(int fd, int mode, int64_t offset, int64_t length) {
    int rc;
    do rc = fallocate(fd, mode, offset, length);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

int clinux_falloc_punch_hole(void) { return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE; }
int clinux_falloc_zero_range(void) { return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE; }

int64_t clinux_file_system_type(int fd) {
    struct statfs facts;
    if (fstatfs(fd, &facts) != 0) return -errno;
    return (int64_t)(uint32_t)facts.f_type;
}

int64_t clinux_block_device_size(int fd) {
    uint64_t bytes = 0;
    return ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? -errno : (int64_t)bytes;
}

int clinux_block_device_sector(int fd) {
    int bytes = 0;
    return ioctl(fd, BLKSSZGET, &bytes) < 0 ? -errno : bytes;
}

int clinux_lock_file(int fd, int *holder) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_SETLK, &lock) == 0) return 0;
    int error = errno;
    if (error != EACCES && error != EAGAIN) return -error;
    struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (holder) *holder = fcntl(fd, F_GETLK, &probe) == 0 && probe.l_type != F_UNLCK ? probe.l_pid : 0;
    return -EAGAIN;
}

int clinux_lock_image(int fd, bool exclusive) {
    struct flock lock = {.l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

void clinux_unlock_image(int fd) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    (void)fcntl(fd, F_OFD_SETLK, &lock);
}

unsigned clinux_major(uint64_t device) { return major(device); }
unsigned clinux_minor(uint64_t device) { return minor(device); }

int64_t clinux_coarse_milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int clinux_set_io_flusher(void) { return prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0 ? -errno : 0; }

int clinux_set_receive_buffer(int socket, int bytes) {
    if (setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0 &&
        setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0)
        return -errno;
    int inForce = 0;
    socklen_t size = sizeof inForce;
    if (getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &inForce, &size) < 0) return -errno;
    return inForce;
}

int64_t clinux_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int clinux_stay_on_cpu(int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) return -EINVAL;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -errno;
}

void clinux_use_process_cpus(void) {
    cpu_set_t whole, own;
    if (sched_getaffinity(getpid(), sizeof whole, &whole) != 0) return;
    if (sched_getaffinity(0, sizeof own, &own) != 0 || CPU_EQUAL(&whole, &own)) return;
    sched_setaffinity(0, sizeof whole, &whole);
}

int clinux_usable_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    // EINVAL: the kernel knows more CPUs than the set has room for.
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > INT_MAX ? INT_MAX : (int)online;
}

int64_t clinux_write_vector(int fd, const struct iovec *segments, int count, int64_t offset, bool nowait) {
    ssize_t written = pwritev2(fd, segments, count, offset, nowait ? RWF_NOWAIT : 0);
    return written < 0 ? -errno : written;
}
