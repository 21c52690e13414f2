import BlockBackend
import Glibc
import LogicalUnit
import Reactor
import SCSI
import Synchronization
import SystemPackage
import TCMUNetlink
import TCMURing
import TCMUTestKit
import Testing

@testable import Daemon

/// A pipe with a small buffer, and what is read from it.
private final class TestPipe {
    let reader: CInt
    let writer: CInt

    init() throws {
        var ends: [CInt] = [-1, -1]
        try #require(pipe(&ends) == 0)
        (reader, writer) = (ends[0], ends[1])
        // F_SETPIPE_SZ
        _ = fcntl(writer, 1031, 4096)
    }

    /// Nothing more goes into it until it is read.
    func fill() {
        let flags = fcntl(writer, F_GETFL)
        _ = fcntl(writer, F_SETFL, flags | O_NONBLOCK)
        while write(writer, "filler\n", 7) > 0 {}
        while write(writer, "\n", 1) > 0 {}
        _ = fcntl(writer, F_SETFL, flags)
    }

    /// All lines until they are enough. Blocks for ever if they never are.
    func lines(until isEnough: ([String]) -> Bool) -> [String] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(reader, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
            if bytes.last == 10, isEnough(lines) { return lines }
        }
        return []
    }
}

@Suite("The log never holds up who logs, and cannot be filled by initiators")
struct LogTests {
    @Test("a reader that has stopped: lines that fit are kept, the others counted where they are missing")
    func stoppedReader() throws {
        let pipe = try TestPipe()
        let log = LogPipe(to: pipe.writer, capacity: 1000)
        pipe.fill()
        // More than the store takes.
        for number in 0..<2000 { log.write("line \(number) \(String(repeating: "x", count: 90))\n") }
        #expect(!log.flush(within: .milliseconds(20)))
        func kept(_ lines: [String]) -> Int { lines.count { $0.hasPrefix("line ") } }
        func lost(_ lines: [String]) -> Int {
            lines.filter { $0.contains("lines of the log are lost") }.reduce(0) { sum, line in
                sum + (Int(line.prefix { $0 != " " }) ?? 0)
            }
        }
        let lines = pipe.lines { kept($0) + lost($0) >= 2000 }
        #expect(kept(lines) + lost(lines) == 2000)
        #expect(kept(lines) >= 10)
        #expect(lost(lines) > 0)
        #expect(log.flush(within: .seconds(60)))
        log.write("after it\n")
        #expect(pipe.lines { $0.last == "after it" }.last == "after it")
    }

    @Test(
        "a reader that has gone and a descriptor that is closed are no trap, no signal and no wait",
        arguments: [true, false])
    func noReader(closed: Bool) throws {
        let pipe = try TestPipe()
        close(pipe.reader)
        // A number that no other test's file gets.
        let descriptor = closed ? CInt(1_000_000) : pipe.writer
        let log = LogPipe(to: descriptor, capacity: 1000)
        for _ in 0..<100 { log.write("a line\n") }
        #expect(log.flush(within: .seconds(60)))
        log.write("a line\n")
        #expect(log.flush(within: .seconds(60)))
    }

