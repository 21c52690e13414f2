#define _GNU_SOURCE
#include "CSystemd.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#define ROOT "/org/kernel/TCMUService1"
#define HANDLER_MANAGER ROOT "/HandlerManager1"
#define NAME "org.kernel.TCMUService1"
#define MANAGER_INTERFACE NAME ".HandlerManager1"

/// Bound: more subtypes than any daemon has.
#define SUBTYPES 16

struct subtype {
    // The table below reads it by its offset.
    char *description;
    unsigned number;
    struct csystemd_bus *bus;
};

/// Bound: calls whose user is being asked for, in all and of one connection. The bus answers at once, so more of one caller's are
/// a flood; all connections that it lets a user have (max_connections_per_user, 256) cannot fill it with theirs.
#define ASKED_AT_ONCE 5000
#define ASKED_BY_ONE 16

struct asking;

struct csystemd_bus {
    sd_bus *connection;
    unsigned asked;
    struct asking *first_asked;
    const struct csystemd_callbacks *callbacks;
    void *owner;
    struct subtype subtypes[SUBTYPES];
    unsigned count;
};

struct csystemd_call {
    sd_bus_message *message;
};

/// A call of CheckConfig whose caller is not known yet.
struct asking {
    struct subtype *subtype;
    sd_bus_message *message;
    struct asking *next;
};

static unsigned asked_by(const struct csystemd_bus *bus, const char *sender) {
    unsigned count = 0;
    for (const struct asking *other = bus->first_asked; other != NULL; other = other->next)
        count += strcmp(sd_bus_message_get_sender(other->message), sender) == 0;
    return count;
}

static void stop_asking(void *userdata) {
    struct asking *asking = userdata;
    struct csystemd_bus *bus = asking->subtype->bus;
    struct asking **place = &bus->first_asked;
    while (*place != asking) place = &(*place)->next;
    *place = asking->next;
    bus->asked--;
    sd_bus_message_unref(asking->message);
    free(asking);
}

static int caller_is_known(sd_bus_message *answer, void *userdata, sd_bus_error *error) {
    struct asking *asking = userdata;
    struct csystemd_bus *bus = asking->subtype->bus;
    uint32_t user = 0;
    const char *text = NULL;
    (void)error;
    if (sd_bus_message_is_method_error(answer, NULL) || sd_bus_message_read(answer, "u", &user) < 0 ||
        (user != 0 && user != geteuid())) {
        sd_bus_reply_method_errorf(asking->message, SD_BUS_ERROR_ACCESS_DENIED, "only root may check configurations");
        return 1;
    }
    if (sd_bus_message_read(asking->message, "s", &text) < 0) return 1;
    struct csystemd_call *call = malloc(sizeof *call);
    if (call == NULL) return -ENOMEM;
    call->message = sd_bus_message_ref(asking->message);
    bus->callbacks->check(bus->owner, asking->subtype->number, call, text);
    return 1;
}

static int check_config(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    struct subtype *subtype = userdata;
    struct csystemd_bus *bus = subtype->bus;
    sd_bus_slot *slot = NULL;
    const char *sender = sd_bus_message_get_sender(message);
    if (sender == NULL) return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "a caller without a name");
    if (bus->asked >= ASKED_AT_ONCE || asked_by(bus, sender) >= ASKED_BY_ONE)
        return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many calls at once");
    struct asking *asking = malloc(sizeof *asking);
    if (asking == NULL) return -ENOMEM;
    *asking = (struct asking){.subtype = subtype, .message = sd_bus_message_ref(message), .next = bus->first_asked};
    bus->first_asked = asking;
    bus->asked++;
    int outcome =
        sd_bus_call_method_async(bus->connection, &slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                 "org.freedesktop.DBus", "GetConnectionUnixUser", caller_is_known, asking, "s", sender);
    if (outcome < 0) {
        stop_asking(asking);
        return outcome;
    }
    sd_bus_slot_set_destroy_callback(slot, stop_asking);
    sd_bus_slot_set_floating(slot, 1);
    sd_bus_slot_unref(slot);
    return 1;
}

