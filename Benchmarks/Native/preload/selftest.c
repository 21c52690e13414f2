/*
 * Drives the instant library as daemons do; selftest.py builds and starts it with the library preloaded.
 *
 *     selftest images COUNT OPERATIONS     from one thread into COUNT images at once
 *     selftest handler PATH                the original's handler_rbd.so; what it takes from the daemon is stubs here
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <rados/librados.h>
#include <rbd/librbd.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #what); \
            exit(1); \
        } \
    } while (0)

static pthread_t submitter;
static int handoff;

/* ---------------------------------------------------------------- images */

struct lane {
    rbd_image_t image;
    _Atomic unsigned done;
    _Atomic int busy;
};

struct operation {
    struct lane *lane;
    unsigned number;
    ssize_t expected;
    int called;
};

static void finished(rbd_completion_t c, void *argument)
{
    struct operation *operation = argument;
    struct lane *lane = operation->lane;
    CHECK(!atomic_exchange(&lane->busy, 1));
    CHECK(operation->called++ == 0);
    CHECK(rbd_aio_get_arg(c) == argument);
    CHECK(rbd_aio_get_return_value(c) == operation->expected);
    CHECK(operation->number == atomic_load(&lane->done));
    CHECK((pthread_equal(pthread_self(), submitter) == 0) == handoff);
    rbd_aio_release(c);
    atomic_store(&lane->busy, 0);
    atomic_fetch_add(&lane->done, 1);
}

static void submit(struct lane *lane, struct operation *operation, unsigned number)
{
    static char buffer[4096];
    struct iovec halves[2] = {{buffer, 2048}, {buffer + 2048, 2048}};
    uint64_t size, offset = (uint64_t)number * 4096, mismatch = 0;
    rbd_completion_t c;
    CHECK(rbd_get_size(lane->image, &size) == 0);
    offset %= size;
    *operation = (struct operation){.lane = lane, .number = number};
    CHECK(rbd_aio_create_completion(operation, finished, &c) == 0);
    switch (number % 9) {
    case 0: operation->expected = 4096; CHECK(rbd_aio_read(lane->image, offset, 4096, buffer, c) == 0); break;
    case 1: operation->expected = 4096; CHECK(rbd_aio_readv(lane->image, halves, 2, offset, c) == 0); break;
    case 2: operation->expected = 512; CHECK(rbd_aio_read(lane->image, size - 512, 4096, buffer, c) == 0); break;
    case 3: CHECK(rbd_aio_write(lane->image, offset, 4096, buffer, c) == 0); break;
    case 4: CHECK(rbd_aio_writev(lane->image, halves, 2, offset, c) == 0); break;
    case 5: CHECK(rbd_aio_flush(lane->image, c) == 0); break;
    case 6: CHECK(rbd_aio_write_zeroes(lane->image, offset, 4096, c, 0, 0) == 0); break;
    case 7: CHECK(rbd_aio_writesame(lane->image, offset, 4096, buffer, 512, c, 0) == 0); break;
    default:
        CHECK(rbd_aio_compare_and_write(lane->image, offset, 512, buffer, buffer, c, &mismatch, 0) == 0);
    }
    CHECK(handoff || operation->called == 1);
}

static void noted(rados_completion_t c, void *argument)
{
    (void)c;
    *(int *)argument += 1;
}

static void updated(void *argument)
{
    (void)argument;
}

/* What a daemon asks for as it opens an image, and what it asks of objects. */
static void opening(rados_t cluster, rados_ioctx_t io, rbd_image_t image)
{
    char text[64];
    uint64_t watch = 0, features;
    size_t watchers = 4;
    int calls = 0;
    rbd_mirror_image_info_t info;
    rbd_image_watcher_t list[4];
    rados_completion_t c;
    CHECK(rados_cluster_fsid(cluster, text, sizeof text) == 36 && strlen(text) == 36);
    CHECK(rados_cluster_fsid(cluster, text, 36) == -ERANGE);
    CHECK(rbd_get_features(image, &features) == 0 && !(features & RBD_FEATURE_EXCLUSIVE_LOCK));
    CHECK(rbd_mirror_image_get_info(image, &info, sizeof info) == 0 && info.state == RBD_MIRROR_IMAGE_DISABLED);
    rbd_mirror_image_get_info_cleanup(&info);
    CHECK(rbd_update_watch(image, &watch, updated, NULL) == 0 && watch && rbd_update_unwatch(image, watch) == 0);
    CHECK(rbd_watchers_list(image, list, &watchers) == 0 && watchers == 0);
    rbd_watchers_list_cleanup(list, watchers);
    CHECK(rados_aio_create_completion2(&calls, noted, &c) == 0);
    CHECK(rados_aio_read(io, "object", c, text, 1, 0) == 0 && calls == 1 && rados_aio_get_return_value(c) == 0);
    rados_aio_release(c);
}

