import BlockBackend
import RBDBackend
import Testing

@Suite("What initiators were told holds for every image that takes the place of the one that was opened")
struct ToldFactsTests {
    private static func capabilities(_ change: (inout BackendCapabilities) -> Void = { _ in })
        -> BackendCapabilities
    {
        var capabilities = BackendCapabilities()
        capabilities.forceUnitAccess = true
        capabilities.atomicWriteBytes = 4 << 20
        capabilities.nativeCompareAndWriteBytes = 512
        capabilities.discard = DiscardCapability(granularity: 65536, maximumBytes: 16 << 20, readsZeros: true)
        change(&capabilities)
        return capabilities
    }

    private struct Change {
        let title: String
        let apply: @Sendable (inout BackendCapabilities) -> Void
        /// What the log says; nil for what may change.
        let complaint: String?
    }

    private static let changes: [Change] = [
        Change(title: "nothing", apply: { _ in }, complaint: nil),
        Change(title: "a volatile cache", apply: { $0.volatileCache = true }, complaint: "no volatile write cache"),
        Change(
            title: "no atomic writes", apply: { $0.atomicWriteBytes = 0 },
            complaint: "atomic writes of 4194304 bytes, and of none now"),
        Change(
            title: "shorter atomic writes", apply: { $0.atomicWriteBytes = 4096 },
            complaint: "atomic writes of 4194304 bytes, and of 4096 bytes now"),
        Change(title: "longer atomic writes", apply: { $0.atomicWriteBytes = 8 << 20 }, complaint: nil),
        Change(title: "read-only", apply: { $0.readOnly = true }, complaint: "it could be written"),
        Change(
            title: "no compare-and-write", apply: { $0.nativeCompareAndWriteBytes = 0 },
            complaint: "COMPARE AND WRITE of 512 bytes"),
        Change(title: "no UNMAP", apply: { $0.discard = nil }, complaint: "UNMAP of 16777216 bytes"),
        Change(
            title: "a shorter UNMAP", apply: { $0.discard?.maximumBytes = 1 << 20 },
            complaint: "UNMAP of 16777216 bytes"),
        Change(
            title: "unmapped blocks with old data", apply: { $0.discard?.readsZeros = false },
            complaint: "unmapped blocks read zeros"),
        Change(title: "another granularity", apply: { $0.discard?.granularity = 4096 }, complaint: nil),
        Change(title: "another device class", apply: { $0.solidState = true }, complaint: nil),
        Change(title: "another transfer length", apply: { $0.optimalTransferBytes = 65536 }, complaint: nil),
    ]

    @Test("a weaker promise is named, a stronger one and a hint are not", arguments: changes.indices)
    func weaker(index: Int) {
        let change = Self.changes[index]
        let told = Self.capabilities()
        let broken = told.promises(brokenBy: Self.capabilities(change.apply))
        if let complaint = change.complaint {
            #expect(broken.contains { $0.contains(complaint) }, "\(change.title): \(broken)")
        } else {
            #expect(broken == [], "\(change.title)")
        }
    }

    @Test("who was told of a cache may have one or none")
    func cacheKnown() {
        let told = Self.capabilities {
            $0.volatileCache = true
            $0.forceUnitAccess = false
            $0.atomicWriteBytes = 0
        }
        #expect(told.promises(brokenBy: told) == [])
        #expect(told.promises(brokenBy: Self.capabilities()) == [])
    }
}
