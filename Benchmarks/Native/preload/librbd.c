/*
 * An instant librados and librbd, to be preloaded into a daemon: a unit on `rbd` is served without a cluster, and what
 * is measured is the daemon alone.
 *
 *     cc -O2 -Wall -Wextra -Werror -shared -fPIC -o librbd-instant.so librbd.c -ldl -lpthread
 *
 * Any pool and image exist. No data moves: a read leaves its buffer as it is and a write is forgotten; both end well at
 * once. Every call that tcmud or the original's handler_rbd.so makes is here; `selftest.py` compares the list with what
 * a binary imports, because a call that fell through to the real library would take one of our handles for its own.
 *
 * Environment:
 *   BENCH_IMAGE_BYTES   size of every image; 1 GiB
 *   BENCH_RBD_MODE      instant: the callback comes within the submitting call, before it returns (the default)
 *                       handoff: the callback comes from a thread of the image's own, named librbd-strand, one at a
 *                       time and in the order of submission, as librbd calls back
 *
 * In mode handoff the strand sleeps in a futex when it has nothing to do, and who submits to a sleeping strand pays for
 * the system call that wakes it, as with librbd's own threads. That call is the daemon's in any count of system calls:
 * the same for every daemon, one per command at depth 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define OBJECT_BYTES (UINT64_C(4) << 20)
#define OBJECT_ORDER 22
#define POOL_ID 1
#define OWN_ADDRESS "127.0.0.1:0/1"

/* ---------------------------------------------------------------- completions */

/*
 * librbd allocates a completion per operation. Here they are recycled: an allocator is part of what is compared between
 * daemons, and librbd's own use of it is the same for all. A thread takes from its own list without atomics; whoever
 * frees on another thread pushes to the list `returned` of the owner, who takes that whole (so no ABA) when its own is
 * empty. Lists are never freed: threads that submit live as long as the daemon.
 */
struct completion {
    struct completion *next;
    struct pool *owner;
    void *argument;
    rbd_callback_t callback;
    ssize_t value;
};

struct pool {
    struct completion *own;
    _Alignas(64) _Atomic(struct completion *) returned;
};

static _Thread_local struct pool *local_pool __attribute__((tls_model("initial-exec")));

enum { COMPLETIONS_PER_SLAB = 128 };

static struct completion *refill(void)
{
    if (!local_pool) {
        local_pool = aligned_alloc(64, sizeof *local_pool);
        if (!local_pool)
            return NULL;
        local_pool->own = NULL;
        atomic_init(&local_pool->returned, NULL);
    }
    /* Ordering: acquire pairs with the release of the push; the links behind the head are visible. */
    struct completion *list = atomic_exchange_explicit(&local_pool->returned, NULL, memory_order_acquire);
    if (list)
        return list;
    struct completion *slab = calloc(COMPLETIONS_PER_SLAB, sizeof *slab);
    if (!slab)
        return NULL;
    for (int i = 0; i < COMPLETIONS_PER_SLAB; i++) {
        slab[i].owner = local_pool;
        slab[i].next = i + 1 < COMPLETIONS_PER_SLAB ? &slab[i + 1] : NULL;
    }
    return slab;
}

EXPORT int rbd_aio_create_completion(void *argument, rbd_callback_t callback, rbd_completion_t *out)
{
    struct completion *c = local_pool ? local_pool->own : NULL;
    if (!c && !(c = refill()))
        return -ENOMEM;
    local_pool->own = c->next;
    c->argument = argument;
    c->callback = callback;
    c->value = 0;
    *out = c;
    return 0;
}

EXPORT void rbd_aio_release(rbd_completion_t handle)
{
    struct completion *c = handle;
    struct pool *owner = c->owner;
    if (owner == local_pool) {
        c->next = owner->own;
        owner->own = c;
        return;
    }
    struct completion *head = atomic_load_explicit(&owner->returned, memory_order_relaxed);
    do {
        c->next = head;
    } while (!atomic_compare_exchange_weak_explicit(
        &owner->returned, &head, c, memory_order_release, memory_order_relaxed));
}

