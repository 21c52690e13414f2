import BlockBackend
import LogicalUnit
import TCMUTestKit
import Testing

@Suite("ABORT TASK of commands of many steps")
struct AbortTests {
    struct Long: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let cdb: [UInt8]
        var dataOut: [UInt8] = []
    }

    static let longs: [Long] = {
        let (copy, list) = CopyTests.command([CopyRequestSegment(0, 8192, 8000)])
        return [
            Long(testDescription: "VERIFY", cdb: InitiatorCDB.verify16(0, 16384)),
            Long(
                testDescription: "WRITE SAME", cdb: InitiatorCDB.writeSame16(0, 16384),
                dataOut: [UInt8](repeating: 1, count: 512)),
            Long(testDescription: "EXTENDED COPY", cdb: copy, dataOut: list),
        ]
    }()

    @Test("It ends with TASK ABORTED after the step under way", arguments: longs)
    func ends(_ long: Long) async throws {
        let (rig, script) = try await CopyTests.start()
        script.answer(.held)
        let id = try rig.send(long.cdb, dataOut: long.dataOut)
        #expect(script.waitForHeld(1))
        script.release()
        #expect(script.waitForHeld(1))
        #expect(rig.kernel.postTaskManagement(type: 1, ids: [id]))
        try rig.passBy()
        #expect(rig.kernel.inFlight == 1, "its buffers are still in the backend's hands")
        script.release()
        #expect(rig.ends(1)[id]?.status == 0x40)
        #expect(script.operations.count == 2)
        #expect(await rig.waitUntilIdle())
        // Nothing of it is left for the next command in its slot.
        script.answer(.immediate)
        #expect(try rig.run(long.cdb, dataOut: long.dataOut).status == 0)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }

    @Test("A copy that was aborted is told as terminated")
    func status() async throws {
        let (rig, script) = try await CopyTests.start()
        script.answer(.held)
        let (cdb, list) = CopyTests.command([CopyRequestSegment(0, 8192, 8000)], lid4: true)
        let id = try rig.send(cdb, dataOut: list)
        #expect(script.waitForHeld(1))
        #expect(rig.kernel.postTaskManagement(type: 5, ids: [id]))
        try rig.passBy()
        script.release()
        #expect(rig.ends(1)[id]?.status == 0x40)
        let status = try rig.run(InitiatorCDB.receiveCopyStatus4(7), dataInLength: 1024).dataIn
        #expect(status[5] == 0x60)
        #expect(status[12] == 0x40)
        await rig.stop()
    }

    @Test("Single-step commands and those between their last step and their answer end as they would have")
    func others() async throws {
        let (rig, script) = try await CopyTests.start()
        script.answer(.held)
        let read = try rig.send(InitiatorCDB.read10(3, 1), dataInLength: 512)
        let verify = try rig.send(InitiatorCDB.verify10(3, 1))
        let compare = try rig.send(
            InitiatorCDB.compareAndWrite(9, 1), dataOut: [UInt8](repeating: 9, count: 1024))
        #expect(script.waitForHeld(3))
        #expect(rig.kernel.postTaskManagement(type: 5, ids: [read, verify, compare]))
        try rig.passBy()
        script.answer(.immediate)
        script.release()
        let finished = rig.ends(3)
        #expect(finished[read]?.status == 0)
        #expect(finished[verify]?.status == 0)
        #expect(finished[compare]?.codes == Codes.miscompare)
        try expectMemoryIsFree(rig, script)
        await rig.stop()
    }
}
