import Glibc
import Reactor
import Synchronization
import SystemPackage
import Testing

@Suite("Owned threads")
struct OwnedThreadTests {
    /// What a thread saw of itself.
    private final class Report: Sendable {
        let text = Mutex("")
    }

    private static func file(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var text = [UInt8](repeating: 0, count: 8192)
        let count = text.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        return String(decoding: text.prefix(max(count, 0)), as: UTF8.self)
    }

    private func seen(named name: String, by look: @escaping @Sendable () -> String) throws -> String {
        let report = Report()
        let thread = try #require(OwnedThread(name: name) { report.text.withLock { $0 = look() } })
        thread.join()
        return report.text.withLock { $0 }
    }

    @Test(
        "carries its name, cut to what the kernel keeps",
        arguments: [("loop-0", "loop-0"), ("", ""), ("a-name-of-20-letters", "a-name-of-20-le")])
    func name(given: String, kept: String) throws {
        let name = try seen(named: given) { Self.file("/proc/thread-self/comm") }
        #expect(name == kept + "\n")
    }

    @Test("has every signal blocked that can be") func signals() throws {
        let status = try seen(named: "masked") { Self.file("/proc/thread-self/status") }
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("SigBlk:") })
        let mask = try #require(UInt64(line.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16))
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGCHLD, SIGALRM] {
            #expect(mask >> UInt64(signal - 1) & 1 == 1, "signal \(signal)")
        }
    }

    @Test("the starting thread's own mask is left alone") func ownMask() throws {
        let before = Self.file("/proc/thread-self/status").split(separator: "\n").first { $0.hasPrefix("SigBlk:") }
        _ = try seen(named: "other") { "" }
        let after = Self.file("/proc/thread-self/status").split(separator: "\n").first { $0.hasPrefix("SigBlk:") }
        #expect(before == after)
    }

    @Test("the CPU of a thread that stays on one is not handed on to the threads it starts") func cpus() throws {
        func allowed(_ status: String) -> Substring? {
            status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }?.dropFirst(18).drop {
                $0 == "\t"
            }
        }
        let whole = try #require(allowed(Self.file("/proc/self/status")))
        let first = try #require(Int(whole.prefix { $0.isNumber }))
        let (inner, outer) = (Report(), Report())
        let pinned = try #require(
            OwnedThread(name: "pinned", cpu: first) {
                outer.text.withLock { $0 = Self.file("/proc/thread-self/status") }
                let free = OwnedThread(name: "free") {
                    inner.text.withLock { $0 = Self.file("/proc/thread-self/status") }
                }
                free?.join()
            })
        pinned.join()
        #expect(allowed(outer.text.withLock { $0 }) == "\(first)")
        #expect(allowed(inner.text.withLock { $0 }) == whole)
    }

    @Test("ownership holds on the owner's thread alone") func ownership() throws {
        let check = OwnerCheck()
        #expect(check.holds)
        #expect(try seen(named: "other") { check.holds ? "yes" : "no" } == "no")
    }
}

@Suite("Poller")
struct PollerTests {
    /// Tokens of all events of one wait.
    private func tokens(_ poller: inout Poller, milliseconds: Int32 = 0) -> [UInt64] {
        let count = poller.wait(milliseconds: milliseconds)
        return (0..<count).map { poller.event($0).token }.sorted()
    }

    @Test("events bring the token of what became readable, also a large one") func tokens() throws {
        var poller = try Poller()
        let first = try WakeSignal()
        let second = try WakeSignal()
        try poller.add(first.descriptor, token: 1, trigger: .level)
        try poller.add(second.descriptor, token: .max, trigger: .level)
        #expect(tokens(&poller).isEmpty)
        second.raise()
        #expect(tokens(&poller, milliseconds: 5000) == [.max])
        first.raise()
        #expect(tokens(&poller, milliseconds: 5000) == [1, .max])
        second.clear()
        #expect(tokens(&poller) == [1])
    }

