// The allocator of a program that links to tcmalloc: librbd allocates some dozens of times per command, on threads of
// its own, and glibc's malloc is slow at freeing what another thread has allocated.
#ifndef SWIFT_TCMU_CALLOCATOR_H
#define SWIFT_TCMU_CALLOCATOR_H

/// The file that malloc comes from in this process, whatever was linked or preloaded; NULL if that cannot be told.
const char *callocator_file(void);
/// tcmalloc's version as it says it itself, "gperftools 2.10". Calling it is what makes the linker keep the library.
const char *callocator_tcmalloc_version(void);

#endif