    @Test(
        "a FIFO whose reader has gone: no signal and no wait, and the next reader is told how many lines it missed")
    func nextReader() throws {
        var template = Array("/tmp/log-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let path = "\(directory)/fifo"
        try #require(mkfifo(path, 0o600) == 0)
        defer {
            unlink(path)
            rmdir(directory)
        }
        let first = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let writer = open(path, O_WRONLY | O_CLOEXEC)
        try #require(first >= 0 && writer >= 0)
        let log = LogPipe(to: writer, capacity: 1000)
        log.write("before\n")
        #expect(log.flush(within: .seconds(60)))
        var line = [UInt8](repeating: 0, count: 16)
        #expect(read(first, &line, line.count) == 7, "or the next reader would get it")
        close(first)
        for number in 0..<100 { log.write("missed \(number)\n") }
        #expect(log.flush(within: .seconds(60)), "nobody is waited for")
        for _ in 0..<100 { log.write("missed\n") }
        #expect(log.flush(within: .seconds(60)))
        let second = open(path, O_RDONLY | O_CLOEXEC)
        try #require(second >= 0)
        defer { close(second) }
        var text = ""
        var chunk = [UInt8](repeating: 0, count: 4096)
        for number in 0..<3000 where !text.hasSuffix("after\n") {
            if number % 10 == 0, text.contains("lines of the log are lost") { log.write("after\n") }
            var entry = pollfd(fd: second, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 20) > 0, entry.revents & Int16(POLLIN) != 0 else { continue }
            let count = read(second, &chunk, chunk.count)
            text += String(decoding: chunk.prefix(max(count, 0)), as: UTF8.self)
        }
        #expect(text.hasPrefix("200 lines of the log are lost"), "\(text)")
        #expect(text.hasSuffix("after\n"))
    }

    @Test("a thread that cannot be had at first is tried again, and what fits is written then")
    func noThread() throws {
        let pipe = try TestPipe()
        let attempts = Atomic<Int>(0)
        let log = LogPipe(to: pipe.writer, capacity: 1000) { body in
            attempts.add(1, ordering: .relaxed)
            return attempts.load(ordering: .relaxed) < 3 ? nil : OwnedThread(name: "test-log", body: body)
        }
        for number in 0..<40 { log.write("\(number)\n") }
        #expect(log.flush(within: .seconds(60)))
        #expect(pipe.lines { $0.count == 40 } == (0..<40).map { "\($0)" })
        #expect(attempts.load(ordering: .relaxed) == 3)
    }

    @Test("a full disk loses lines and nothing else")
    func fullDisk() throws {
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(full >= 0)
        let log = LogPipe(to: full, capacity: 1000)
        for _ in 0..<100 { log.write("a line\n") }
        #expect(!log.flush(within: .milliseconds(300)), "they are counted until they can be told of")
    }

    // MARK: - What units tell

    private static let cdb = CDB([0])

    @Test("a flood of events leaves a few of each kind and a count, and what must not be lost")
    func flood() {
        let inbox = UnitInbox()
        inbox.put(.ringFailed(.inOrderOnly))
        inbox.put(.backend(.availability(.recovering(errno: 110))))
        inbox.put(
            .modeParametersChanged(
                ModeParameters(writeCacheEnabled: false, softwareWriteProtect: false, descriptorSense: false)))
        for number in 0..<10_000 {
            inbox.put(.taskManagement("LOGICAL UNIT RESET", commands: number))
            inbox.put(.factsNeeded(FactsRequest(number: UInt64(number), wantsExclusion: number == 5)))
        }
        inbox.put(.backend(.availability(.ready)))
        let (events, missed) = inbox.take()
        #expect(events.count == UnitInbox.linesOfAKind + 4)
        #expect(missed == [.taskManagement: 10_000 - UnitInbox.linesOfAKind])
        let kept = events.compactMap { event -> String? in
            switch event {
            case .ringFailed: "ring"
            case .modeParametersChanged: "modes"
            case .factsNeeded(let request): request.wantsExclusion ? "facts \(request.number)" : "lost"
            case .backend(.availability(let availability)): availability == .ready ? "ready" : "away"
            default: nil
            }
        }
        #expect(kept == ["ring", "modes", "facts 9999", "ready"], "the last word on how things stand")
        #expect(inbox.take().events.isEmpty)
    }

    @Test("lines of a kind: as many as a window takes, a count for the rest, and again in the next one")
    func measure() {
        var measure = LogMeasure()
        let begin = ContinuousClock.now
        for _ in 0..<LogMeasure.linesInAWindow { #expect(measure.admit(.taskManagement, at: begin) == .log) }
        let end = begin + LogMeasure.window
        #expect(measure.admit(.taskManagement, at: begin + .seconds(1)) == .leaveOutFirst(until: end))
        #expect(measure.admit(.taskManagement, at: begin + .seconds(2)) == .leaveOut)
        #expect(measure.admit(.erasure, at: begin) == .log, "another kind has a measure of its own")
        #expect(measure.admit(.taskManagement, at: end + .seconds(1)) == .leaveOut, "its count is not told yet")
        #expect(measure.close(.taskManagement) == 3)
        #expect(measure.close(.taskManagement) == 0)
        #expect(measure.admit(.taskManagement, at: end + .seconds(2)) == .log)
        #expect(measure.add(7, to: .taskManagement, at: end) == .leaveOutFirst(until: end + .seconds(62)))
        #expect(measure.closeAll().map(\.missed) == [7])
    }

    @Test("logical unit resets without end: a handful of lines, and one that counts the others")
    func resets() async throws {
        let rig = try DaemonRig()
        let ring = try KernelRing()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = ring.simulator.geometry.mapSize
        rig.tree.add(device)
        rig.nodes.put(ring.simulator, minor: 7)
        #expect(await rig.answer(to: try rig.announce(.added, device)) == 0)
        for _ in 0..<200 {
            _ = ring.simulator.postTaskManagement(type: 5, ids: [])
            ring.simulator.notify()
            _ = await ring.perform(InitiatorCDB.testUnitReady)
        }
        await rig.stop()
        let lines = rig.log.lines.filter { $0.contains("for 0 commands in flight") }
        #expect(lines.count == LogMeasure.linesInAWindow)
        #expect(await rig.logs("more task management functions within a minute"))
    }
}
