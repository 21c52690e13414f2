#ifndef SWIFT_TCMU_CRBD_H
#define SWIFT_TCMU_CRBD_H

#include <rbd/librbd.h>
#include <rados/librados.h>

#endif
