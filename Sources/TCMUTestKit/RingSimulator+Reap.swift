internal import CTCMU
internal import Glibc

// Completions out, as tcmu_handle_completions and tcmu_handle_completion do it.
extension RingSimulator {
    /// Handles completions if the daemon has rung since the last call.
    ///
    /// - Parameter withoutDoorbell: looks at the tail anyhow, as the kernel's reclaim worker may at any moment.
    /// - Returns: the commands finished, in the order of their slots.
    public func reapCompletions(withoutDoorbell: Bool = false) -> [RingCompletion] {
        guard drainDoorbell() > 0 || withoutDoorbell else { return [] }
        var finished: [RingCompletion] = []
        while let slot = nextFinishedSlot() {
            finished.append(completion(of: slot))
            finish(slot)
        }
        return finished
    }

    /// As ``reapCompletions(withoutDoorbell:)`` without copying data or touching the heap: calls `body` with id
    /// and status of each command.
    ///
    /// - Returns: how many there were.
    @discardableResult
    public func reapBare(withoutDoorbell: Bool = false, _ body: (UInt16, UInt8) -> Void = { _, _ in }) -> Int {
        guard withoutDoorbell || drainDoorbell() > 0 else { return 0 }
        var count = 0
        while let slot = nextFinishedSlot() {
            body(slot.id, ctcmu_load_u8(slot.entry + 8))
            finish(slot)
            count += 1
        }
        return count
    }

    /// True when the daemon has moved the tail past the last entry looked at. Reads memory only.
    public var hasFinishedEntries: Bool { ctcmu_load_tail(base) != lastCleaned }

    /// Waits until the daemon rings.
    ///
    /// - Returns: false if it did not within `milliseconds`.
    public func waitForDoorbell(milliseconds: Int32) -> Bool {
        var watch = pollfd(fd: doorbellReader, events: Int16(POLLIN), revents: 0)
        return poll(&watch, 1, milliseconds) > 0
    }

    /// Collects completions until `count` commands have finished.
    ///
    /// - Returns: fewer if the daemon falls silent for `milliseconds` or breaks the ring.
    public func reapCompletions(count: Int, patience milliseconds: Int32 = 20_000) -> [RingCompletion] {
        var finished: [RingCompletion] = []
        while finished.count < count, !isBroken {
            let batch = reapCompletions()
            finished += batch
            if batch.isEmpty, !waitForDoorbell(milliseconds: milliseconds) { break }
        }
        return finished
    }

    /// Waits for the end of one command, and forgets what else ends meanwhile.
    ///
    /// - Returns: nil if the daemon is silent for `milliseconds`.
    public func completion(of id: UInt16, patience milliseconds: Int32 = 20_000) -> RingCompletion? {
        while !isBroken {
            let batch = reapCompletions()
            if let own = batch.first(where: { $0.id == id }) { return own }
            if batch.isEmpty, !waitForDoorbell(milliseconds: milliseconds) { return nil }
        }
        return nil
    }

    /// Takes the doorbells rung so far.
    ///
    /// - Returns: how many.
    @discardableResult
    public func drainDoorbell() -> Int {
        var bytes = 0
        while true {
            let count = read(doorbellReader, doorbellScrap.baseAddress, doorbellScrap.count)
            if count > 0 { bytes += count }
            if count < doorbellScrap.count && !(count < 0 && errno == EINTR) { break }
        }
        if bytes % 4 != 0 { violate(.tornDoorbell(bytes: bytes)) }
        doorbells += bytes / 4
        return bytes / 4
    }

    /// A CMD slot that the tail has passed.
    struct FinishedSlot {
        let entry: UnsafeMutableRawPointer
        let length: Int
        let id: UInt16
        let uflags: UInt8
    }

    private func nextFinishedSlot() -> FinishedSlot? {
        while !isBroken, let tail = checkedTail(), tail != lastCleaned, let record = entries.oldest {
            let entry = base + geometry.ringOffset + Int(lastCleaned)
            let size = UInt32(geometry.ringBytes)
            if (tail + size - lastCleaned) % size < record.length {
                violate(.tailInsideEntry(tail, entryLength: record.length))
            } else if ctcmu_load_u32(entry) != record.lengthAndOpcode {
                violate(.entryHeaderChanged(slot: lastCleaned))
            } else if record.opcode == CTCMU_OP_PAD || record.opcode == CTCMU_OP_TMR {
                advanceCleaned(by: Int(record.length))
            } else {
                return checkedSlot(entry, record)
            }
        }
        return nil
    }