EXPORT ssize_t rbd_aio_get_return_value(rbd_completion_t handle)
{
    return ((struct completion *)handle)->value;
}

EXPORT void *rbd_aio_get_arg(rbd_completion_t handle)
{
    return ((struct completion *)handle)->argument;
}

/* ---------------------------------------------------------------- images and their strands */

struct image {
    uint64_t size;
    char id[32];
    int handoff;
    int locked;
    pthread_t strand;
    /* Submitted completions, the youngest first; ASLEEP while the strand waits. */
    _Alignas(64) _Atomic(struct completion *) submitted;
    _Atomic uint32_t wakes;
    /* Submitted last of all, by rbd_close. */
    struct completion stop;
};

static struct completion asleep_mark;
#define ASLEEP (&asleep_mark)

static void push(struct image *image, struct completion *c)
{
    struct completion *head = atomic_load_explicit(&image->submitted, memory_order_relaxed);
    do {
        c->next = head == ASLEEP ? NULL : head;
    } while (!atomic_compare_exchange_weak_explicit(
        &image->submitted, &head, c, memory_order_acq_rel, memory_order_relaxed));
    if (head == ASLEEP) {
        atomic_fetch_add(&image->wakes, 1);
        syscall(SYS_futex, &image->wakes, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* All that was submitted, the oldest first; waits until there is some. */
static struct completion *take(struct image *image)
{
    for (;;) {
        struct completion *head = atomic_exchange_explicit(&image->submitted, NULL, memory_order_acquire);
        if (head) {
            struct completion *list = NULL;
            while (head) {
                struct completion *next = head->next;
                head->next = list;
                list = head;
                head = next;
            }
            return list;
        }
        /* Ordering: the count is read before the mark is set; a push after the mark changes it and the wait returns. */
        uint32_t wakes = atomic_load(&image->wakes);
        if (!atomic_compare_exchange_strong(&image->submitted, &head, ASLEEP))
            continue;
        while (atomic_load(&image->submitted) == ASLEEP)
            syscall(SYS_futex, &image->wakes, FUTEX_WAIT_PRIVATE, wakes, NULL, NULL, 0);
    }
}

static void *strand(void *argument)
{
    struct image *image = argument;
    for (;;) {
        struct completion *list = take(image);
        while (list) {
            struct completion *c = list;
            list = c->next;
            if (c == &image->stop)
                return NULL;
            /* The callback may release the completion: not to be touched after it. */
            if (c->callback)
                c->callback(c, c->argument);
        }
    }
}

static int finish(struct image *image, struct completion *c, ssize_t value)
{
    c->value = value;
    if (image->handoff)
        push(image, c);
    else if (c->callback)
        c->callback(c, c->argument);
    return 0;
}

static int start_strand(struct image *image)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&image->strand, NULL, strand, image);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -error;
    pthread_setname_np(image->strand, "librbd-strand");
    return 0;
}

static uint64_t image_bytes(void)
{
    const char *bytes = getenv("BENCH_IMAGE_BYTES");
    return bytes && *bytes ? strtoull(bytes, NULL, 0) : UINT64_C(1) << 30;
}

EXPORT int rbd_open(rados_ioctx_t io, const char *name, rbd_image_t *out, const char *snapshot)
{
    static _Atomic unsigned opened;
    const char *mode = getenv("BENCH_RBD_MODE");
    (void)io, (void)name, (void)snapshot;
    if (mode && *mode && strcmp(mode, "instant") && strcmp(mode, "handoff")) {
        fprintf(stderr, "BENCH_RBD_MODE is %s; expected instant or handoff\n", mode);
        return -EINVAL;
    }
    struct image *image = aligned_alloc(64, sizeof *image);
    if (!image)
        return -ENOMEM;
    memset(image, 0, sizeof *image);
    image->size = image_bytes();
    image->handoff = mode && !strcmp(mode, "handoff");
    snprintf(image->id, sizeof image->id, "bench%x", atomic_fetch_add(&opened, 1));
    int code = image->handoff ? start_strand(image) : 0;
    if (code < 0) {
        free(image);
        return code;
    }
    *out = image;
    return 0;
}

EXPORT int rbd_open_read_only(rados_ioctx_t io, const char *name, rbd_image_t *out, const char *snapshot)
{
    return rbd_open(io, name, out, snapshot);
}

/* Returns after the last callback. */
EXPORT int rbd_close(rbd_image_t handle)
{
    struct image *image = handle;
    if (image->handoff) {
        push(image, &image->stop);
        pthread_join(image->strand, NULL);
    }
    free(image);
    return 0;
}

/* ---------------------------------------------------------------- operations */

/* As librbd does: a read ends at the image's end, a write beyond it is refused. */
static int finish_read(struct image *image, uint64_t offset, uint64_t length, struct completion *c)
{
    uint64_t left = offset < image->size ? image->size - offset : 0;
    return finish(image, c, (ssize_t)(length < left ? length : left));
}

static int finish_change(struct image *image, uint64_t offset, uint64_t length, struct completion *c)
{
    return finish(image, c, offset > image->size || length > image->size - offset ? -EINVAL : 0);
}

static uint64_t bytes_of(const struct iovec *list, int count)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += list[i].iov_len;
    return sum;
}

