internal import BlockBackend
internal import Reactor
internal import SCSI
internal import TCMURing

/// Commands that take too long, and the coming and going of the ring.
extension LogicalUnit where Backend: ~Copyable {
    /// True while something in flight has a time limit.
    var watchesDeadlines: Bool {
        !awaitingFacts.isEmpty || !awaitingRight.isEmpty || accessStateChange?.slot != nil
            || (deadline != nil || kernelPatience != nil) && slots.inUse > lateCommands
    }

    /// Reports commands whose time is up: the unit's own limit (`tcmur_cmd_time_out`) or the kernel's (`cmd_time_out`).
    ///
    /// Such a command is not answered early: the backend may still write into its buffer, which the kernel would
    /// give to another command, and onto the medium. Until it comes back, new commands that touch the medium are answered
    /// BUSY: a newer one must not be overtaken by what its initiator has been told is over. One that has not begun is
    /// not begun any more.
    mutating func checkDeadlines(now: Int64) {
        self.now = now
        // Whether the kernel has a limit at all is not known before configfs was read.
        if facts == nil && kernelPatience != nil && awaitingFacts.isEmpty && slots.inUse > 0
            && now &- factsWanted > profile.factsPatience
        {
            factsWanted = now
            report(.factsNeeded(FactsRequest(number: 0, wantsExclusion: false)))
        }
        var first: CDB?
        let before = lateCommands
        for slot in 0..<slots.initialised {
            let record = slots[slot]
            guard record.pointee.state == .inFlight, !record.pointee.isLate,
                min(record.pointee.deadline, record.pointee.expiry) <= now, record.pointee.stage != .survey,
                !waitsForPeer(slot)
            else { continue }
            record.pointee.isLate = true
            lateCommands += 1
            counters.late &+= 1
            first = first ?? record.pointee.cdb
        }
        if let first {
            let limit = min(deadline ?? .max, kernelPatience ?? .max)
            report(.commandsLate(first, count: lateCommands - before, milliseconds: limit))
        }
        endWaiting { $0.expiry <= now }
        stopAwaitingAccessStates()
        checkAwaitingRight()
        if !awaitingFacts.isEmpty { stopAwaitingFacts() }
    }

    /// The step under way is another unit's, whose storage may hang: this unit's medium has nothing of it under way.
    private func waitsForPeer(_ slot: Int) -> Bool {
        if case .peer = slots[slot].pointee.extras?.run?.step?.endpoint { true } else { false }
    }

    /// Answers commands that wait for others that they overlap, and have not begun, without carrying them out.
    private mutating func endWaiting(where isOver: (borrowing CommandSlot) -> Bool) {
        var position = 0
        while position < gate.waiting.count {
            let slot = gate.waiting[position]
            let record = slots[slot]
            // Long commands look themselves, and an erasure goes on without the kernel.
            guard record.pointee.extras?.run == nil, isOver(record.pointee) else {
                position += 1
                continue
            }
            gate.leaveQueue(at: position, exclusive: record.pointee.stage.isLimited)
            gateMoved = true
            finish(slots.resume(slot, from: .excluded), .status(record.pointee.isAborted ? .taskAborted : .busy))
        }
    }

    // MARK: - Task management

    /// A task management function has hit these commands, and the kernel waits for their answers. What has not begun is not
    /// begun any more, and what has several steps ends after the one under way; an erasure goes on without its ring entry
    /// (SBC-3 4.11.2). A single operation ends by itself, and if it changes the medium, what overlaps it waits: who was
    /// told that the command is over may have sent another one, by another path too.
    mutating func letGo(of notice: TaskManagementNotice) {
        // One pass over the slots, however many commands are named: a reset of a busy unit names all of them.
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1024) { named in
            named.initialize(repeating: 0)
            for index in 0..<notice.commandCount {
                guard let identifier = ring?.commandID(index, of: notice) else { continue }
                named[Int(identifier >> 6)] |= 1 << UInt64(identifier & 63)
            }
            for slot in 0..<slots.initialised {
                let identifier = slots[slot].pointee.commandID
                guard named[Int(identifier >> 6)] & 1 << UInt64(identifier & 63) != 0 else { continue }
                letGo(of: slot)
            }
        }
        endWaiting { $0.isAborted }
    }

    private mutating func letGo(of slot: Int) {
        let record = slots[slot]
        guard record.pointee.state != .free, !record.pointee.isDetached else { return }
        if record.pointee.extras?.run?.command == .erasure || beginsErasure(slot) {
            return detach(slot, .status(.taskAborted))
        }
        record.pointee.isAborted = true
        if record.pointee.state == .awaitingRight { return abortAwaitingRight(slot) }
        if record.pointee.state == .yielded, let position = awaitingRoom.firstIndex(of: slot) {
            awaitingRoom.remove(at: position)
            yielded.append(slot)
        }
        if record.pointee.state == .inFlight, changesMedium(slot), !gate.running.contains(slot) { gate.start(slot) }
    }

    /// The operation under way may leave the medium different.
    private func changesMedium(_ slot: Int) -> Bool {
        slots[slot].pointee.stage.changesMedium ?? slots[slot].pointee.extras?.run?.step?.changesMedium ?? false
    }

    // MARK: - The ring

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
