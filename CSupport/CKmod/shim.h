#ifndef SWIFT_TCMU_CKMOD_H
#define SWIFT_TCMU_CKMOD_H

#include <libkmod.h>

#endif
