// What Linux has and the toolchain's Glibc module does not show: headers it leaves out, GNU-gated functions,
// and calls whose C prototypes are variadic. GNU feature macros stay in shim.c: defined here they would change
// glibc's struct field names relative to the Glibc module.
#ifndef SWIFT_TCMU_CLINUX_H
#define SWIFT_TCMU_CLINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/types.h>
#include <sys/uio.h>

// --- threads ---

/// Names the calling thread; cut to 15 bytes, failure ignored: a name is only for people.
void clinux_set_thread_name(const char *name);
/// Keeps the calling thread on one CPU: 0 or -errno (-EINVAL: no such CPU, or not one of this process's).
int clinux_stay_on_cpu(int cpu);
/// Lets the calling thread run wherever the process's first thread may, whatever it inherited; failure ignored.
void clinux_use_process_cpus(void);
/// CPUs that the calling thread may run on; those online where there are more than a CPU set has room for.
int clinux_usable_cpus(void);

// --- files ---

int clinux_memfd_create(const char *name);
/// O_DIRECT of this architecture, which Glibc's module does not export.
int clinux_o_direct(void);
/// fallocate(2): 0 or -errno. Modes below.
int clinux_fallocate(int fd, int mode, int64_t offset, int64_t length);
int clinux_falloc_punch_hole(void);  // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
int clinux_falloc_zero_range(void);  // FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE
/// pwritev2(2) at `offset`: bytes written or -errno. With `nowait` it fails rather than waits (RWF_NOWAIT): -EAGAIN,
/// and -EOPNOTSUPP where the file system never promises that.
int64_t clinux_write_vector(int fd, const struct iovec *segments, int count, int64_t offset, bool nowait);
/// Number of an open file's file system (linux/magic.h), or -errno.
int64_t clinux_file_system_type(int fd);
/// Size of a block device in bytes, or -errno.
int64_t clinux_block_device_size(int fd);
/// Logical sector size of a block device in bytes, or -errno.
int clinux_block_device_sector(int fd);
/// Whole-file POSIX write lock without waiting: 0, -EAGAIN with *holder set to the owner's pid, or -errno.
int clinux_lock_file(int fd, int *holder);
/// Lock of the open file description over the whole file without waiting, for writing or shared: 0 or -errno
/// (-EAGAIN or -EACCES: somebody else has it). Ends with clinux_unlock_image or the description's last close.
int clinux_lock_image(int fd, bool exclusive);
void clinux_unlock_image(int fd);
/// makedev(3)'s inverse for st_rdev.
unsigned clinux_major(uint64_t device);
unsigned clinux_minor(uint64_t device);

// --- clocks ---

/// CLOCK_MONOTONIC_COARSE in milliseconds: one vDSO read, no system call, 1 to 4 ms steps.
int64_t clinux_coarse_milliseconds(void);
/// CLOCK_MONOTONIC in nanoseconds.
int64_t clinux_nanoseconds(void);

/// The CPU's hint for waiting loops (PAUSE, YIELD).
static inline void clinux_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// --- process ---

/// PR_SET_IO_FLUSHER: memory reclaim must not wait for the disks that this process serves. 0 or -errno.
int clinux_set_io_flusher(void);
/// SO_RCVBUFFORCE with SO_RCVBUF as the fallback; returns the size in force or -errno.
int clinux_set_receive_buffer(int socket, int bytes);

// --- signals (process.c) ---

enum clinux_signal_disposition { CLINUX_SIGNAL_DEFAULT, CLINUX_SIGNAL_IGNORED, CLINUX_SIGNAL_HANDLED };
/// What the kernel does with a signal, 1 to 64: one of the above, or -errno. Also of 32 and 33, which glibc hides.
int clinux_signal_disposition(int signal);
/// Sets it: 0 or -errno. HANDLED is a handler that does nothing.
int clinux_set_signal_disposition(int signal, enum clinux_signal_disposition disposition);
/// The calling thread, and all that it starts, hold back these signals and no others.
void clinux_block_only(const int *signals, int count);
bool clinux_signal_is_blocked(int signal);
/// signalfd(2) of blocked signals, not blocking: a descriptor or -errno.
int clinux_signal_descriptor(const int *signals, int count);
/// The next signal, and the process that sent it (0: the kernel); -EAGAIN when there is none.
int clinux_take_signal(int fd, int *sender);

// --- limits (process.c) ---

/// Whether the process leaves core files: 0 or -errno.
int clinux_set_dumpable(bool dumpable);
bool clinux_is_dumpable(void);

enum clinux_limit {
    CLINUX_LIMIT_DESCRIPTORS,
    CLINUX_LIMIT_PROCESSES,
    CLINUX_LIMIT_LOCKED_MEMORY,
    CLINUX_LIMIT_ADDRESS_SPACE,
    CLINUX_LIMIT_DATA,
    CLINUX_LIMIT_FILE_SIZE,
    CLINUX_LIMIT_CPU_TIME,
    CLINUX_LIMIT_STACK,
};
/// getrlimit(2): 0 or -errno; UINT64_MAX is no limit.
int clinux_get_limit(enum clinux_limit limit, uint64_t *soft, uint64_t *hard);
/// The soft limit becomes the hard one: 0 or -errno.
int clinux_raise_limit(enum clinux_limit limit);

#endif