static int images(unsigned count, unsigned operations)
{
    struct lane *lanes = calloc(count, sizeof *lanes);
    struct operation *all = calloc((size_t)count * operations, sizeof *all);
    rados_t cluster, other;
    rados_ioctx_t io;
    char text[64];
    CHECK(rados_create(&cluster, "someone") == 0 && rados_conf_set(cluster, "rbd_cache", "false") == 0);
    CHECK(rados_conf_get(cluster, "rbd_cache", text, sizeof text) == 0 && !strcmp(text, "false"));
    CHECK(rados_conf_get(cluster, "no_such_option", text, sizeof text) == -ENOENT);
    CHECK(rados_create_with_context(&other, rados_cct(cluster)) == 0 && rados_connect(other) == 0);
    CHECK(rados_conf_get(other, "rbd_cache", text, sizeof text) == 0 && !strcmp(text, "false"));
    CHECK(rados_get_instance_id(other) != rados_get_instance_id(cluster));
    rados_shutdown(other);
    const char *question = "{\"prefix\": \"df\", \"format\": \"json\"}";
    char *output = NULL, *status = NULL;
    size_t output_bytes, status_bytes;
    CHECK(rados_mon_command(cluster, &question, 1, "", 0, &output, &output_bytes, &status, &status_bytes) == 0);
    CHECK(output && output_bytes == strlen(output));
    rados_buffer_free(output);
    question = "{\"prefix\": \"osd pool get\"}";
    CHECK(rados_mon_command(cluster, &question, 1, "", 0, &output, &output_bytes, &status, &status_bytes) < 0);
    CHECK(!output && !output_bytes && !status && !status_bytes);
    CHECK(rados_connect(cluster) == 0 && rados_ioctx_create(cluster, "pool", &io) == 0);
    for (unsigned i = 0; i < count; i++)
        CHECK(rbd_open(io, "image", &lanes[i].image, NULL) == 0);
    opening(cluster, io, lanes[0].image);
    for (unsigned n = 0; n < operations; n++)
        for (unsigned i = 0; i < count; i++) {
            submit(&lanes[i], &all[(size_t)i * operations + n], n);
            /* Now and then everything ends, so that strands fall asleep in the middle. */
            while (n % 64 == 63 && atomic_load(&lanes[i].done) <= n)
                sched_yield();
        }
    /* Closing waits for the callbacks that are still to come. */
    for (unsigned i = 0; i < count; i++) {
        CHECK(rbd_close(lanes[i].image) == 0);
        CHECK(atomic_load(&lanes[i].done) == operations);
    }
    for (size_t i = 0; i < (size_t)count * operations; i++)
        CHECK(all[i].called == 1);
    rados_ioctx_destroy(io);
    rados_shutdown(cluster);
    printf("%u images, %u operations each: every callback came once, in order\n", count, operations);
    return 0;
}

/* ---------------------------------------------------------------- the original's handler */

/* Offsets in bytes of tcmu-runner 1.5.4's table of a handler's functions. */
enum { OPEN = 0x30, CLOSE = 0x38, WRITE = 0x50, READ = 0x58, FLUSH = 0x60, UNMAP = 0x68, LOCK = 0x88, UNLOCK = 0x90 };

static char *handler;
static void *device_private;
static char runner_private[65536];
static _Atomic int completed, last_status;

static void *entry(int offset)
{
    return *(void **)(handler + offset);
}

EXPORT int tcmur_register_handler(void *table)
{
    handler = table;
    return 0;
}

#define LOGGER(name) \
    EXPORT void name(void *device, const char *function, int line, const char *format, ...) \
    { \
        va_list list; \
        (void)device; \
        va_start(list, format); \
        printf("  %s:%d: ", function, line); \
        vprintf(format, list); \
        va_end(list); \
    }
