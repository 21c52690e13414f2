internal import CTCMU
internal import Glibc

// Entries in, as queue_cmd_ring, queue_tmr_ring and ring_insert_padding do it.
extension RingSimulator {
    /// Puts a command in the ring; the daemon is not notified.
    ///
    /// - Parameters:
    ///   - cdb: its bytes; the entry holds them padded to 8.
    ///   - dataOut: bytes from the initiator.
    ///   - dataInLength: bytes that the initiator has room for. With both directions the command is
    ///     bidirectional: the Data-In iovecs follow and are counted apart.
    ///   - operation: the entry's opcode in place of TCMU_OP_CMD, for entries of a kernel yet to be written.
    /// - Returns: its id, or nil while ring, data area or ids are used up.
    public func post(
        cdb: [UInt8], dataOut: [UInt8] = [], dataInLength: Int = 0, operation: UInt8 = 1
    ) -> UInt16? {
        let id = cdb.withUnsafeBytes {
            place($0, outBytes: dataOut.count, inBytes: dataInLength, operation: UInt32(operation & 7))
        }
        guard id != 0 else { return nil }
        dataOut.withUnsafeBytes { source in
            var copied = 0
            forEachPiece(of: id, dataIn: false) { piece in
                piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[copied..<copied + piece.count]))
                copied += piece.count
            }
        }
        if let poison {
            forEachPiece(of: id, dataIn: true) { $0.initializeMemory(as: UInt8.self, repeating: poison) }
        }
        publishHead()
        return id
    }

    /// As ``post(cdb:dataOut:dataInLength:operation:)`` without touching the data area or the heap, for benchmarks and
    /// allocation tests.
    ///
    /// - Returns: its id, or 0 while there is no room.
    public func postBare(_ cdb: UnsafeRawBufferPointer, outBytes: Int, inBytes: Int) -> UInt16 {
        let id = place(cdb, outBytes: outBytes, inBytes: inBytes, operation: UInt32(CTCMU_OP_CMD))
        if id != 0 { publishHead() }
        return id
    }

    /// Puts a task management notification in the ring.
    ///
    /// - Parameters:
    ///   - type: 1 ABORT TASK, 2 ABORT TASK SET, 5 LUN RESET and so on (TCMU_TMR_*).
    ///   - ids: the commands it concerns.
    /// - Returns: false while the ring is full.
    public func postTaskManagement(type: UInt8, ids affected: [UInt16]) -> Bool {
        let length = (Int(CTCMU_TMR_SIZE) + 2 * affected.count + 7) & ~7
        guard makeRoom(length) else { return false }
        let entry = base + geometry.ringOffset + Int(head)
        memset(entry, 0, length)
        let lengthAndOpcode = UInt32(length) | UInt32(CTCMU_OP_TMR)
        entry.storeBytes(of: lengthAndOpcode, as: UInt32.self)
        entry.storeBytes(of: type, toByteOffset: 8, as: UInt8.self)
        entry.storeBytes(of: UInt32(affected.count), toByteOffset: 12, as: UInt32.self)
        for (index, id) in affected.enumerated() {
            entry.storeBytes(of: id, toByteOffset: Int(CTCMU_TMR_SIZE) + 2 * index, as: UInt16.self)
        }
        entries.append(EntryLog.Entry(offset: head, lengthAndOpcode: lengthAndOpcode))
        advanceHead(by: length)
        publishHead()
        return true
    }

    /// Fills the entry at head and moves the private head past it. Returns the id, or 0 for no room.
    private func place(
        _ cdb: UnsafeRawBufferPointer, outBytes: Int, inBytes: Int, operation: UInt32
    ) -> UInt16 {
        let blockCount = geometry.blocks(for: outBytes) + geometry.blocks(for: inBytes)
        guard !isBroken, blockCount <= blocks.free, ids.free > 0 else { return 0 }
        var command = PostedCommand(
            state: .inRing, blockCount: UInt32(blockCount), outBytes: UInt32(outBytes), inBytes: UInt32(inBytes))
        let (outPieces, inPieces) = takeBlocks(for: &command)
        let requestSize = Int(CTCMU_REQUEST_SIZE) + (outPieces + inPieces) * Int(CTCMU_IOVEC_SIZE)
        let baseSize = max(requestSize, Int(CTCMU_RESPONSE_SIZE))
        let length = baseSize + (cdb.count + 7) & ~7
        // The kernel answers such a command itself, with INVALID FIELD IN CDB.
        precondition(length <= geometry.ringBytes / 2, "an entry of \(length) bytes is over half the ring")
        guard makeRoom(length), let number = ids.take() else {
            releaseBlocks(of: command)
            return 0
        }
        let id = UInt16(number)
        commands[number] = command
        highestID = max(highestID, number)

        let entry = base + geometry.ringOffset + Int(head)
        memset(entry, 0, length)
        let lengthAndOpcode = UInt32(length) | operation
        let cdbOffset = geometry.ringOffset + Int(head) + baseSize
        entry.storeBytes(of: lengthAndOpcode, as: UInt32.self)
        entry.storeBytes(of: id, toByteOffset: 4, as: UInt16.self)
        let isBidirectional = outBytes > 0 && inBytes > 0
        let plain = isBidirectional ? outPieces : outPieces + inPieces
        entry.storeBytes(of: UInt32(plain), toByteOffset: 8, as: UInt32.self)
        entry.storeBytes(of: UInt32(isBidirectional ? inPieces : 0), toByteOffset: 12, as: UInt32.self)
        entry.storeBytes(of: UInt64(cdbOffset), toByteOffset: 24, as: UInt64.self)
        var iovec = entry + Int(CTCMU_REQUEST_SIZE)
        for dataIn in [false, true] {
            forEachRun(of: id, dataIn: dataIn) { offset, count in
                iovec.storeBytes(of: UInt64(offset), as: UInt64.self)
                iovec.storeBytes(of: UInt64(count), toByteOffset: 8, as: UInt64.self)
                iovec += Int(CTCMU_IOVEC_SIZE)
            }
        }
        log(cdb, at: cdbOffset, lengthAndOpcode: lengthAndOpcode)
        advanceHead(by: length)
        posted += 1
        inFlight += 1
        return id
    }

    private func log(_ cdb: UnsafeRawBufferPointer, at cdbOffset: Int, lengthAndOpcode: UInt32) {
        if let source = cdb.baseAddress { memcpy(base + cdbOffset, source, cdb.count) }
        var record = EntryLog.Entry(
            offset: head, lengthAndOpcode: lengthAndOpcode, cdbOffset: UInt32(cdbOffset),
            cdbLength: UInt32(min(cdb.count, 16)))
        withUnsafeMutableBytes(of: &record.cdb) { copy in
            for index in 0..<min(cdb.count, 16) { copy[index] = cdb[index] }
        }
        entries.append(record)
    }

    /// Checks for `length` contiguous bytes and puts a PAD where the ring's end is too near.
    func makeRoom(_ length: Int) -> Bool {
        let size = geometry.ringBytes
        let toEnd = size - Int(head)
        let needed = toEnd >= length ? length : length + toEnd
        let used = (Int(head) - Int(lastCleaned) + size) % size
        // One byte stays free, or a full ring would look empty.
        guard size - used - 1 >= needed else { return false }
        if toEnd < length {
            let lengthAndOpcode = UInt32(toEnd) | UInt32(CTCMU_OP_PAD)
            let entry = base + geometry.ringOffset + Int(head)
            entry.storeBytes(of: lengthAndOpcode, as: UInt32.self)
            entry.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
            entries.append(EntryLog.Entry(offset: head, lengthAndOpcode: lengthAndOpcode))
            advanceHead(by: toEnd)
            pads += 1
            // The kernel publishes the head after the PAD and again after the entry behind it.
            publishHead()
        }
        return true
    }

    func advanceHead(by length: Int) {
        head = UInt32((Int(head) + length) % geometry.ringBytes)
    }

    func publishHead() {
        ctcmu_store_head(base, head)
    }
}