EXPORT int rbd_aio_read(rbd_image_t image, uint64_t offset, size_t length, char *buffer, rbd_completion_t c)
{
    (void)buffer;
    return finish_read(image, offset, length, c);
}

EXPORT int rbd_aio_readv(rbd_image_t image, const struct iovec *list, int count, uint64_t offset, rbd_completion_t c)
{
    return finish_read(image, offset, bytes_of(list, count), c);
}

EXPORT int rbd_aio_write(rbd_image_t image, uint64_t offset, size_t length, const char *buffer, rbd_completion_t c)
{
    (void)buffer;
    return finish_change(image, offset, length, c);
}

EXPORT int rbd_aio_writev(rbd_image_t image, const struct iovec *list, int count, uint64_t offset, rbd_completion_t c)
{
    return finish_change(image, offset, bytes_of(list, count), c);
}

EXPORT int rbd_aio_read2(rbd_image_t image, uint64_t offset, size_t length, char *buffer, rbd_completion_t c, int flags)
{
    (void)flags;
    return rbd_aio_read(image, offset, length, buffer, c);
}

EXPORT int rbd_aio_write2(
    rbd_image_t image, uint64_t offset, size_t length, const char *buffer, rbd_completion_t c, int flags)
{
    (void)flags;
    return rbd_aio_write(image, offset, length, buffer, c);
}

EXPORT int rbd_aio_discard(rbd_image_t image, uint64_t offset, uint64_t length, rbd_completion_t c)
{
    return finish_change(image, offset, length, c);
}

EXPORT int rbd_aio_write_zeroes(
    rbd_image_t image, uint64_t offset, size_t length, rbd_completion_t c, int zero_flags, int op_flags)
{
    (void)zero_flags, (void)op_flags;
    return finish_change(image, offset, length, c);
}

EXPORT int rbd_aio_writesame(
    rbd_image_t image, uint64_t offset, size_t length, const char *pattern, size_t pattern_length, rbd_completion_t c,
    int flags)
{
    (void)pattern, (void)flags;
    if (!pattern_length || length % pattern_length)
        return -EINVAL;
    return finish_change(image, offset, length, c);
}

/* Always equal. */
EXPORT ssize_t rbd_aio_compare_and_write(
    rbd_image_t image, uint64_t offset, size_t length, const char *expected, const char *buffer, rbd_completion_t c,
    uint64_t *mismatch, int flags)
{
    (void)expected, (void)buffer, (void)mismatch, (void)flags;
    return finish_change(image, offset, length, c);
}

EXPORT int rbd_aio_flush(rbd_image_t image, rbd_completion_t c)
{
    return finish(image, c, 0);
}

#include "image.inc"
#include "librados.inc"
#include "watches.inc"
