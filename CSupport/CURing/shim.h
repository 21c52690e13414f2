#ifndef SWIFT_TCMU_CURING_H
#define SWIFT_TCMU_CURING_H

#include <sys/uio.h>
#include <liburing.h>

#endif
