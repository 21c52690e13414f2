import BlockBackend
import LogicalUnit
import Reactor
import TCMUTestKit
import Testing

// What stands in the mode pages.
extension PromiseTests {
    static let cachingPromises: [PagePromise] = [
        PagePromise("WP 0: the medium can be written", .modeHeader, 2, 0x80, 0x00) { rig, _ async throws in
            #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: block).status == 0)
        },
        PagePromise(
            "DPOFUA: a WRITE with FUA is durable before its answer, DPO is taken", .modeHeader, 2, 0x10, 0x10
        ) {
            rig, script async throws in
            #expect(try rig.run(InitiatorCDB.write10(0, 1, flags: 0x18), dataOut: block).status == 0)
            let kinds = script.operations.map(\.kind).filter { $0 != .survey }
            #expect(kinds == [.write, .flush], "a backend without FUA is flushed")
            #expect(try rig.run(with(InitiatorCDB.read10(0, 1), 1, 0x18), dataInLength: 512).dataIn == block)
        },
        PagePromise("LBPERE: thresholds are told of by a unit attention: SpaceTests", .mode(0x01, 0), 7, 0x80, 0x80)
        {
            _, _ in
        },
        PagePromise("AWRE, ARRE, PER, DTE, DCR 0", .mode(0x01, 0), 2, 0xFF, 0x00) { _, _ async throws in },
        PagePromise("WCE: an answered WRITE waits for SYNCHRONIZE CACHE", .mode(0x08, 0), 2, 0x04, 0x04) {
            rig, script async throws in
            #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: block).status == 0)
            #expect(!script.operations.contains { $0.kind == .flush })
            #expect(try rig.run(InitiatorCDB.synchronizeCache10()).status == 0)
            #expect(script.operations.contains { $0.kind == .flush })
            #expect(try ModeSelectTests.change(rig, page: 0x08, clear: [2: 0x04]).status == 0)
            let before = script.operations.count { $0.kind == .flush }
            #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: block).status == 0)
            #expect(script.operations.count { $0.kind == .flush } == before + 1, "WCE 0: durable at once")
        },
        PagePromise("RCD, DISC, NV_DIS 0", .mode(0x08, 0), 2, 0xFB, 0x00) { _, _ async throws in },
    ]

    static let controlPromises: [PagePromise] = [
        PagePromise("TST 0, one task set: commands of all initiators meet in one ring", .mode(0x0A, 0), 2, 0xE0, 0)
        {
            _, _ in
        },
        PagePromise("D_SENSE: sense data goes out as it says", .mode(0x0A, 0), 2, 0x04, 0x00) {
            rig, _ async throws in
            let wrong = InitiatorCDB.read10(UInt32(size / 512), 1)
            #expect(try rig.run(wrong, dataInLength: 512).sense[0] & 0x7F == 0x70)
            #expect(try ModeSelectTests.change(rig, page: 0x0A, set: [2: 0x04]).status == 0)
            #expect(try rig.run(wrong, dataInLength: 512).sense[0] & 0x7F == 0x72)
        },
        PagePromise(
            "GLTSD: log parameters are not saved, and asking for it is refused", .mode(0x0A, 0), 2, 0x02, 0x02
        ) {
            rig, _ async throws in
            try refuses(with(InitiatorCDB.logSense(page: 0), 1, 0x01), rig)
        },
        PagePromise(
            "QUEUE ALGORITHM MODIFIER 1h: overlapping commands in flight together have no order", .mode(0x0A, 0), 3,
            0xF0, 0x10
        ) { rig, script async throws in
            script.answer(.held)
            for seed in [1, 2] as [UInt8] {
                _ = try rig.send(
                    InitiatorCDB.write10(0, 1), dataOut: [UInt8](repeating: seed, count: 512))
            }
            // Were there an order, 0h could be said: that is restricted reordering.
            #expect(script.waitForHeld(2), "the second is with the backend before the first has ended")
            script.answer(.immediate)
            script.release()
            #expect(rig.ends(2).count == 2)
        },
        PagePromise("QERR 00b: those behind a command that fails are carried out", .mode(0x0A, 0), 3, 0x06, 0x00) {
            rig, script async throws in
            script.answer(.held)
            let read = try rig.send(InitiatorCDB.read10(0, 1), dataInLength: 512)
            #expect(script.waitForHeld(1))
            #expect(try rig.run(InitiatorCDB.read10(UInt32(size / 512), 1)).status == 2)
            script.answer(.immediate)
            script.release()
            #expect(rig.ends(1)[read]?.status == 0)
        },
        PagePromise(
            "UA_INTLCK_CTRL 00b: a unit attention is told once and gone; REQUEST SENSE clears it, too",
            .mode(0x0A, 0), 4, 0x30, 0x00
        ) { rig, _ async throws in
            let unit: any ControlledUnit = rig.unit
            for clear in [InitiatorCDB.testUnitReady, InitiatorCDB.requestSense] {
                await rig.loop.run(unit) { unit.resize(bytes: size) }
                _ = try rig.run(clear, dataInLength: clear[0] == 3 ? 252 : 0)
                #expect(try rig.run(InitiatorCDB.testUnitReady).status == 0)
            }
        },
        PagePromise("SWP 0: writes are taken; set, they are not: ModeSelectTests", .mode(0x0A, 0), 4, 0x08, 0x00) {
            rig, _ async throws in
            #expect(try rig.run(InitiatorCDB.write10(0, 1), dataOut: block).status == 0)
        },
        PagePromise("TAS: LIO answers TASK ABORTED", .mode(0x0A, 0), 5, 0x40, 0x40) { _, _ async throws in },
        PagePromise("BUSY TIMEOUT PERIOD: unlimited", .mode(0x0A, 0), 8..<10) { rig, _ async throws in
            let page = try PromiseSource.mode(0x0A, 0).read(rig)
            #expect(page[8...9] == [0xFF, 0xFF])
        },
        PagePromise("IALUAE: LIO changes access states by itself", .mode(0x0A, 1), 4, 0x01, 0x01) {
            _, _ async throws in
        },
        PagePromise("DEXCPT: no failure is predicted", .mode(0x1C, 0), 2, 0x08, 0x08) { rig, _ async throws in
            let sense = try rig.run(InitiatorCDB.requestSense, dataInLength: 252).dataIn
            #expect(sense[2] & 0x0F == 0)
        },
        PagePromise("a soft threshold on what is available: SpaceTests", .mode(0x1C, 2), 16..<24) {
            rig, _ async throws in
            let page = try PromiseSource.mode(0x1C, 2).read(rig)
            #expect(page[16] == 0x80 && page[17] == 0x01)
        },
    ]
}
