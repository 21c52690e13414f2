import KernelFiles
import TCMUNetlink
import TCMUTestKit
import Testing

@testable import Daemon

@Suite("Time-outs: whether they fit together, and what to change")
struct TimeoutLadderTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let settings: TimeoutLadder.Settings
        let findings: [TimeoutLadder.Finding]

        init(
            _ title: String, operation: Int?, command: Int, queueFull: Int, late: Int? = nil,
            transition: Int? = nil, mayHang: Bool = false,
            _ findings: TimeoutLadder.Finding...
        ) {
            testDescription = title
            var settings = TimeoutLadder.Settings(
                operation: operation, command: command, queueFull: queueFull, late: late, transition: transition)
            settings.mayHang = mayHang
            self.settings = settings
            self.findings = findings
        }
    }

    static let cases = [
        Case("ceph-iscsi's own", operation: 30, command: 0, queueFull: 5),
        Case("ceph-iscsi's own, osd_op_timeout raised as Ceph needs it", operation: 31, command: 0, queueFull: 5),
        Case("no room, no wait", operation: 59, command: 0, queueFull: 0),
        Case("the kernel outlasts Ceph", operation: 30, command: 31, queueFull: 5),
        Case(
            "the kernel's defaults under Ceph", operation: 30, command: 30, queueFull: -1,
            .kernelBeforeCeph(command: 30, operation: 30), .initiatorBeforeCeph(waiting: 30, operation: 30)),
        Case(
            "the kernel's defaults on a disk that may hang", operation: nil, command: 30, queueFull: -1,
            mayHang: true, .kernelBeforeDisk(command: 30)),
        Case(
            "a disk that may hang, and initiators that wait", operation: nil, command: 0, queueFull: 5,
            mayHang: true),
        Case("the kernel's defaults without Ceph", operation: nil, command: 30, queueFull: -1),
        Case("no limit of Ceph's", operation: 0, command: 30, queueFull: -1),
        Case(
            "-1 and no limit of the kernel's is 30 s", operation: 30, command: 0, queueFull: -1,
            .initiatorBeforeCeph(waiting: 30, operation: 30)),
        Case("one second below the initiators'", operation: 54, command: 0, queueFull: 5),
        Case(
            "as long as the initiators'", operation: 55, command: 0, queueFull: 5,
            .initiatorBeforeCeph(waiting: 5, operation: 55)),
        Case(
            "a long wait for room without Ceph", operation: nil, command: 0, queueFull: 60,
            .initiatorBeforeRoom(waiting: 60)),
        Case(
            "late before Ceph gives up", operation: 30, command: 0, queueFull: 5, late: 29,
            .lateBeforeCeph(late: 29, operation: 30)),
        Case("late with Ceph", operation: 30, command: 0, queueFull: 5, late: 30),
        Case(
            "absurd", operation: .max, command: .max, queueFull: .max, late: .max,
            .kernelBeforeCeph(command: 3_155_760_000, operation: 3_155_760_000),
            .initiatorBeforeCeph(waiting: 3_155_760_000, operation: 3_155_760_000)),
        Case("ceph-iscsi's own groups", operation: 30, command: 0, queueFull: 5, transition: 45),
        Case(
            "a short transition", operation: 30, command: 0, queueFull: 5, transition: 29,
            .transitionBeforeCeph(transition: 29, operation: 30)),
        Case("negative", operation: .min, command: .min, queueFull: .min, late: .min),
    ]

    @Test("findings", arguments: cases)
    func findings(_ one: Case) {
        let ladder = TimeoutLadder(one.settings)
        #expect(ladder.findings == one.findings)
        #expect(ladder.lines.count == one.findings.count)
    }

    @Test("each line says what to change")
    func lines() {
        var disk = TimeoutLadder.Settings()
        disk.mayHang = true
        #expect(TimeoutLadder(disk).lines.first?.contains("Set the attribute cmd_time_out to 0") == true)
        #expect(
            TimeoutLadder(.init(operation: 31, command: 30, queueFull: -1, late: 10)).lines == [
                """
                cmd_time_out is 30 s, and Ceph may take 31 s (osd_op_timeout): the kernel fails commands that are still \
                carried out. Set the attribute cmd_time_out to 0, or to more than 31
                """,
                """
                a command may wait 30 s for room (qfull_time_out) and 31 s for Ceph (osd_op_timeout), and initiators \
                give it up after 60 s and reset: set the attribute qfull_time_out to 5
                """,
                """
                tcmur_cmd_time_out is 10 s, and Ceph may take 31 s (osd_op_timeout): slow commands are taken for stuck \
                ones. Set it to more than 31, or leave it out
                """,
            ])
        #expect(
            TimeoutLadder(.init(operation: 90, command: 0, queueFull: 5)).lines.first?.hasSuffix(
                "reset: make osd_op_timeout less than 55, or the initiators' longer") == true)
        #expect(
            TimeoutLadder(.init(operation: 90, command: 0, queueFull: 30)).lines.first?.hasSuffix(
                "set the attribute qfull_time_out to 5, and make osd_op_timeout less than 55, or the initiators' longer"
            ) == true)
    }

    @Test("read from configfs; what is no number is said and no more")
    func reading() async throws {
        let device = SimulatedDevice(7, "mem/a")
        let tree = KernelTree()
        tree.add(device)
        let backstore = try tree.backstore(of: device)
        #expect(try backstore.commandTimeout() == nil)
        #expect(try backstore.queueFullTimeout() == nil)
        tree.write("0\n", to: "\(device.configFS)/attrib/cmd_time_out")
        tree.write("-1\n", to: "\(device.configFS)/attrib/qfull_time_out")
        #expect(try backstore.commandTimeout() == 0)
        #expect(try backstore.queueFullTimeout() == -1)
        tree.write("-2\n", to: "\(device.configFS)/attrib/qfull_time_out")
        #expect(throws: (any Error).self) { try backstore.queueFullTimeout() }
    }

    @Test("a wrong ladder is told when an initiator first asks, not before: it may be set after the open")
    func warning() async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        let target = "iqn.2026-01.com.example:t0"
        rig.tree.add(device)
        rig.tree.addGroup("ao", id: 1, of: device, members: ["iSCSI/\(target)/tpgt_1/lun_0"])
        rig.tree.addPort(1, target: target, index: 1)
        rig.nodes.put(ring.simulator, minor: 7)
        let added = try await rig.announce(.added, device)
        #expect(await rig.answer(to: added) == 0)
        #expect(await rig.logs("serving mem/a"))
        rig.tree.write("90\n", to: "\(device.configFS)/attrib/qfull_time_out")
        // On a busy machine the answer may be BUSY; configfs is read for it all the same.
        _ = await ring.perform(InitiatorCDB.inquiry(), dataInLength: 96)
        #expect(await rig.logs("warning: mem/disk7: a command may wait 90 s for room (qfull_time_out)"))
        await rig.stop()
    }
}
