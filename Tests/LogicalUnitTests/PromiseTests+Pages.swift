import BlockBackend
import LogicalUnit
import TCMUTestKit
import Testing

// What stands in INQUIRY data, VPD pages and READ CAPACITY (16).
extension PromiseTests {
    static let serial = "0123456789abcdef"
    static let block = [UInt8](repeating: 0x5A, count: 512)
    static let zeros = [UInt8](repeating: 0, count: 512)

    static var promises: [PagePromise] {
        inquiryPromises + limitPromises + provisioningPromises + cachingPromises + controlPromises
    }

    typealias Rig = UnitRig<ScriptedBackend>

    static func refuses(_ cdb: [UInt8], _ rig: Rig, dataOut: [UInt8] = []) throws {
        #expect(
            try rig.run(cdb, dataOut: dataOut, dataInLength: dataOut.isEmpty ? 512 : 0).codes == Codes.invalidField)
    }

    /// Sets one byte of a CDB.
    static func with(_ cdb: [UInt8], _ byte: Int, _ value: UInt8) -> [UInt8] {
        var cdb = cdb
        cdb[byte] = value
        return cdb
    }

    private static let inquiryPromises: [PagePromise] = [
        PagePromise("direct access, connected", .inquiry, 0, 0xFF, 0x00) { rig, _ async throws in
            #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0)
        },
        PagePromise("RMB 0: the medium cannot be taken out", .inquiry, 1, 0xFF, 0x00) { rig, _ async throws in
            // START STOP UNIT to eject changes nothing that a READ would meet.
            _ = try rig.run([0x1B, 0, 0, 0, 0x02, 0])
            #expect(try rig.run(InitiatorCDB.read10(0, 1), dataInLength: 512).status == 0)
        },
        PagePromise("VERSION: SPC-3", .inquiry, 2, 0xFF, 0x05) { _, _ async throws in },
        PagePromise("NORMACA 0: NACA is refused", .inquiry, 3, 0xE0, 0x00) { rig, _ async throws in
            try refuses(with(InitiatorCDB.read10(0, 1), 9, 0x04), rig)
        },
        PagePromise("RESPONSE DATA FORMAT 2", .inquiry, 3, 0x1F, 0x02) { _, _ async throws in },
        PagePromise("TPGS 0: no target port groups are told", .inquiry, 5, 0x30, 0x00) { rig, _ async throws in
            #expect(try rig.run([0xA3, 0x0A, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], dataInLength: 64).status == 2)
        },
        PagePromise("3PC: the unit copies within itself, by the name of page 83h", .inquiry, 5, 0x08, 0x08) {
            rig, script async throws in
            #expect(try rig.run(InitiatorCDB.write10(3, 1), dataOut: block).status == 0)
            let list = InitiatorCDB.copyParameters(
                units: [(InitiatorCDB.designator(serial: serial), 512)], [CopyRequestSegment(3, 9, 1)])
            let cdb = InitiatorCDB.extendedCopy(parameterListLength: list.count)
            #expect(try rig.run(cdb, dataOut: list).status == 0)
            #expect(script.content[9 * 512..<10 * 512].elementsEqual(block))
        },
        PagePromise("PROTECT 0: protection information is refused", .inquiry, 5, 0x01, 0x00) {
            rig, _ async throws in
            try refuses(with(InitiatorCDB.read10(0, 1), 1, 0x20), rig)
            try refuses(with(InitiatorCDB.write10(0, 1), 1, 0x20), rig, dataOut: block)
        },
        PagePromise("CMDQUE: commands are taken while others are under way", .inquiry, 7, 0x02, 0x02) {
            rig, script async throws in
            script.answer(.held)
            _ = try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
            _ = try rig.send(InitiatorCDB.read10(8, 1), dataInLength: 512)
            #expect(script.waitForHeld(2))
            #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
            script.answer(.immediate)
            script.release()
            #expect(rig.ends(2).count == 2)
        },
        PagePromise("vendor, product, revision: names that others go by", .inquiry, 8..<36) { rig, _ async throws in
            let data = try PromiseSource.inquiry.read(rig)
            #expect(String(decoding: data[8..<36], as: UTF8.self) == "LIO-ORG TCMU device     0002")
        },
        PagePromise("version descriptors: SAM-5, SPC-3, SBC-3", .inquiry, 58..<64) { _, _ async throws in },
        PagePromise("each page that is listed is there, and no other", .page(0x00), 4..<11) { rig, _ async throws in
            let listed = try PromiseSource.page(0x00).read(rig).dropFirst(4)
            for code in UInt8.min...UInt8.max {
                let done = try rig.run(InitiatorCDB.inquiry(page: code), dataInLength: 255)
                #expect((done.status == 0) == listed.contains(code), "page \(code)")
            }
        },
        PagePromise("ATS and LURS: LIO's core carries them out", .taskManagement, 0, 0xFF, 0x88) {
            _, _ async throws in
        },
    ]

    private static let limitPromises: [PagePromise] = [
        PagePromise("WSNZ: WRITE SAME of no blocks is refused", .page(0xB0), 4, 0x01, 0x01) { rig, _ async throws in
            try refuses(InitiatorCDB.writeSame10(0, 0), rig, dataOut: block)
            try refuses(InitiatorCDB.writeSame16(0, 0), rig, dataOut: block)
        },
        PagePromise("MAXIMUM COMPARE AND WRITE LENGTH", .page(0xB0), 5..<6) { rig, _ async throws in
            let most = try PromiseSource.page(0xB0).read(rig)[5]
            let data = [UInt8](repeating: 0, count: 2 * Int(most) * 512)
            #expect(try rig.run(InitiatorCDB.compareAndWrite(0, most), dataOut: data).status == 0)
        },
        PagePromise("OPTIMAL TRANSFER LENGTH GRANULARITY divides the optimal length", .page(0xB0), 6..<8) {
            rig, _ async throws in
            let granularity = try BlockLimitsTests.limit(rig, at: 6, 2)
            #expect(granularity == 128)
            #expect(try BlockLimitsTests.limit(rig, at: 12) % granularity == 0)
        },
        PagePromise("MAXIMUM and OPTIMAL TRANSFER LENGTH are taken", .page(0xB0), 8..<16) { rig, _ async throws in
            for offset in [8, 12] {
                let blocks = min(try BlockLimitsTests.limit(rig, at: offset), size / 512)
                let data = [UInt8](repeating: 1, count: Int(blocks) * 512)
                #expect(try rig.run(InitiatorCDB.write16(0, UInt32(blocks)), dataOut: data).status == 0)
            }
        },
        PagePromise("MAXIMUM PREFETCH LENGTH 0: any length is taken", .page(0xB0), 16..<20) { rig, _ async throws in
            #expect(try BlockLimitsTests.limit(rig, at: 16) == 0)
            #expect(try rig.run(InitiatorCDB.prefetch16(0, UInt32(size / 512))).status == 0)
        },
        PagePromise("the limits of UNMAP: BlockLimitsTests", .page(0xB0), 20..<36) { _, _ async throws in },
        PagePromise("MAXIMUM WRITE SAME LENGTH: no longer one is refused for its length", .page(0xB0), 36..<44) {
            rig, _ async throws in
            let most = try BlockLimitsTests.limit(rig, at: 36, 8)
            let blocks = UInt32(min(most, size / 512))
            #expect(try rig.run(InitiatorCDB.writeSame16(0, blocks), dataOut: zeros).status == 0)
            // Whatever is beyond the maximum is refused for that, and not for where it ends.
            if most < UInt32.max {
                try refuses(InitiatorCDB.writeSame16(0, UInt32(most) + 1), rig, dataOut: zeros)
            }
        },
        PagePromise("the limits of WRITE ATOMIC: BlockLimitsTests", .page(0xB0), 44..<56) { _, _ async throws in },
        PagePromise("no atomic boundary: a command that names one is refused", .page(0xB0), 56..<64) {
            rig, _ async throws in
            #expect(try BlockLimitsTests.limit(rig, at: 56, 8) == 0)
            try refuses(with(InitiatorCDB.writeAtomic16(0, 1), 11, 1), rig, dataOut: block)
        },
        PagePromise("MEDIUM ROTATION RATE: no seeks", .page(0xB1), 4..<6) { rig, _ async throws in
            let page = try PromiseSource.page(0xB1).read(rig)
            #expect(page[4...5] == [0, 1])
        },
        PagePromise("WABEREQ 01b: after BLOCK ERASE a READ has data and no error", .page(0xB1), 7, 0xC0, 0x40) {
            rig, script async throws in
            #expect(try rig.run(InitiatorCDB.write10(3, 1), dataOut: block).status == 0)
            #expect(try rig.run(InitiatorCDB.sanitizeBlockErase()).status == 0)
            let read = try rig.run(InitiatorCDB.read10(3, 1), dataInLength: 512)
            #expect(read.status == 0 && read.dataIn == zeros)
        },
        PagePromise("WACEREQ 0: CRYPTOGRAPHIC ERASE is not served", .page(0xB1), 7, 0x30, 0x00) {
            rig, _ async throws in
            try refuses([0x48, 0x03, 0, 0, 0, 0, 0, 0, 0, 0], rig)
        },
    ]

    private static let provisioningPromises: [PagePromise] = [
        PagePromise("THRESHOLD EXPONENT: 1 MiB", .page(0xB2), 4, 0xFF, 11) { _, _ async throws in },
        PagePromise("LBPU: UNMAP deallocates", .page(0xB2), 5, 0x80, 0x80) { rig, script async throws in
            let list = InitiatorCDB.unmapParameters([(lba: 8, blocks: 8)])
            #expect(
                try rig.run(InitiatorCDB.unmap(parameterListLength: UInt16(list.count)), dataOut: list).status == 0)
            #expect(script.operations.contains { $0.kind == .discard })
        },
        PagePromise("LBPWS: so does WRITE SAME (16)", .page(0xB2), 5, 0x40, 0x40) { rig, script async throws in
            #expect(try rig.run(InitiatorCDB.writeSame16(8, 8, flags: 0x08), dataOut: zeros).status == 0)
            #expect(script.operations.contains { $0.kind == .discard })
        },
        PagePromise("LBPWS10: and WRITE SAME (10)", .page(0xB2), 5, 0x20, 0x20) { rig, script async throws in
            #expect(try rig.run(InitiatorCDB.writeSame10(8, 8, flags: 0x08), dataOut: zeros).status == 0)
            #expect(script.operations.contains { $0.kind == .discard })
        },
        PagePromise("LBPRZ 001b: what is unmapped reads as zeros", .page(0xB2), 5, 0x1C, 0x04) {
            rig, _ async throws in
            #expect(try rig.run(InitiatorCDB.write10(8, 1), dataOut: block).status == 0)
            let list = InitiatorCDB.unmapParameters([(lba: 8, blocks: 1)])
            #expect(
                try rig.run(InitiatorCDB.unmap(parameterListLength: UInt16(list.count)), dataOut: list).status == 0)
            #expect(try rig.run(InitiatorCDB.read10(8, 1), dataInLength: 512).dataIn == zeros)
        },
        PagePromise("ANC_SUP 0: ANCHOR is refused", .page(0xB2), 5, 0x02, 0x00) { rig, _ async throws in
            try refuses(InitiatorCDB.writeSame16(8, 8, flags: 0x18), rig, dataOut: zeros)
            let list = InitiatorCDB.unmapParameters([(lba: 8, blocks: 1)])
            let cdb = InitiatorCDB.unmap(parameterListLength: UInt16(list.count))
            try refuses(with(cdb, 1, 0x01), rig, dataOut: list)
        },
        PagePromise("PROVISIONING TYPE: thin", .page(0xB2), 6, 0x07, 0x02) { _, _ async throws in },
        PagePromise("the last block, and how long one is", .readCapacity16, 0..<12) { rig, _ async throws in
            let last = UInt32(size / 512 - 1)
            #expect(try rig.run(InitiatorCDB.read10(last, 1), dataInLength: 512).status == 0)
            #expect(try rig.run(InitiatorCDB.read10(last + 1, 1), dataInLength: 512).codes == Codes.outOfRange)
            let data = try PromiseSource.readCapacity16.read(rig)
            #expect(data[..<12] == [0, 0, 0, 0, 0, 0, 7, 0xFF, 0, 0, 2, 0])
        },
        PagePromise("P_TYPE, PROT_EN 0", .readCapacity16, 12, 0xFF, 0x00) { _, _ async throws in },
        PagePromise("LBPME and LBPRZ, as page B2h", .readCapacity16, 14, 0xFF, 0xC0) { rig, _ async throws in
            let page = try PromiseSource.page(0xB2).read(rig)
            #expect(page[5] & 0x84 == 0x84)
        },
    ]
}
