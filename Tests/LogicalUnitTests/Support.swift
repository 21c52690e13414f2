import BlockBackend
import Glibc
import LogicalUnit
import TCMUTestKit
import Testing

extension RingCompletion {
    /// Sense key, ASC, ASCQ.
    var codes: [UInt8]? { senseTriple.map { [$0.key, $0.asc, $0.ascq] } }

    /// INFORMATION of fixed-format sense; nil if VALID is 0.
    var information: Int? {
        guard sense.count >= 7, sense[0] == 0xF0 else { return nil }
        return sense[3..<7].reduce(0) { $0 << 8 | Int($1) }
    }

    /// PROGRESS INDICATION of fixed-format sense; nil if SKSV is 0.
    var progress: Int? {
        guard sense.count >= 18, sense[15] & 0x80 != 0 else { return nil }
        return Int(sense[16]) << 8 | Int(sense[17])
    }
}

/// Senses by the names of SPC-4.
enum Codes {
    static let miscompare: [UInt8] = [0x0E, 0x1D, 0]
    static let readError: [UInt8] = [3, 0x11, 0]
    static let writeError: [UInt8] = [3, 0x0C, 0]
    static let outOfRange: [UInt8] = [5, 0x21, 0]
    static let unknown: [UInt8] = [5, 0x20, 0]
    static let invalidField: [UInt8] = [5, 0x24, 0]
    static let writeProtected: [UInt8] = [7, 0x27, 0]
    static let tooShort: [UInt8] = [4, 0x44, 0]
    static let sanitizing: [UInt8] = [2, 0x04, 0x1B]
    static let formatting: [UInt8] = [2, 0x04, 0x04]
    static let sanitizeFailed: [UInt8] = [3, 0x31, 0x03]
    static let formatFailed: [UInt8] = [3, 0x31, 0x01]
    static let notReachable: [UInt8] = [0x0A, 0x0D, 0x02]
}

extension UnitRig where Backend: ~Copyable {
    /// Sends a command that must be taken. Returns its id.
    func send(_ cdb: [UInt8], dataOut: [UInt8] = [], dataInLength: Int = 0) throws -> UInt16 {
        let id = try #require(kernel.post(cdb: cdb, dataOut: dataOut, dataInLength: dataInLength))
        kernel.notify()
        return id
    }

    /// Sends a command and waits for its end, which must come.
    func run(_ cdb: [UInt8], dataOut: [UInt8] = [], dataInLength: Int = 0) throws -> RingCompletion {
        try #require(perform(cdb: cdb, dataOut: dataOut, dataInLength: dataInLength))
    }

    /// Waits for `count` ends. Returns them by id.
    func ends(_ count: Int) -> [UInt16: RingCompletion] {
        var all: [UInt16: RingCompletion] = [:]
        for done in kernel.reapCompletions(count: count) { all[done.id] = done }
        return all
    }

    /// Sends a command elsewhere on the medium and waits for its end: what was sent before has been looked at then.
    func passBy() throws {
        let done = try run(InitiatorCDB.testUnitReady)
        #expect(done.status == 0 || done.codes?.first == 2)
    }
}

/// Backends of the tests.
enum Backends {
    /// Can do everything, and says so.
    static func capable(volatileCache: Bool = false) -> BackendCapabilities {
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = volatileCache
        capabilities.discard = DiscardCapability(granularity: 512, maximumBytes: 1 << 20, readsZeros: true)
        capabilities.nativeWriteSame = true
        capabilities.nativeWriteZeroes = true
        capabilities.nativeCompareAndWriteBytes = 1 << 20
        capabilities.atomicWriteBytes = 4096
        capabilities.reportsAllocation = true
        capabilities.reportsSpace = true
        return capabilities
    }

    /// Has a cache, and a flush as the only way to empty it.
    static func cached() -> BackendCapabilities {
        var capabilities = BackendCapabilities()
        capabilities.volatileCache = true
        return capabilities
    }
}

/// Contents too long for `==` and `allSatisfy` in an unoptimised build.
enum Content {
    /// No two blocks of 512 bytes are the same.
    static func numbered(_ count: Int, seed: UInt8 = 0) -> [UInt8] {
        let block = (0..<512).map { UInt8(truncatingIfNeeded: $0 &* 31) &+ seed }
        var content: [UInt8] = []
        content.reserveCapacity(count)
        for index in 0..<count / 512 {
            content += block
            for byte in 0..<3 { content[index * 512 + 7 + byte] = UInt8(truncatingIfNeeded: index >> (8 * byte)) }
        }
        return content
    }

    /// Whether all of it is copies of `block`, the last one cut.
    static func consists(_ content: [UInt8], of block: [UInt8]) -> Bool {
        var expected: [UInt8] = []
        expected.reserveCapacity(content.count + block.count)
        while expected.count < content.count { expected += block }
        return isSame(content[...], expected[..<content.count])
    }

    static func isSame(_ one: ArraySlice<UInt8>, _ other: ArraySlice<UInt8>) -> Bool {
        guard one.count == other.count else { return false }
        return one.withUnsafeBytes { one in
            other.withUnsafeBytes { other in
                guard let start = one.baseAddress, let otherStart = other.baseAddress else { return true }
                return memcmp(start, otherStart, one.count) == 0
            }
        }
    }
}

/// As many VERIFYs at once as have memory are all served: no command before has kept its own.
func expectMemoryIsFree(_ rig: borrowing UnitRig<ScriptedBackend>, _ script: BackendScript) throws {
    script.answer(.held)
    for _ in 0..<16 { _ = try rig.send(InitiatorCDB.verify10(0, 1)) }
    #expect(script.waitForHeld(16), "memory of a command that has ended is still in use")
    script.answer(.immediate)
    script.release()
    let finished = rig.kernel.reapCompletions(count: 16)
    #expect(finished.count { $0.status == 0 } == 16)
}
