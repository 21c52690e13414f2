// preadv2's flags and struct statx, which liburing.h mentions.
#define _GNU_SOURCE
#include "CURing.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/uio.h>

struct curing {
    struct io_uring ring;
};

struct curing *curing_create(unsigned entries, unsigned completions, int *error) {
    // Completions that need the submitting thread wait for its next system call instead of interrupting it;
    // kernels before 5.19 do not know the flags and interrupt.
    const unsigned flags[] = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
    struct curing *made = calloc(1, sizeof *made);
    if (!made) {
        *error = ENOMEM;
        return NULL;
    }
    int rc = -EINVAL;
    for (int i = 0; i < 2 && rc == -EINVAL; i++) {
        struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | flags[i], .cq_entries = completions};
        rc = io_uring_queue_init_params(entries, &made->ring, &params);
    }
    if (rc < 0) {
        free(made);
        *error = -rc;
        return NULL;
    }
    return made;
}

void curing_destroy(struct curing *ring) {
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

int curing_descriptor(const struct curing *ring) { return ring->ring.ring_fd; }

void curing_limit_workers(struct curing *ring, unsigned bounded, unsigned unbounded) {
    unsigned limits[2] = {bounded, unbounded};
    (void)io_uring_register_iowq_max_workers(&ring->ring, limits);
}

bool curing_transfer(
    struct curing *ring, enum curing_transfer_kind kind, int fd, void *start, unsigned count, uint64_t offset,
    bool durable, void *data
) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (!sqe) return false;
    switch (kind) {
        case CURING_READ: io_uring_prep_read(sqe, fd, start, count, offset); break;
        case CURING_WRITE: io_uring_prep_write(sqe, fd, start, count, offset); break;
        case CURING_READV: io_uring_prep_readv(sqe, fd, start, count, offset); break;
        case CURING_WRITEV: io_uring_prep_writev(sqe, fd, start, count, offset); break;
    }
    if (durable) sqe->rw_flags = RWF_DSYNC;
    io_uring_sqe_set_data(sqe, data);
    return true;
}

bool curing_datasync(struct curing *ring, int fd, void *data) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (!sqe) return false;
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, data);
    return true;
}

bool curing_fallocate(struct curing *ring, int fd, int mode, uint64_t offset, uint64_t length, void *data) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (!sqe) return false;
    io_uring_prep_fallocate(sqe, fd, mode, (off_t)offset, (off_t)length);
    io_uring_sqe_set_data(sqe, data);
    return true;
}

static bool advise(struct curing *ring, int fd, uint64_t offset, uint32_t length, int advice, void *data) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (!sqe) return false;
    io_uring_prep_fadvise(sqe, fd, offset, (off_t)length, advice);
    io_uring_sqe_set_data(sqe, data);
    return true;
}

bool curing_willneed(struct curing *ring, int fd, uint64_t offset, uint32_t length, void *data) {
    return advise(ring, fd, offset, length, POSIX_FADV_WILLNEED, data);
}

bool curing_dontneed(struct curing *ring, int fd, uint64_t offset, uint32_t length, void *data) {
    return advise(ring, fd, offset, length, POSIX_FADV_DONTNEED, data);
}

unsigned curing_unsubmitted(const struct curing *ring) { return io_uring_sq_ready(&ring->ring); }

int curing_submit(struct curing *ring) { return io_uring_submit(&ring->ring); }

bool curing_has_completions(const struct curing *ring) {
    return io_uring_cq_ready(&ring->ring) > 0
           || IO_URING_READ_ONCE(*ring->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

unsigned curing_take(struct curing *ring, struct curing_completion *into, unsigned limit) {
    struct io_uring_cqe *taken[64];
    unsigned count = io_uring_peek_batch_cqe(&ring->ring, taken, limit < 64 ? limit : 64);
    for (unsigned i = 0; i < count; i++)
        into[i] = (struct curing_completion){.data = io_uring_cqe_get_data(taken[i]), .result = taken[i]->res};
    io_uring_cq_advance(&ring->ring, count);
    return count;
}
