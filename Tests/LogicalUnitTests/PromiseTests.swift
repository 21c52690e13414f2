import BlockBackend
import LogicalUnit
import TCMUTestKit
import Testing

/// Where an initiator reads what the unit promises.
enum PromiseSource: Hashable, Sendable {
    case inquiry
    case page(UInt8)
    case readCapacity16
    /// A mode page with its subpage, from PAGE CODE on.
    case mode(UInt8, UInt8)
    case modeHeader
    case taskManagement

    var cdb: [UInt8] {
        switch self {
        case .inquiry: InitiatorCDB.inquiry()
        case .page(let code): InitiatorCDB.inquiry(page: code)
        case .readCapacity16: InitiatorCDB.readCapacity16
        case .mode(let page, let subpage): [0x1A, 0x08, page, subpage, 255, 0]
        case .modeHeader: InitiatorCDB.modeSense6(page: 0x08)
        case .taskManagement: [0xA3, 0x0D, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0]
        }
    }

    /// Bytes that say how long the data is and which page it is, and not what the unit does.
    var frame: Set<Int> {
        switch self {
        case .inquiry: [4]
        case .page: [1, 2, 3]
        case .mode(_, let subpage): subpage == 0 ? [0, 1] : [0, 1, 2, 3]
        case .modeHeader: Set(4..<24).union([0])
        case .readCapacity16, .taskManagement: []
        }
    }

    func read(_ rig: borrowing UnitRig<ScriptedBackend>) throws -> [UInt8] {
        let data = try rig.run(cdb, dataInLength: 255).dataIn
        if case .mode = self { return Array(data.dropFirst(4)) }
        return data
    }
}

/// Bits of one byte, or whole bytes, their value, and what they promise.
struct PagePromise: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let source: PromiseSource
    let bytes: Range<Int>
    let mask: UInt8
    /// nil for any value: the promise itself reads it.
    let value: UInt8?
    let keep: @Sendable (UnitRig<ScriptedBackend>, BackendScript) async throws -> Void

    init(
        _ title: String, _ source: PromiseSource, _ byte: Int, _ mask: UInt8, _ value: UInt8,
        _ keep: @escaping @Sendable (UnitRig<ScriptedBackend>, BackendScript) async throws -> Void
    ) {
        (testDescription, self.source, bytes, self.mask, self.value) = (title, source, byte..<byte + 1, mask, value)
        self.keep = keep
    }

    init(
        _ title: String, _ source: PromiseSource, _ bytes: Range<Int>,
        _ keep: @escaping @Sendable (UnitRig<ScriptedBackend>, BackendScript) async throws -> Void
    ) {
        (testDescription, self.source, self.bytes, mask, value) = (title, source, bytes, 0xFF, nil)
        self.keep = keep
    }
}

@Suite("Every bit of INQUIRY, its pages, the mode pages and READ CAPACITY is kept")
struct PromiseTests {
    static let size: UInt64 = 1 << 20

    static func start() async throws -> (UnitRig<ScriptedBackend>, BackendScript) {
        var capabilities = Backends.capable(volatileCache: true)
        capabilities.solidState = true
        capabilities.optimalTransferBytes = 65536
        let script = BackendScript(size: size, capabilities: capabilities)
        script.answerSurveys(.init(availableBytes: size))
        return (try await UnitRig.start(ScriptedBackend(script), facts: BackstoreFacts(serial: serial)), script)
    }

    @Test("A promise stands where it is said to, and is kept", arguments: promises)
    func kept(_ promise: PagePromise) async throws {
        let (rig, script) = try await Self.start()
        let data = try promise.source.read(rig)
        try #require(promise.bytes.upperBound <= data.count)
        if let value = promise.value { #expect(data[promise.bytes.lowerBound] & promise.mask == value) }
        try await promise.keep(rig, script)
        await rig.stop()
    }

    @Test(
        "No bit is set of which nobody says what it promises",
        arguments: [
            .inquiry, .page(0x00), .page(0xB0), .page(0xB1), .page(0xB2), .readCapacity16, .mode(0x01, 0),
            .mode(0x08, 0), .mode(0x0A, 0), .mode(0x0A, 1), .mode(0x1C, 0), .mode(0x1C, 2), .modeHeader,
            .taskManagement,
        ] as [PromiseSource])
    func complete(_ source: PromiseSource) async throws {
        let (rig, _) = try await Self.start()
        let data = try source.read(rig)
        var left = data
        for index in source.frame where index < left.count { left[index] = 0 }
        for promise in Self.promises where promise.source == source {
            for byte in promise.bytes where byte < left.count { left[byte] &= ~promise.mask }
        }
        for (index, bits) in left.enumerated() {
            #expect(bits == 0, "byte \(index) is \(data[index]), and \(bits) of it is nobody's promise")
        }
        await rig.stop()
    }

    @Test("The mode pages listed here are all there are; so are those of VPD")
    func allPages() async throws {
        let (rig, _) = try await Self.start()
        let modes = try rig.run([0x1A, 0x08, 0x3F, 0xFF, 255, 0], dataInLength: 255).dataIn.dropFirst(4)
        var found: [PromiseSource] = []
        var rest = modes
        while let first = rest.first {
            let bytes = Array(rest.prefix(4))
            let isSubpage = first & 0x40 != 0
            found.append(.mode(first & 0x3F, isSubpage ? bytes[1] : 0))
            rest = rest.dropFirst(isSubpage ? 4 + Int(bytes[2]) << 8 + Int(bytes[3]) : 2 + Int(bytes[1]))
        }
        #expect(
            found == [
                .mode(0x01, 0), .mode(0x08, 0), .mode(0x0A, 0), .mode(0x0A, 1), .mode(0x1C, 0), .mode(0x1C, 2),
            ])
        let pages = try rig.run(InitiatorCDB.inquiry(page: 0), dataInLength: 255).dataIn.dropFirst(4)
        #expect(Array(pages) == [0x00, 0x80, 0x83, 0x8F, 0xB0, 0xB1, 0xB2])
        await rig.stop()
    }
}
