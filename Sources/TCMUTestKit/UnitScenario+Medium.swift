internal import BlockBackend

// What a scenario's commands may do to the medium, told from the standards (SPC-4, SBC-4) and not by the decoders
// under test. A new command that writes or sends data needs its operation code here.
extension UnitScenario {
    /// Bytes of the medium.
    static let mediumBytes = 24 * 1024

    /// Block n of 512 bytes holds bytes n, but for every eighth, which holds zeros.
    static let initialMedium: [UInt8] = (0..<mediumBytes).map { byte -> UInt8 in
        let block = UInt8(byte / 512)
        return block % 8 == 7 ? 0 : block
    }

    /// What the scripted backends claim, 1 to 7.
    static let backends: [BackendCapabilities] = [
        capabilities { _ in },
        capabilities { $0.volatileCache = true },
        capabilities {
            $0.volatileCache = true
            $0.forceUnitAccess = true
            $0.discard = DiscardCapability(granularity: 4096, maximumBytes: 8192, readsZeros: true)
            $0.nativeWriteSame = true
        },
        capabilities {
            $0.solidState = true
            $0.discard = DiscardCapability(
                granularity: 4096, maximumBytes: UInt64(mediumBytes), readsZeros: true)
            $0.nativeWriteSame = true
            $0.nativeWriteZeroes = true
            $0.nativeCompareAndWriteBytes = 4096
            $0.optimalTransferBytes = 4096
            $0.atomicWriteBytes = 4096
            $0.reportsAllocation = true
            $0.reportsSpace = true
        },
        capabilities {
            $0.discard = DiscardCapability(granularity: 512, maximumBytes: 4096, readsZeros: false)
            $0.nativeWriteZeroes = true
            $0.nativeCompareAndWriteBytes = 512
        },
        capabilities { $0.readOnly = true },
        capabilities {
            $0.readOnly = true
            $0.volatileCache = true
            $0.discard = DiscardCapability(granularity: 4096, maximumBytes: 4096, readsZeros: true)
            $0.nativeWriteSame = true
        },
    ]

    private static func capabilities(_ change: (inout BackendCapabilities) -> Void) -> BackendCapabilities {
        var capabilities = BackendCapabilities()
        change(&capabilities)
        return capabilities
    }

    /// Whether the standards let a command send data. Its Data-In buffer, should it come with one, holds what it
    /// sends: an entry of the ring does not say which way its data goes.
    static func sendsData(_ cdb: [UInt8]) -> Bool { senders.contains(cdb.first ?? 0) }

    private static let senders: Set<UInt8> = [
        0x04, 0x07, 0x0A, 0x15, 0x1D, 0x2A, 0x2E, 0x2F, 0x3B, 0x41, 0x42, 0x48, 0x4C, 0x53, 0x55, 0x5F, 0x7F, 0x83,
        0x89, 0x8A, 0x8B, 0x8D, 0x8E, 0x8F, 0x93, 0x9C, 0xA4, 0xAA, 0xAE, 0xAF,
    ]

    /// Marks the blocks that a command names as its to change.
    ///
    /// - Parameters:
    ///   - blocks: true for a block that may change.
    ///   - data: its Data-Out.
    static func claim(_ blocks: inout [Bool], cdb: [UInt8], data: [UInt8]) {
        let cdb = cdb + [UInt8](repeating: 0, count: 32)
        func number(_ at: Int, _ size: Int) -> UInt64 { Self.number(cdb, at, size) }
        switch cdb[0] {
        case 0x0A: mark(&blocks, number(1, 3) & 0x1F_FFFF, cdb[4] == 0 ? 256 : UInt64(cdb[4]))
        case 0x2A, 0x2E: mark(&blocks, number(2, 4), number(7, 2))
        // NUMBER OF LOGICAL BLOCKS of zero may mean all that follow.
        case 0x41: mark(&blocks, number(2, 4), number(7, 2) == 0 ? .max : number(7, 2))
        case 0xAA, 0xAE: mark(&blocks, number(2, 4), number(6, 4))
        case 0x8A, 0x8B, 0x8E: mark(&blocks, number(2, 8), number(10, 4))
        case 0x93: mark(&blocks, number(2, 8), number(10, 4) == 0 ? .max : number(10, 4))
        case 0x9C: mark(&blocks, number(2, 8), number(12, 2))
        case 0x89: mark(&blocks, number(2, 8), UInt64(cdb[13]))
        case 0x42:
            for at in stride(from: 8, to: data.count - 15, by: 16) {
                mark(&blocks, Self.number(data, at, 8), Self.number(data, at + 8, 4))
            }
        // FORMAT UNIT, SANITIZE, EXTENDED COPY and the CDBs of variable length: all of it.
        case 0x04, 0x48, 0x7F, 0x83: mark(&blocks, 0, .max)
        default: break
        }
    }

    private static func mark(_ blocks: inout [Bool], _ first: UInt64, _ count: UInt64) {
        guard first < UInt64(blocks.count) else { return }
        let end = count > UInt64(blocks.count) - first ? blocks.count : Int(first + count)
        for block in Int(first)..<end { blocks[block] = true }
    }

    private static func number(_ bytes: [UInt8], _ at: Int, _ size: Int) -> UInt64 {
        bytes[at..<at + size].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
