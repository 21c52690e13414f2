// Counts heap allocations of the whole process; linked into the allocation tests and the benchmark only.
#ifndef SWIFT_TCMU_CALLOCATIONPROBE_H
#define SWIFT_TCMU_CALLOCATIONPROBE_H

#include <stdint.h>

/// Calls of malloc, calloc, realloc, posix_memalign and aligned_alloc by the calling thread since it started.
uint64_t callocation_probe_thread_count(void);
/// The same for all threads.
uint64_t callocation_probe_process_count(void);

#endif