    private func checkedTail() -> UInt32? {
        let tail = ctcmu_load_tail(base)
        let size = UInt32(geometry.ringBytes)
        guard tail < size, (tail + size - lastCleaned) % size <= (head + size - lastCleaned) % size else {
            violate(.tailOutOfRange(tail))
            return nil
        }
        return tail
    }

    private func checkedSlot(_ entry: UnsafeMutableRawPointer, _ record: EntryLog.Entry) -> FinishedSlot? {
        let id = ctcmu_load_u16(entry + 4)
        let uflags = ctcmu_load_u8(entry + 7)
        guard id != 0, commands[Int(id)].state == .inRing else {
            violate(.unknownCommandID(id, slot: lastCleaned))
            return nil
        }
        var cdb = record.cdb
        guard memcmp(&cdb, base + Int(record.cdbOffset), Int(record.cdbLength)) == 0 else {
            violate(.cdbChanged(slot: lastCleaned))
            return nil
        }
        let offered =
            CTCMU_UFLAG_UNKNOWN_OP
            | (Int(geometry.flags) & CTCMU_CAP_READ_LEN != 0 ? CTCMU_UFLAG_READ_LEN : 0)
            | (Int(geometry.flags) & CTCMU_CAP_KEEP_BUF != 0 ? CTCMU_UFLAG_KEEP_BUF : 0)
        guard Int(uflags) & ~offered == 0 else {
            violate(.flagNotOffered(uflags, slot: lastCleaned))
            return nil
        }
        return FinishedSlot(entry: entry, length: Int(record.length), id: id, uflags: uflags)
    }

    private func finish(_ slot: FinishedSlot) {
        if Int(slot.uflags) & CTCMU_UFLAG_KEEP_BUF != 0 {
            commands[Int(slot.id)].state = .kept
            inFlight -= 1
        } else {
            release(slot.id)
        }
        advanceCleaned(by: slot.length)
    }

    private func advanceCleaned(by length: Int) {
        entries.removeOldest()
        lastCleaned = UInt32((Int(lastCleaned) + length) % geometry.ringBytes)
    }

    private func violate(_ violation: RingViolation) {
        violations.append(violation)
        isBroken = true
    }

    private func completion(of slot: FinishedSlot) -> RingCompletion {
        let expected = Int(commands[Int(slot.id)].inBytes)
        if Int(slot.uflags) & CTCMU_UFLAG_UNKNOWN_OP != 0 {
            return RingCompletion(
                id: slot.id, status: 0x02, sense: [], dataIn: [], residual: 0, isUnknownOpcode: true)
        }
        let status = ctcmu_load_u8(slot.entry + 8)
        let readLength = Int(ctcmu_load_u32(slot.entry + 12))
        // READ_LEN counts only with a length above zero, and only for commands that read.
        let hasLength = Int(slot.uflags) & CTCMU_UFLAG_READ_LEN != 0 && readLength > 0 && expected > 0
        let isCheckCondition = status == 0x02
        let given = hasLength ? min(readLength, expected) : isCheckCondition ? 0 : expected
        var dataIn: [UInt8] = []
        if given > 0 {
            dataIn = [UInt8](unsafeUninitializedCapacity: expected) { buffer, count in
                forEachPiece(of: slot.id, dataIn: true) { piece in
                    let rest = UnsafeMutableRawBufferPointer(
                        rebasing: UnsafeMutableRawBufferPointer(buffer)[count...])
                    rest.copyMemory(from: UnsafeRawBufferPointer(piece))
                    count += piece.count
                }
            }
            dataIn.removeLast(expected - given)
        }
        let senseField = UnsafeRawBufferPointer(start: slot.entry + 16, count: Int(CTCMU_SENSE_SIZE))
        return RingCompletion(
            id: slot.id, status: status, sense: isCheckCondition ? Array(senseField) : [], dataIn: dataIn,
            residual: hasLength ? expected - given : 0, isUnknownOpcode: false)
    }
}
