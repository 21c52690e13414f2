#ifndef SWIFT_TCMU_CNETLINK_H
#define SWIFT_TCMU_CNETLINK_H

#include <netlink/netlink.h>
#include <netlink/genl/genl.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/mngt.h>

#endif
