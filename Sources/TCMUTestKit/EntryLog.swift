/// The simulator's own record of the entries between `lastCleaned` and head, oldest first.
///
/// The kernel walks by the lengths in shared memory; this copy tells whether the daemon left them alone.
struct EntryLog: ~Copyable {
    struct Entry {
        var offset: UInt32
        /// Length and opcode as posted.
        var lengthAndOpcode: UInt32
        /// Offset of the CDB from the start of the map and how much of it `cdb` holds; 0 for PAD and TMR.
        var cdbOffset: UInt32 = 0
        var cdbLength: UInt32 = 0
        /// First 16 bytes of the CDB.
        var cdb: (UInt64, UInt64) = (0, 0)

        var length: UInt32 { lengthAndOpcode & ~7 }
        var opcode: Int { Int(lengthAndOpcode & 7) }
    }

    private let slots: UnsafeMutablePointer<Entry>
    private let capacity: Int
    private var first = 0
    private(set) var count = 0

    /// Room for `capacity` entries.
    init(capacity: Int) {
        self.capacity = capacity
        slots = .allocate(capacity: capacity)
    }

    deinit {
        slots.deallocate()
    }

    mutating func append(_ entry: Entry) {
        precondition(count < capacity, "more entries than an 8-byte grid of the ring holds")
        let index = first + count
        slots[index < capacity ? index : index - capacity] = entry
        count += 1
    }

    var oldest: Entry? { count == 0 ? nil : slots[first] }

    mutating func removeOldest() {
        precondition(count > 0)
        first = first + 1 == capacity ? 0 : first + 1
        count -= 1
    }

    mutating func removeAll() {
        first = 0
        count = 0
    }
}
