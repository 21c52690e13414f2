// Lets a TCMU daemon, ours or any other, serve rings that a load generator plays instead of the kernel.
//
// Preloaded into the daemon. It answers what the daemon asks of a UIO node and of netlink, and nothing else:
//
//   open("/dev/uioN")   hands out an eventfd that polls readable when the ring has news
//   mmap                maps the ring that the load generator made
//   read, 4 bytes       clears the event: one read(2) of the eventfd, as on a real node
//   write, 4 bytes      the doorbell: counts it where the load generator looks, then one write(2), as on a real node
//   libnl               finds the family TCM-USER, hears nothing from it, and takes what is sent to it
//
// Both system calls are kept, so that a daemon pays for each event it clears and each doorbell it rings. What the
// kernel does inside a doorbell (copying data, answering the initiator) is nobody's cost here.
//
// BENCH_NODES names a file with a line per node: "<minor> <pid> <region> <notify> <doorbell> <control>", the last four
// being descriptors of process <pid>.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct nl_sock;

enum { DESCRIPTORS = 65536, PAGE = 4096 };

// What the load generator looks at.
struct control {
    _Atomic uint64_t doorbells;
    _Atomic uint64_t clears;
};

struct node {
    int region;
    int doorbell;
    struct control *control;
};

// By the descriptor that the daemon was given. Written before the descriptor is known to anybody.
static struct node *_Atomic nodes[DESCRIPTORS];

static struct node *node_of(int fd) {
    if (fd < 0 || fd >= DESCRIPTORS) return NULL;
    return atomic_load_explicit(&nodes[fd], memory_order_acquire);
}

static int borrow(int process, int fd) { return (int)syscall(SYS_pidfd_getfd, process, fd, 0); }

static int open_node(unsigned minor) {
    const char *list = getenv("BENCH_NODES");
    FILE *file = list ? fopen(list, "re") : NULL;
    if (!file) {
        errno = ENOENT;
        return -1;
    }
    unsigned number;
    int pid, region, notify, doorbell, control;
    int found = 0;
    while (!found && fscanf(file, "%u %d %d %d %d %d", &number, &pid, &region, &notify, &doorbell, &control) == 6)
        found = number == minor;
    fclose(file);
    int process = found ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (process < 0) {
        errno = ENODEV;
        return -1;
    }
    struct node *made = calloc(1, sizeof *made);
    int fd = borrow(process, notify);
    int shared = borrow(process, control);
    if (!made || fd < 0 || fd >= DESCRIPTORS || shared < 0) abort();
    made->region = borrow(process, region);
    made->doorbell = borrow(process, doorbell);
    made->control = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (made->region < 0 || made->doorbell < 0 || made->control == MAP_FAILED) abort();
    close(shared);
    close(process);
    atomic_store_explicit(&nodes[fd], made, memory_order_release);
    return fd;
}

static int open_any(const char *path, int flags, mode_t mode) {
    unsigned minor;
    if (strncmp(path, "/dev/uio", 8) == 0 && sscanf(path + 8, "%u", &minor) == 1) return open_node(minor);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define MODE(flags) ({ \
    va_list list; \
    va_start(list, flags); \
    mode_t mode = (flags) & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list); \
    mode; \
})

int open(const char *path, int flags, ...) { return open_any(path, flags, MODE(flags)); }
int open64(const char *path, int flags, ...) { return open_any(path, flags, MODE(flags)); }
int __open_2(const char *path, int flags) { return open_any(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(path, flags, 0); }

// A plain system call for everything else: dlsym may itself allocate, and an allocator maps memory.
static void *map(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    struct node *node = flags & MAP_ANONYMOUS ? NULL : node_of(fd);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, node ? node->region : fd, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return map(address, length, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    return map(address, length, protection, flags, fd, offset);
}

// glibc's own, found before main: they are cancellation points, by which the original ends its threads.
static ssize_t (*plain_read)(int, void *, size_t);
static ssize_t (*plain_write)(int, const void *, size_t);

__attribute__((constructor)) static void find_plain(void) {
    plain_read = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    plain_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
}

ssize_t read(int fd, void *buffer, size_t count) {
    struct node *node = node_of(fd);
    if (!node) return plain_read ? plain_read(fd, buffer, count) : syscall(SYS_read, fd, buffer, count);
    uint64_t events;
    ssize_t got = syscall(SYS_read, fd, &events, sizeof events);
    if (got < 0) return got;
    atomic_fetch_add_explicit(&node->control->clears, 1, memory_order_relaxed);
    if (count > 4) count = 4;
    memcpy(buffer, &events, count);
    return (ssize_t)count;
}

ssize_t write(int fd, const void *buffer, size_t count) {
    struct node *node = node_of(fd);
    if (!node) return plain_write ? plain_write(fd, buffer, count) : syscall(SYS_write, fd, buffer, count);
    uint64_t one = 1;
    // Ordering: the daemon's completions and its tail are visible to whoever sees the new count.
    atomic_fetch_add_explicit(&node->control->doorbells, 1, memory_order_release);
    syscall(SYS_write, node->doorbell, &one, sizeof one);
    return (ssize_t)count;
}

int close(int fd) {
    struct node *node = node_of(fd);
    if (node) {
        atomic_store_explicit(&nodes[fd], NULL, memory_order_release);
        close(node->region);
        close(node->doorbell);
        munmap(node->control, PAGE);
        free(node);
    }
    return (int)syscall(SYS_close, fd);
}

// Netlink: the controller is real, the family is not. Its number is the controller's own, which refuses our commands
// in a way that both daemons take for a kernel without replies.
enum { CONTROLLER = 16 };

int genl_ctrl_resolve(struct nl_sock *socket, const char *name) {
    (void)socket, (void)name;
    return CONTROLLER;
}

int genl_ctrl_resolve_grp(struct nl_sock *socket, const char *family, const char *group) {
    (void)socket, (void)family, (void)group;
    return CONTROLLER;
}

int genl_ops_resolve(struct nl_sock *socket, void *operations) {
    (void)socket, (void)operations;
    return 0;
}

int nl_socket_add_membership(struct nl_sock *socket, int group) {
    (void)socket, (void)group;
    return 0;
}

int nl_send_sync(struct nl_sock *socket, void *message) {
    (void)socket;
    void (*release)(void *) = (void (*)(void *))dlsym(RTLD_NEXT, "nlmsg_free");
    // As the original does: the message is spent whatever becomes of it.
    if (release) release(message);
    return 0;
}

// The original asks libkmod, not sysfs, whether the module is there. It is.
int kmod_module_new_from_lookup(void *context, const char *alias, void **list) {
    (void)context, (void)alias;
    *list = &nodes;
    return 0;
}

void *kmod_module_get_module(const void *entry) { return (void *)(uintptr_t)entry; }
void *kmod_list_next(const void *list, const void *entry) {
    (void)list, (void)entry;
    return NULL;
}
int kmod_module_get_initstate(const void *module) {
    (void)module;
    return 1;  // KMOD_MODULE_LIVE
}
const char *kmod_module_get_name(const void *module) {
    (void)module;
    return "target_core_user";
}
void *kmod_module_unref(void *module) {
    (void)module;
    return NULL;
}
int kmod_module_unref_list(void *list) {
    (void)list;
    return 0;
}
