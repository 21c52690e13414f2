internal import Glibc

// Data blocks, as tcmu_get_empty_blocks and new_block_to_iov hand them out.
extension RingSimulator {
    /// Takes the command's blocks, first fit, and chains them in order.
    ///
    /// - Returns: how many iovecs Data-Out and Data-In need: neighbouring blocks share one, but never across the
    ///   two directions.
    func takeBlocks(for command: inout PostedCommand) -> (out: Int, in: Int) {
        let outBlocks = geometry.blocks(for: Int(command.outBytes))
        var pieces = (out: 0, in: 0)
        var previous: Int?
        for index in 0..<Int(command.blockCount) {
            guard let block = blocks.take() else { preconditionFailure("the caller has checked for free blocks") }
            if index == 0 { command.firstBlock = UInt32(block) }
            if let previous { nextBlock[previous] = UInt32(block) }
            let startsRun = index == 0 || index == outBlocks || previous.map { $0 + 1 != block } ?? true
            if startsRun && index < outBlocks { pieces.out += 1 }
            if startsRun && index >= outBlocks { pieces.in += 1 }
            previous = block
        }
        return pieces
    }

    /// Calls `body` with offset from the start of the map and length in bytes of each iovec of the command.
    func forEachRun(of id: UInt16, dataIn: Bool, _ body: (Int, Int) -> Void) {
        let command = commands[Int(id)]
        var block = Int(command.firstBlock)
        if dataIn {
            for _ in 0..<geometry.blocks(for: Int(command.outBytes)) { block = Int(nextBlock[block]) }
        }
        var left = Int(dataIn ? command.inBytes : command.outBytes)
        while left > 0 {
            let start = block
            var count = min(left, geometry.blockSize)
            left -= count
            while left > 0 {
                let next = Int(nextBlock[block])
                let adjoins = next == block + 1
                block = next
                if !adjoins { break }
                let more = min(left, geometry.blockSize)
                count += more
                left -= more
            }
            body(geometry.dataOffset + start * geometry.blockSize, count)
        }
    }

    /// Calls `body` with the memory of each iovec of the command, in the simulator's own mapping.
    func forEachPiece(of id: UInt16, dataIn: Bool, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        forEachRun(of: id, dataIn: dataIn) { offset, count in
            body(UnsafeMutableRawBufferPointer(start: base + offset, count: count))
        }
    }

    func releaseBlocks(of command: PostedCommand) {
        var block = Int(command.firstBlock)
        for _ in 0..<Int(command.blockCount) {
            // Read before the block is given back: its link belongs to the next owner then.
            let next = Int(nextBlock[block])
            blocks.giveBack(block)
            block = next
        }
    }

    /// Frees the id and the blocks of a command.
    func release(_ id: UInt16) {
        if commands[Int(id)].state == .inRing { inFlight -= 1 }
        if let guardByte {
            for dataIn in [false, true] {
                forEachPiece(of: id, dataIn: dataIn) { $0.initializeMemory(as: UInt8.self, repeating: guardByte) }
            }
        }
        releaseBlocks(of: commands[Int(id)])
        commands[Int(id)] = PostedCommand()
        ids.giveBack(Int(id))
    }

    /// `action/free_kept_buf`: releases a command completed with KEEP_BUF.
    ///
    /// - Returns: false if there is none.
    public func freeKeptBuffer(_ id: UInt16) -> Bool {
        guard commands[Int(id)].state == .kept else { return false }
        release(id)
        return true
    }

    /// Bytes now in the Data-In or Data-Out area of a command in flight, as a test may look at them.
    public func dataArea(of id: UInt16, dataIn: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        forEachPiece(of: id, dataIn: dataIn) { bytes.append(contentsOf: $0) }
        return bytes
    }

    /// Fills the whole data area with `byte`, so that ``firstStrayByte()`` can tell what was written outside of the
    /// commands' buffers. Nothing is in flight.
    public func layGuard(_ byte: UInt8) {
        precondition(inFlight == 0, "a guard is laid over \(inFlight) commands' data")
        guardByte = byte
        dataArea.initializeMemory(as: UInt8.self, repeating: byte)
    }

    /// Offset in bytes of the first byte of the data area that is not the guard's. Nothing is in flight.
    public func firstStrayByte() -> Int? {
        guard let guardByte else { return nil }
        precondition(inFlight == 0, "\(inFlight) commands' data is looked at")
        let area = UnsafeRawBufferPointer(dataArea)
        // The area is all one byte if it is the same when it is moved by one.
        if let start = area.baseAddress, area.count > 1, area[0] == guardByte,
            memcmp(start, start + 1, area.count - 1) == 0
        {
            return nil
        }
        return area.firstIndex { $0 != guardByte }
    }

    private var dataArea: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: base + geometry.dataOffset, count: geometry.dataBlocks * geometry.blockSize)
    }

    /// Data blocks not in use.
    public var freeBlocks: Int { blocks.free }
}
