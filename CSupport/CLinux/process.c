#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

// The kernel's own struct, on x86_64 and on arm64. glibc's sigaction(3) refuses the two signals that it keeps for itself.
struct kernel_action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static int kernel_sigaction(int signal, const struct kernel_action *to, struct kernel_action *was) {
    return syscall(SYS_rt_sigaction, signal, to, was, sizeof(uint64_t)) < 0 ? -errno : 0;
}

static void nothing(int signal) { (void)signal; }

int clinux_signal_disposition(int signal) {
    struct kernel_action now = {0};
    int rc = kernel_sigaction(signal, NULL, &now);
    if (rc < 0) return rc;
    if (now.handler == SIG_DFL) return CLINUX_SIGNAL_DEFAULT;
    return now.handler == SIG_IGN ? CLINUX_SIGNAL_IGNORED : CLINUX_SIGNAL_HANDLED;
}

int clinux_set_signal_disposition(int signal, enum clinux_signal_disposition disposition) {
    if (disposition == CLINUX_SIGNAL_HANDLED) {
        struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
        return sigaction(signal, &action, NULL) < 0 ? -errno : 0;
    }
    struct kernel_action action = {.handler = disposition == CLINUX_SIGNAL_IGNORED ? SIG_IGN : SIG_DFL};
    return kernel_sigaction(signal, &action, NULL);
}

static void fill(sigset_t *set, const int *signals, int count) {
    sigemptyset(set);
    for (int i = 0; i < count; i++) sigaddset(set, signals[i]);
}

void clinux_block_only(const int *signals, int count) {
    sigset_t set;
    fill(&set, signals, count);
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
}

bool clinux_signal_is_blocked(int signal) {
    sigset_t set;
    return sigprocmask(SIG_SETMASK, NULL, &set) == 0 && sigismember(&set, signal) == 1;
}

int clinux_signal_descriptor(const int *signals, int count) {
    sigset_t set;
    fill(&set, signals, count);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int clinux_take_signal(int fd, int *sender) {
    struct signalfd_siginfo info;
    ssize_t count;
    do count = read(fd, &info, sizeof info);
    while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    if (count != sizeof info) return -EIO;
    *sender = info.ssi_code <= 0 ? (int)info.ssi_pid : 0;
    return (int)info.ssi_signo;
}

int clinux_set_dumpable(bool dumpable) { return prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0) < 0 ? -errno : 0; }

bool clinux_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1; }

static int number(enum clinux_limit limit) {
    switch (limit) {
    case CLINUX_LIMIT_DESCRIPTORS: return RLIMIT_NOFILE;
    case CLINUX_LIMIT_PROCESSES: return RLIMIT_NPROC;
    case CLINUX_LIMIT_LOCKED_MEMORY: return RLIMIT_MEMLOCK;
    case CLINUX_LIMIT_ADDRESS_SPACE: return RLIMIT_AS;
    case CLINUX_LIMIT_DATA: return RLIMIT_DATA;
    case CLINUX_LIMIT_FILE_SIZE: return RLIMIT_FSIZE;
    case CLINUX_LIMIT_CPU_TIME: return RLIMIT_CPU;
    case CLINUX_LIMIT_STACK: return RLIMIT_STACK;
    }
    return -1;
}

static uint64_t value(rlim_t limit) { return limit == RLIM_INFINITY ? UINT64_MAX : limit; }

int clinux_get_limit(enum clinux_limit limit, uint64_t *soft, uint64_t *hard) {
    struct rlimit now;
    if (getrlimit(number(limit), &now) < 0) return -errno;
    *soft = value(now.rlim_cur);
    *hard = value(now.rlim_max);
    return 0;
}

int clinux_raise_limit(enum clinux_limit limit) {
    struct rlimit now;
    if (getrlimit(number(limit), &now) < 0) return -errno;
    now.rlim_cur = now.rlim_max;
    return setrlimit(number(limit), &now) < 0 ? -errno : 0;
}