LOGGER(tcmu_err_message)
LOGGER(tcmu_warn_message)
LOGGER(tcmu_info_message)

EXPORT void tcmu_dbg_message(void *device, const char *function, int line, const char *format, ...)
{
    (void)device, (void)function, (void)line, (void)format;
}

EXPORT uint32_t tcmu_dev_get_block_size(void *device) { (void)device; return 512; }
EXPORT uint64_t tcmu_dev_get_num_lbas(void *device) { (void)device; return (UINT64_C(1) << 30) / 512; }
EXPORT char *tcmu_dev_get_cfgstring(void *device) { (void)device; return "rbd/pool/image;osd_op_timeout=30"; }
EXPORT void *tcmu_dev_get_private(void *device) { (void)device; return runner_private; }
EXPORT void *tcmur_dev_get_private(void *device) { (void)device; return device_private; }
EXPORT void tcmur_dev_set_private(void *device, void *value) { (void)device; device_private = value; }
EXPORT size_t tcmu_iovec_length(struct iovec *list, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += list[i].iov_len;
    return sum;
}
EXPORT void tcmur_cmd_complete(void *device, void *command, int status)
{
    (void)device, (void)command;
    CHECK((pthread_equal(pthread_self(), submitter) == 0) == handoff);
    last_status = status;
    completed++;
}

#define UNUSED(name) \
    EXPORT void name(void) {}
UNUSED(tcmu_dev_set_max_unmap_len)
UNUSED(tcmu_dev_set_opt_unmap_gran)
UNUSED(tcmu_dev_set_opt_xcopy_rw_len)
UNUSED(tcmu_dev_set_solid_state_media)
UNUSED(tcmu_dev_set_unmap_gran_align)
UNUSED(tcmu_dev_set_write_cache_enabled)
UNUSED(tcmu_memcpy_from_iovec)
UNUSED(tcmu_memcpy_into_iovec)
UNUSED(tcmu_notify_cmd_timed_out)
UNUSED(tcmu_notify_lock_lost)
UNUSED(tcmu_sense_set_info)

typedef int transfer(void *device, void *command, struct iovec *list, size_t count, size_t length, off_t offset);

static int through_handler(const char *path)
{
    static char buffer[4096], device[64], command[4096];
    struct iovec whole = {buffer, sizeof buffer};
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library);
    CHECK(((int (*)(void))dlsym(library, "handler_init"))() == 0 && handler);
    CHECK(((int (*)(void *, bool))entry(OPEN))(device, false) == 0);
    CHECK(((int (*)(void *, uint16_t))entry(LOCK))(device, 0xffff) == 0);
    int submitted = 0;
    for (int i = 0; i < 1000; i++) {
        CHECK(((transfer *)entry(READ))(device, command, &whole, 1, sizeof buffer, 4096 * i) == 0);
        CHECK(((transfer *)entry(WRITE))(device, command, &whole, 1, sizeof buffer, 4096 * i) == 0);
        submitted += 2;
    }
    CHECK(((int (*)(void *, void *))entry(FLUSH))(device, command) == 0);
    CHECK(((int (*)(void *, void *, uint64_t, uint64_t))entry(UNMAP))(device, command, 0, 65536) == 0);
    submitted += 2;
    while (atomic_load(&completed) < submitted)
        sched_yield();
    CHECK(atomic_load(&last_status) == 0);
    CHECK(((int (*)(void *))entry(UNLOCK))(device) == 0);
    ((void (*)(void *))entry(CLOSE))(device);
    /* Reopened, as the original does after a lost lock; this clears its own blocklist entries. */
    CHECK(((int (*)(void *, bool))entry(OPEN))(device, true) == 0);
    ((void (*)(void *))entry(CLOSE))(device);
    CHECK(atomic_load(&completed) == submitted);
    printf("handler: %d operations, each completed once\n", submitted);
    return 0;
}

int main(int count, char **arguments)
{
    const char *mode = getenv("BENCH_RBD_MODE");
    handoff = mode && !strcmp(mode, "handoff");
    submitter = pthread_self();
    alarm(60);
    if (count == 4 && !strcmp(arguments[1], "images"))
        return images((unsigned)atoi(arguments[2]), (unsigned)atoi(arguments[3]));
    if (count == 3 && !strcmp(arguments[1], "handler"))
        return through_handler(arguments[2]);
    return 2;
}
