#define _GNU_SOURCE
#include "CAllocator.h"

#include <dlfcn.h>
#include <stddef.h>

// gperftools/tcmalloc.h, without its C++.
extern const char *tc_version(int *major, int *minor, const char **patch);

const char *callocator_file(void) {
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    return address && dladdr(address, &info) ? info.dli_fname : NULL;
}

const char *callocator_tcmalloc_version(void) { return tc_version(NULL, NULL, NULL); }
