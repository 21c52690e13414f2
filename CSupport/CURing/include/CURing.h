// liburing behind an opaque type.
//
// Its own header cannot be imported next to swift-system: CSystem brings the kernel's linux/io_uring.h, liburing
// a newer copy of it, and the compiler refuses two definitions of one struct.
#ifndef SWIFT_TCMU_CURING_H
#define SWIFT_TCMU_CURING_H

#include <stdbool.h>
#include <stdint.h>

struct curing;

/// What the kernel answered to one entry.
struct curing_completion {
    void *data;
    /// Bytes moved, or 0, or -errno.
    int32_t result;
};

enum curing_transfer_kind { CURING_READ, CURING_WRITE, CURING_READV, CURING_WRITEV };

/// A ring with room for `entries` submissions and `completions` completions, or NULL and *error (positive).
struct curing *curing_create(unsigned entries, unsigned completions, int *error);
/// Ends the ring; nothing may be in flight.
void curing_destroy(struct curing *ring);
/// Polls readable while there are completions.
int curing_descriptor(const struct curing *ring);
/// Limits the helper threads of every thread that submits to this ring; without effect before Linux 5.15.
void curing_limit_workers(struct curing *ring, unsigned bounded, unsigned unbounded);

// Each fills one entry and returns true, or returns false when the ring is full.

/// `start` is the buffer of `count` bytes, or for the vectored kinds the array of `count` iovecs.
/// `durable`: the data is on stable storage at completion (RWF_DSYNC).
bool curing_transfer(
    struct curing *ring, enum curing_transfer_kind kind, int fd, void *start, unsigned count, uint64_t offset,
    bool durable, void *data);
bool curing_datasync(struct curing *ring, int fd, void *data);
bool curing_fallocate(struct curing *ring, int fd, int mode, uint64_t offset, uint64_t length, void *data);
/// POSIX_FADV_WILLNEED for `length` bytes; 0 would mean all up to the end.
bool curing_willneed(struct curing *ring, int fd, uint64_t offset, uint32_t length, void *data);
/// POSIX_FADV_DONTNEED for `length` bytes, not 0.
bool curing_dontneed(struct curing *ring, int fd, uint64_t offset, uint32_t length, void *data);

/// Whether completions wait, or would after the next system call. Reads memory only.
bool curing_has_completions(const struct curing *ring);

/// Entries filled and not yet taken by the kernel.
unsigned curing_unsubmitted(const struct curing *ring);
/// Hands filled entries over: how many were taken, or -errno.
int curing_submit(struct curing *ring);
/// Takes at most `limit` (and at most 64) completions: how many.
unsigned curing_take(struct curing *ring, struct curing_completion *into, unsigned limit);

#endif
