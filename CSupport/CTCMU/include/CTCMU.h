// The TCMU ring as the kernel lays it out: linux/target_core_user.h, mailbox version 2.
//
// The kernel's header is not included: its 64-byte-aligned mailbox is invisible to Swift's importer and its
// linux/uio.h defines struct iovec a second time. Offsets are spelled here instead and checked below against
// the same structs written out, so that a wrong one does not compile. Every field that the other side writes
// is read through a function of this file, once, with the memory ordering that the protocol asks for.
#ifndef SWIFT_TCMU_CTCMU_H
#define SWIFT_TCMU_CTCMU_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    CTCMU_MAILBOX_VERSION = 2,
    CTCMU_MAILBOX_SIZE = 128,
    CTCMU_HEADER_SIZE = 8,
    /// Request part of a CMD entry before its iov array.
    CTCMU_REQUEST_SIZE = 48,
    /// A CMD entry is at least this long: the response overlays the request and ends here.
    CTCMU_RESPONSE_SIZE = 112,
    CTCMU_SENSE_SIZE = 96,
    CTCMU_IOVEC_SIZE = 16,
    /// TMR entry before its cmd_ids array.
    CTCMU_TMR_SIZE = 32,
    CTCMU_OP_MASK = 7,
    CTCMU_OP_PAD = 0,
    CTCMU_OP_CMD = 1,
    CTCMU_OP_TMR = 2,
    CTCMU_UFLAG_UNKNOWN_OP = 1,
    CTCMU_UFLAG_READ_LEN = 2,
    CTCMU_UFLAG_KEEP_BUF = 4,
    CTCMU_CAP_OOOC = 1,
    CTCMU_CAP_READ_LEN = 2,
    CTCMU_CAP_TMR = 4,
    CTCMU_CAP_KEEP_BUF = 8,
};

/// Layout twins; used by the assertions and by the ring simulator's tests, never through shared memory.
struct ctcmu_mailbox_layout {
    uint16_t version;
    uint16_t flags;
    uint32_t cmdr_off;
    uint32_t cmdr_size;
    uint32_t cmd_head;
    uint32_t cmd_tail __attribute__((aligned(64)));
} __attribute__((packed, aligned(64)));

struct ctcmu_cmd_layout {
    uint32_t len_op;
    uint16_t cmd_id;
    uint8_t kflags;
    uint8_t uflags;
    union {
        // Not packed on purpose: the kernel's inner structs are not, hence the hole before cdb_off.
        struct {
            uint32_t iov_cnt;
            uint32_t iov_bidi_cnt;
            uint32_t iov_dif_cnt;
            uint64_t cdb_off;
            uint64_t pad1;
            uint64_t pad2;
        } req;
        struct {
            uint8_t scsi_status;
            uint8_t pad1;
            uint16_t pad2;
            uint32_t read_len;
            char sense_buffer[CTCMU_SENSE_SIZE];
        } rsp;
    };
} __attribute__((packed));

_Static_assert(offsetof(struct ctcmu_mailbox_layout, cmd_head) == 12, "mailbox head");
_Static_assert(offsetof(struct ctcmu_mailbox_layout, cmd_tail) == 64, "mailbox tail");
_Static_assert(sizeof(struct ctcmu_mailbox_layout) == CTCMU_MAILBOX_SIZE, "mailbox size");
_Static_assert(offsetof(struct ctcmu_cmd_layout, req.cdb_off) == 24, "cdb_off");
_Static_assert(sizeof(struct ctcmu_cmd_layout) == CTCMU_RESPONSE_SIZE, "entry size");
_Static_assert(offsetof(struct ctcmu_cmd_layout, rsp.read_len) == 12, "read_len");
_Static_assert(offsetof(struct ctcmu_cmd_layout, rsp.sense_buffer) == 16, "sense_buffer");

// Plain reads, once each: `volatile` keeps the compiler from fetching a field a second time after the check.

static inline uint16_t ctcmu_load_u16(const void *at) { return *(const volatile uint16_t *)at; }
static inline uint32_t ctcmu_load_u32(const void *at) { return *(const volatile uint32_t *)at; }
static inline uint64_t ctcmu_load_u64(const void *at) { return *(const volatile uint64_t *)at; }
static inline uint8_t ctcmu_load_u8(const void *at) { return *(const volatile uint8_t *)at; }

static inline void ctcmu_store_u8(void *at, uint8_t value) { *(volatile uint8_t *)at = value; }

/// Ordering: acquire pairs with the kernel's release of cmd_head, so the entries before it are whole.
static inline uint32_t ctcmu_load_head(const void *mailbox) {
    return __atomic_load_n((const uint32_t *)((const char *)mailbox + 12), __ATOMIC_ACQUIRE);
}

/// Asks for the two cache lines of an entry that will be read soon: they were written on another CPU.
static inline void ctcmu_prefetch(const void *entry) {
    __builtin_prefetch(entry, 1);
    __builtin_prefetch((const char *)entry + 64, 1);
}

/// The tail is ours; read back only when attaching to a ring that another process left.
static inline uint32_t ctcmu_load_tail(const void *mailbox) {
    return __atomic_load_n((const uint32_t *)((const char *)mailbox + 64), __ATOMIC_ACQUIRE);
}

/// Ordering: release publishes every response written before it; the kernel may look at any moment.
static inline void ctcmu_store_tail(void *mailbox, uint32_t tail) {
    __atomic_store_n((uint32_t *)((char *)mailbox + 64), tail, __ATOMIC_RELEASE);
}

/// The kernel's side of the protocol, for the ring simulator.
static inline void ctcmu_store_head(void *mailbox, uint32_t head) {
    __atomic_store_n((uint32_t *)((char *)mailbox + 12), head, __ATOMIC_RELEASE);
}

/// Writes a response over the entry at `entry` (the oldest one not completed, whoever's command that was).
/// The caller owns the ordering: nothing is visible to the kernel before ctcmu_store_tail.
static inline void ctcmu_write_response(
    void *entry, uint16_t cmd_id, uint8_t uflags, uint8_t status, uint32_t read_len
) {
    char *at = (char *)entry;
    *(volatile uint16_t *)(at + 4) = cmd_id;
    *(volatile uint8_t *)(at + 7) = uflags;
    *(volatile uint8_t *)(at + 8) = status;
    *(volatile uint32_t *)(at + 12) = read_len;
}

/// Copies `length` bytes of sense (at most 96) into the response at `entry` and zeroes the rest of the field.
static inline void ctcmu_write_sense(void *entry, const void *sense, size_t length) {
    char *at = (char *)entry + 16;
    if (length > CTCMU_SENSE_SIZE) length = CTCMU_SENSE_SIZE;
    memcpy(at, sense, length);
    memset(at + length, 0, CTCMU_SENSE_SIZE - length);
}

#endif
