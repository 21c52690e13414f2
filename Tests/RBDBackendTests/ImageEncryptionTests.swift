import BlockBackend
import RBDBackend
import Testing

@Suite("Rules of encrypted images")
struct ImageEncryptionTests {
    static let pacific = 1 << 8 | 16
    static let reef = 1 << 8 | 19

    @Test(
        "a line feed at the end is tried both ways, the way of this version's rbd command first",
        arguments: [
            (count: 7, endsLine: true, version: pacific, lengths: [6, 7]), (7, true, reef, [7, 6]),
            (6, false, pacific, [6]), (6, false, reef, [6]), (1, true, pacific, [1]), (1, true, reef, [1]),
            (0, false, reef, []),
        ])
    func lengths(count: Int, endsLine: Bool, version: Int, lengths: [Int]) {
        #expect(ImageEncryption.lengths(count: count, endsLine: endsLine, libraryVersion: version) == lengths)
    }

    private func capabilities() -> BackendCapabilities {
        var capabilities = BackendCapabilities()
        capabilities.discard = DiscardCapability(granularity: 65536, maximumBytes: 16 << 20, readsZeros: true)
        capabilities.nativeWriteSame = true
        capabilities.nativeWriteZeroes = true
        capabilities.nativeCompareAndWriteBytes = 512
        capabilities.atomicWriteBytes = 4 << 20
        capabilities.reportsAllocation = true
        capabilities.reportsSpace = true
        return capabilities
    }

    private func geometry(stripeUnit: UInt64) -> ImageGeometry {
        ImageGeometry(
            objectBytes: 4 << 20, stripeUnitBytes: stripeUnit, discardGranularityBytes: 65536, blockBytes: 512,
            libraryVersion: Self.pacific)
    }

    @Test("what works on cipher text alone is not offered", arguments: [4 << 20, 16 << 20] as [UInt64])
    func restricted(header: UInt64) {
        var expected = capabilities()
        expected.discard = nil
        expected.reportsAllocation = false
        expected.nativeCompareAndWriteBytes = 0
        var found = capabilities()
        found.restrict(toEncrypted: header, geometry(stripeUnit: 4 << 20))
        #expect(found == expected)
    }

    @Test(
        "a header that is no whole number of stripe units takes what must stay within one",
        arguments: [(header: 1 << 20, unit: 4 << 20), (16 << 20, 32 << 20), (4096, 0)] as [(UInt64, UInt64)])
    func shifted(header: UInt64, unit: UInt64) {
        var found = capabilities()
        found.restrict(toEncrypted: header, geometry(stripeUnit: unit))
        #expect(found.atomicWriteBytes == 0)
        #expect(found.nativeCompareAndWriteBytes == 0)
        #expect(found.nativeWriteSame)
    }
}