    @Test("level comes again until it is cleared, edge once per change") func triggers() throws {
        var poller = try Poller()
        let level = try WakeSignal()
        let edge = try WakeSignal()
        try poller.add(level.descriptor, token: 1, trigger: .level)
        try poller.add(edge.descriptor, token: 2, trigger: .edge)
        level.raise()
        edge.raise()
        #expect(tokens(&poller) == [1, 2])
        #expect(tokens(&poller) == [1])
        edge.raise()
        #expect(tokens(&poller) == [1, 2])
        level.clear()
        #expect(tokens(&poller).isEmpty)
    }

    @Test("what was removed is silent, and removing it again is no error") func removal() throws {
        var poller = try Poller()
        let signal = try WakeSignal()
        try poller.add(signal.descriptor, token: 1, trigger: .level)
        signal.raise()
        poller.remove(signal.descriptor)
        poller.remove(signal.descriptor)
        poller.remove(-1)
        #expect(tokens(&poller).isEmpty)
        try poller.add(signal.descriptor, token: 2, trigger: .level)
        #expect(tokens(&poller) == [2])
    }

    @Test("adding twice, or what cannot be polled, is an error") func badAdds() throws {
        var poller = try Poller()
        let signal = try WakeSignal()
        try poller.add(signal.descriptor, token: 1, trigger: .level)
        func refusal(_ descriptor: CInt) -> Errno? {
            do throws(Errno) {
                try poller.add(descriptor, token: 2, trigger: .level)
                return nil
            } catch {
                return error
            }
        }
        #expect(refusal(signal.descriptor) == .fileExists)
        #expect(refusal(-1) == .badFileDescriptor)
        let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        #expect(refusal(file) == .notPermitted)
        signal.raise()
        #expect(tokens(&poller) == [1])
    }

    @Test("a hang-up is marked") func hangUp() throws {
        var poller = try Poller()
        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        defer { close(ends[0]) }
        try poller.add(ends[0], token: 9, trigger: .level)
        close(ends[1])
        let count = poller.wait(milliseconds: 5000)
        let event = poller.event(0)
        #expect(count == 1)
        #expect(event.token == 9)
        #expect(event.failed)
    }

    @Test("more events than a batch come with the next wait") func batches() throws {
        var poller = try Poller()
        var pipes: [[CInt]] = []
        defer { for ends in pipes { for end in ends { close(end) } } }
        let total = Poller.batch + 10
        for token in 0..<total {
            var ends: [CInt] = [-1, -1]
            #expect(pipe(&ends) == 0)
            pipes.append(ends)
            try poller.add(ends[0], token: UInt64(token), trigger: .edge)
            var byte: UInt8 = 1
            #expect(write(ends[1], &byte, 1) == 1)
        }
        let first = tokens(&poller)
        let second = tokens(&poller)
        #expect(first.count == Poller.batch)
        #expect(Set(first + second) == Set((0..<total).map(UInt64.init)))
        #expect(tokens(&poller).isEmpty)
    }

    @Test("a sleeper is woken from another thread") func wakeUp() throws {
        var poller = try Poller()
        let signal = try WakeSignal()
        try poller.add(signal.descriptor, token: 3, trigger: .level)
        let descriptor = signal.descriptor
        let thread = try #require(
            OwnedThread(name: "waker") {
                usleep(20_000)
                var one: UInt64 = 1
                _ = write(descriptor, &one, 8)
            })
        // A signal that another test's thread has caused ends a wait, too, with nothing; loops then wait again.
        var found = tokens(&poller, milliseconds: 10_000)
        for _ in 0..<100 where found.isEmpty { found = tokens(&poller, milliseconds: 1000) }
        #expect(found == [3])
        thread.join()
    }

    @Test("raised many times is cleared at once") func clearing() throws {
        var poller = try Poller()
        let signal = try WakeSignal()
        try poller.add(signal.descriptor, token: 1, trigger: .level)
        for _ in 0..<10 { signal.raise() }
        signal.clear()
        #expect(tokens(&poller).isEmpty)
        signal.clear()
    }
}
