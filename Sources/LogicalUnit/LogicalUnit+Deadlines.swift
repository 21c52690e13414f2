internal import BlockBackend
internal import Reactor
internal import SCSI
internal import TCMURing

/// Commands that take too long, and the coming and going of the ring.
extension LogicalUnit where Backend: ~Copyable {
    /// True while something in flight has a time limit.
    var watchesDeadlines: Bool {
        !awaitingFacts.isEmpty || !awaitingRight.isEmpty || accessStateChange?.slot != nil
            || deadline != nil && slots.inUse > lateCommands
    }

    /// Reports commands whose time is up.
    ///
    /// Such a command is not answered early: the backend may still write into its buffer, which the kernel would
    /// give to another command. Until it comes back, new commands that touch the medium are answered BUSY, and
    /// the kernel's own `cmd_time_out` tells the initiator.
    mutating func checkDeadlines(now: Int64) {
        self.now = now
        var first: CDB?
        let before = lateCommands
        for slot in 0..<slots.initialised {
            let record = slots[slot]
            guard record.pointee.state == .inFlight, !record.pointee.isLate, record.pointee.deadline <= now else {
                continue
            }
            record.pointee.isLate = true
            lateCommands += 1
            counters.late &+= 1
            first = first ?? record.pointee.cdb
        }
        if let first {
            report(.commandsLate(first, count: lateCommands - before, milliseconds: deadline ?? 0))
        }
        stopAwaitingAccessStates()
        checkAwaitingRight()
        if !awaitingFacts.isEmpty { stopAwaitingFacts() }
    }

    /// Gives the unit a new ring after the old one was lost or dropped.
    mutating func install(_ ring: consuming CommandRing) {
        precondition(slots.inUse == 0, "a ring is replaced while commands are in flight")
        saysLength = ring.features.contains(.readLength)
        self.ring = consume ring
        mode = .serving
    }

    /// Unmaps the ring and closes its node.
    mutating func dropRing() {
        precondition(slots.inUse == 0, "a ring is dropped while commands are in flight")
        mode = .ringless
        ring = nil
    }
}
