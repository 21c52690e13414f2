import Glibc
import Testing

@testable import Daemon

@Suite("The control plane's thread")
struct ControlThreadTests {
    @Test("A task, its children and the actors it calls all run there")
    func everythingStays() async {
        let names = await Task(executorPreference: ControlThread.shared) {
            async let child = threadName()
            let actor = Place()
            let before = await actor.threadName
            try? await ControlThread.sleep(for: .milliseconds(1))
            return [threadName(), await child, before, await actor.threadName]
        }.value
        #expect(names == Array(repeating: "tcmud-control", count: 4))
    }

    @Test("Tasks begin in the order in which they were made")
    func order() async {
        let log = Log()
        let tasks = (0..<100).map { number in
            Task(executorPreference: ControlThread.shared) { await log.add(number) }
        }
        for task in tasks { await task.value }
        #expect(await log.numbers == Array(0..<100))
    }

    @Test("Whoever sleeps shorter is up earlier, whoever began first")
    func shorterFirst() async {
        let log = Log()
        let long = Task(executorPreference: ControlThread.shared) {
            try await ControlThread.sleep(for: .seconds(3600))
        }
        let short = Task(executorPreference: ControlThread.shared) {
            try await ControlThread.sleep(for: .milliseconds(2))
            await log.add(1)
        }
        // The end of the short one is seen although the thread was told of the long one first.
        _ = await short.result
        #expect(await log.numbers == [1])
        long.cancel()
        await #expect(throws: CancellationError.self) { try await long.value }
    }

    @Test(
        "The time to wait is rounded up, never without end and at most a day",
        arguments: [
            (Duration.milliseconds(-3), Int32(0)), (.seconds(-1 << 40), 0), (.zero, 0), (.nanoseconds(1), 1),
            (.milliseconds(1), 1),
            (.microseconds(1001), 2), (.seconds(25), 25_000), (.forEver, 86_400_000),
            (.seconds(1 << 60), 86_400_000),
        ])
    func wait(_ length: Duration, _ milliseconds: Int32) {
        #expect(ControlThread.wait(length) == milliseconds)
    }

    @Test("A task cancelled before it sleeps does not sleep", arguments: [Duration.seconds(3600), .forEver])
    func cancelledBefore(_ length: Duration) async {
        let task = Task(executorPreference: ControlThread.shared) {
            withUnsafeCurrentTask { $0?.cancel() }
            try await ControlThread.sleep(for: length)
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("Whoever waits for a descriptor wakes up though there are always jobs to run", .timeLimit(.minutes(1)))
    func neverIdle() async {
        var ends: [CInt] = [-1, -1]
        pipe(&ends)
        let input = ends[0]
        let place = Place()
        let busy = Task(executorPreference: ControlThread.shared) {
            while !Task.isCancelled { await Task.yield() }
        }
        let waiting = Task(executorPreference: ControlThread.shared) {
            _ = await place.threadName
            _ = await ControlThread.wait(for: [(input, Int16(POLLIN))], atMost: nil)
        }
        write(ends[1], "x", 1)
        await waiting.value
        busy.cancel()
        for end in ends { close(end) }
    }

    @Test("Whoever waits for a descriptor wakes up when it is ready, and not for another's")
    func descriptors() async {
        var (mine, others) = ([CInt](repeating: -1, count: 2), [CInt](repeating: -1, count: 2))
        pipe(&mine)
        pipe(&others)
        let (input, quiet) = (mine[0], others[0])
        let log = Log()
        let waiting = Task(executorPreference: ControlThread.shared) {
            _ = await ControlThread.wait(for: [(input, Int16(POLLIN))], atMost: nil)
            await log.add(1)
        }
        let other = Task(executorPreference: ControlThread.shared) {
            _ = await ControlThread.wait(for: [(quiet, Int16(POLLIN))], atMost: nil)
            await log.add(2)
        }
        let limited = Task(executorPreference: ControlThread.shared) {
            _ = await ControlThread.wait(for: [(quiet, Int16(POLLIN))], atMost: .milliseconds(1))
        }
        await limited.value
        #expect(await log.numbers.isEmpty)
        write(mine[1], "x", 1)
        await waiting.value
        #expect(await log.numbers == [1])
        other.cancel()
        await other.value
        #expect(await log.numbers == [1, 2])
        for descriptor in mine + others { close(descriptor) }
    }

    @Test("A thousand sleepers, each cancelled while it goes to sleep, all wake up")
    func cancelledMeanwhile() async {
        let tasks = (0..<1000).map { _ in
            Task(executorPreference: ControlThread.shared) { try await ControlThread.sleep(for: .forEver) }
        }
        for task in tasks { task.cancel() }
        for task in tasks { await #expect(throws: CancellationError.self) { try await task.value } }
    }
}

/// The name of the thread that this runs on.
private func threadName() -> String {
    guard let file = fopen("/proc/thread-self/comm", "r") else { return "" }
    defer { fclose(file) }
    var name: [CChar] = Array(repeating: 0, count: 17)
    guard fgets(&name, 17, file) != nil else { return "" }
    return String(decoding: name.prefix { $0 > 0x20 }.map(UInt8.init), as: UTF8.self)
}

private actor Place {
    var threadName: String { DaemonTests.threadName() }
}

private actor Log {
    private(set) var numbers: [Int] = []

    func add(_ number: Int) {
        numbers.append(number)
    }
}
