// The daemon's D-Bus objects over libsystemd's sd-bus, whose object tables are macros that only C can expand.
//
// One thread uses a bus, but for what is said otherwise; nothing here waits. Messages were checked against their signature by
// sd-bus.
#ifndef SWIFT_TCMU_CSYSTEMD_H
#define SWIFT_TCMU_CSYSTEMD_H

#include <stdbool.h>
#include <stdint.h>

struct csystemd_bus;
struct csystemd_call;

/// What is called back, on the thread that processes the bus.
struct csystemd_callbacks {
    /// Root, or the daemon's own user, called CheckConfig on the object number `subtype` with `text`, which is valid during the call only. `call` is
    /// the callee's: it ends in csystemd_answer or csystemd_forget.
    void (*check)(void *owner, unsigned subtype, struct csystemd_call *call, const char *text);
    /// The bus has said who owns the name: 1 we do, perhaps told twice; 2 we are in the queue behind another; negative:
    /// -errno.
    void (*named)(void *owner, int outcome);
};

/// A connection to the bus at `address` (NULL: the system bus) that is not up yet: processing it brings it up. Where the
/// address is a socket that is not there, it waits for the socket by inotify. `owner` and `callbacks` outlive it.
/// Returns 0 or -errno.
int csystemd_open(const char *address, const struct csystemd_callbacks *callbacks, void *owner,
                  struct csystemd_bus **bus);
/// Puts /org/kernel/TCMUService1/<name> on the bus, number `subtype`. Returns 0 or -errno.
int csystemd_add_subtype(struct csystemd_bus *bus, unsigned subtype, const char *name, const char *description);
/// Asks for org.kernel.TCMUService1; the answer comes as `named`. To be called once, after the objects are there.
int csystemd_request_name(struct csystemd_bus *bus);
/// Does what there is to do. Returns above 0 if there may be more, 0 if not, -errno when the connection is lost.
int csystemd_process(struct csystemd_bus *bus);
/// Whether the bus has let us in.
bool csystemd_is_ready(struct csystemd_bus *bus);
/// What to poll before the next csystemd_process: descriptor or -errno, poll(2)'s events, and microseconds of
/// CLOCK_MONOTONIC at which to process all the same, UINT64_MAX for never. All three may change with every call.
int csystemd_wait_for(struct csystemd_bus *bus, short *events, uint64_t *deadline);
/// Sends what is still unsent, if that goes without waiting, and ends the connection.
void csystemd_close(struct csystemd_bus *bus);

/// Answers CheckConfig. Returns 0 or -errno; the call is gone in any case.
int csystemd_answer(struct csystemd_call *call, bool valid, const char *text);
/// Lets go of a call that nobody answers; its connection is gone.
void csystemd_forget(struct csystemd_call *call);

/// Tells the service manager, if there is one, as sd_notify(3). Any thread. Returns 0 without a manager, -errno.
int csystemd_notify(const char *state);

#endif