// A check opens files and connects to clusters with the daemon's rights, so it is root's. sd-bus would find that out in a
// call that waits for the bus; here, nothing may wait. Hence UNPRIVILEGED, and the question above.
static const sd_bus_vtable subtype_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("ConfigDesc", "s", NULL, offsetof(struct subtype, description), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_METHOD_WITH_ARGS("CheckConfig", SD_BUS_ARGS("s", configstr),
                            SD_BUS_RESULT("b", is_valid, "s", message), check_config,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const char manager_introspection[] =
    "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\" "
    "\"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n"
    "<node><interface name=\"" MANAGER_INTERFACE "\"><method name=\"RegisterHandler\">"
    "<arg type=\"s\" name=\"subtype\" direction=\"in\"/><arg type=\"s\" name=\"cfgstr_desc\" direction=\"in\"/>"
    "<arg type=\"b\" name=\"succeeded\" direction=\"out\"/><arg type=\"s\" name=\"message\" direction=\"out\"/>"
    "</method></interface></node>\n";

// Raw, without a table: whatever has a table below ROOT is listed by the ObjectManager, and targetcli makes a backstore
// kind of everything listed.
static int handler_manager(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    (void)userdata;
    (void)error;
    if (sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Introspectable", "Introspect"))
        return sd_bus_reply_method_return(message, "s", manager_introspection);
    if (!sd_bus_message_is_method_call(message, MANAGER_INTERFACE, "RegisterHandler")) return 0;
    if (!sd_bus_message_has_signature(message, "ss"))
        return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_INVALID_ARGS, "expected two strings");
    return sd_bus_reply_method_return(message, "bs", 0,
                                      "handlers in other processes are not served by this daemon: its subtypes are "
                                      "the objects below " ROOT);
}

static int name_answered(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    struct csystemd_bus *bus = userdata;
    uint32_t outcome = 0;
    (void)error;
    const sd_bus_error *failure = sd_bus_message_get_error(message);
    if (failure != NULL) {
        int code = -sd_bus_error_get_errno(failure);
        bus->callbacks->named(bus->owner, code < 0 ? code : -EIO);
        return 1;
    }
    int code = sd_bus_message_read(message, "u", &outcome);
    // 4: it is ours already.
    bus->callbacks->named(bus->owner, code < 0 ? code : outcome == 4 ? 1 : (int)outcome);
    return 1;
}

// The owner before us has gone and we were next in the queue.
static int message_came(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    struct csystemd_bus *bus = userdata;
    const char *sender = sd_bus_message_get_sender(message), *name = NULL;
    (void)error;
    if (!sd_bus_message_is_signal(message, "org.freedesktop.DBus", "NameAcquired")) return 0;
    // Anybody may send us a signal of that name; the sender is the bus's own word.
    if (sender == NULL || strcmp(sender, "org.freedesktop.DBus") != 0) return 0;
    if (sd_bus_message_read(message, "s", &name) > 0 && strcmp(name, NAME) == 0) bus->callbacks->named(bus->owner, 1);
    return 0;
}

int csystemd_open(const char *address, const struct csystemd_callbacks *callbacks, void *owner,
                  struct csystemd_bus **result) {
    struct csystemd_bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL) return -ENOMEM;
    bus->callbacks = callbacks;
    bus->owner = owner;
    if (address == NULL) address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
    if (address == NULL || *address == '\0') address = "unix:path=/run/dbus/system_bus_socket";
    int outcome = sd_bus_new(&bus->connection);
    if (outcome >= 0) outcome = sd_bus_set_address(bus->connection, address);
    if (outcome >= 0) outcome = sd_bus_set_bus_client(bus->connection, 1);
    if (outcome >= 0) outcome = sd_bus_set_description(bus->connection, "tcmud");
    if (outcome >= 0) outcome = sd_bus_set_watch_bind(bus->connection, 1);
    if (outcome >= 0) outcome = sd_bus_set_exit_on_disconnect(bus->connection, 0);
    // A bus that does not say who a caller is, is not waited for.
    if (outcome >= 0) outcome = sd_bus_set_method_call_timeout(bus->connection, 10 * 1000 * 1000);
    if (outcome >= 0) outcome = sd_bus_add_filter(bus->connection, NULL, message_came, bus);
    if (outcome >= 0) outcome = sd_bus_add_object_manager(bus->connection, NULL, ROOT);
    if (outcome >= 0) outcome = sd_bus_add_object(bus->connection, NULL, HANDLER_MANAGER, handler_manager, bus);
    if (outcome >= 0) outcome = sd_bus_start(bus->connection);
    if (outcome < 0) {
        csystemd_close(bus);
        return outcome;
    }
    *result = bus;
    return 0;
}

int csystemd_add_subtype(struct csystemd_bus *bus, unsigned number, const char *name, const char *description) {
    if (bus->count == SUBTYPES) return -ENOSPC;
    char *path = NULL;
    int outcome = sd_bus_path_encode(ROOT, name, &path);
    if (outcome < 0) return outcome;
    struct subtype *subtype = &bus->subtypes[bus->count];
    *subtype = (struct subtype){.description = strdup(description), .number = number, .bus = bus};
    if (subtype->description == NULL) outcome = -ENOMEM;
    else outcome = sd_bus_add_object_vtable(bus->connection, NULL, path, NAME, subtype_table, subtype);
    if (outcome >= 0) bus->count++;
    else free(subtype->description);
    free(path);
    return outcome < 0 ? outcome : 0;
}

int csystemd_request_name(struct csystemd_bus *bus) {
    // Queued: when the original gives it up, it is ours.
    int outcome = sd_bus_request_name_async(bus->connection, NULL, NAME, SD_BUS_NAME_QUEUE, name_answered, bus);
    return outcome < 0 ? outcome : 0;
}

int csystemd_process(struct csystemd_bus *bus) { return sd_bus_process(bus->connection, NULL); }

bool csystemd_is_ready(struct csystemd_bus *bus) { return sd_bus_is_ready(bus->connection) > 0; }

int csystemd_wait_for(struct csystemd_bus *bus, short *events, uint64_t *deadline) {
    int descriptor = sd_bus_get_fd(bus->connection);
    if (descriptor < 0) return descriptor;
    int wanted = sd_bus_get_events(bus->connection);
    if (wanted < 0) return wanted;
    *events = (short)wanted;
    int outcome = sd_bus_get_timeout(bus->connection, deadline);
    return outcome < 0 ? outcome : descriptor;
}

void csystemd_close(struct csystemd_bus *bus) {
    // Not flushed: that waits for a peer that may have stopped to read.
    sd_bus_close_unref(bus->connection);
    for (unsigned index = 0; index < bus->count; index++) free(bus->subtypes[index].description);
    free(bus);
}

int csystemd_answer(struct csystemd_call *call, bool valid, const char *text) {
    int outcome = sd_bus_reply_method_return(call->message, "bs", (int)valid, text);
    csystemd_forget(call);
    return outcome < 0 ? outcome : 0;
}

void csystemd_forget(struct csystemd_call *call) {
    sd_bus_message_unref(call->message);
    free(call);
}

int csystemd_notify(const char *state) { return sd_notify(0, state); }
