import BlockBackend
import Glibc
import RBDBackend
import Reactor
import Synchronization
import SystemPackage
import Testing

/// Counts its living ones.
private final class Instance: Sendable {
    static let alive = Mutex<[String: Int]>([:])
    let owner: String
    let number: Int

    init(_ owner: String, number: Int = 0) {
        self.owner = owner
        self.number = number
        Self.alive.withLock { $0[owner, default: 0] += 1 }
    }

    deinit {
        Self.alive.withLock { $0[owner, default: 0] -= 1 }
    }

    static func alive(_ owner: String) -> Int { alive.withLock { $0[owner] ?? 0 } }
}

/// What threads have found.
private final class Findings: Sendable {
    let attempts = Atomic<Int>(0)
    let instances = Mutex<[Instance]>([])
    let errors = Mutex<[String]>([])

    /// Asks once and notes what came of it.
    func ask(
        _ registry: SharedInstances<String, Instance>, _ key: String, _ make: () throws(BackendError) -> Instance
    ) {
        do throws(BackendError) {
            let instance = try registry.instance(key, make: make)
            instances.withLock { $0.append(instance) }
        } catch {
            errors.withLock { $0.append(error.message) }
        }
    }
}

/// Runs `body` on `count` threads and waits for all of them.
private func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
    let threads = (0..<count).map { index in OwnedThread(name: "asker-\(index)") { body(index) } }
    for thread in threads { thread?.join() }
    try #require(!threads.contains { $0 == nil })
}

/// Sleeps until `condition` holds, which no outcome depends on but the test's end.
private func wait(for condition: () -> Bool) {
    for _ in 0..<60_000 where !condition() { usleep(1000) }
}

@Suite("Shared instances")
struct SharedInstancesTests {
    @Test("the first makes it, the next ones have it, the last takes it along")
    func lifetime() throws {
        let registry = SharedInstances<String, Instance>()
        var first: Instance? = try registry.instance("a") { Instance("lifetime", number: 1) }
        var second: Instance? = try registry.instance("a") { Instance("lifetime", number: 2) }
        let other = try registry.instance("b") { Instance("lifetime", number: 3) }
        #expect(first === second)
        #expect(other.number == 3)
        #expect(registry.count == 2)
        first = nil
        #expect(Instance.alive("lifetime") == 2)
        second = nil
        #expect(Instance.alive("lifetime") == 1)
        let third = try registry.instance("a") { Instance("lifetime", number: 4) }
        #expect(third.number == 4)
        #expect(other.number == 3)
    }

    @Test("keys whose instances are gone are forgotten")
    func forgotten() throws {
        let registry = SharedInstances<String, Instance>()
        for index in 0..<100 { _ = try registry.instance("\(index)") { Instance("forgotten") } }
        #expect(registry.count <= 1)
        #expect(Instance.alive("forgotten") == 0)
    }

    @Test("threads that come while it is made get the same one")
    func concurrentSuccess() throws {
        let registry = SharedInstances<String, Instance>()
        let findings = Findings()
        try onThreads(8) { _ in
            findings.ask(registry, "a") {
                findings.attempts.add(1, ordering: .relaxed)
                wait { registry.visitors(of: "a") == 8 }
                return Instance("concurrent")
            }
        }
        #expect(findings.attempts.load(ordering: .relaxed) == 1)
        #expect(findings.errors.withLock { $0 } == [])
        #expect(Set(findings.instances.withLock { $0.map(ObjectIdentifier.init) }).count == 1)
        #expect(findings.instances.withLock { $0.count } == 8)
    }

    @Test("threads that come while it fails share the failure; the next one tries anew")
    func concurrentFailure() throws {
        let registry = SharedInstances<String, Instance>()
        let findings = Findings()
        try onThreads(8) { _ in
            findings.ask(registry, "a") { () throws(BackendError) in
                let attempt = findings.attempts.add(1, ordering: .relaxed).newValue
                wait { registry.visitors(of: "a") == 8 }
                throw BackendError(.timedOut, "attempt \(attempt)")
            }
        }
        #expect(findings.errors.withLock { $0 } == Array(repeating: "attempt 1", count: 8))
        findings.ask(registry, "a") { Instance("failure") }
        #expect(findings.instances.withLock { $0.count } == 1, "a failure is not remembered")
        #expect(registry.count == 1)
    }

    @Test("one key's slow attempt does not hold up another's")
    func independentKeys() throws {
        let registry = SharedInstances<String, Instance>()
        let findings = Findings()
        try onThreads(2) { index in
            // Each is made only while the other is being made.
            findings.ask(registry, "\(index)") { () throws(BackendError) in
                findings.attempts.add(1, ordering: .relaxed)
                wait { findings.attempts.load(ordering: .relaxed) == 2 }
                if findings.attempts.load(ordering: .relaxed) != 2 { throw BackendError(.timedOut, "alone") }
                return Instance("independent")
            }
        }
        #expect(findings.instances.withLock { $0.count } == 2)
        #expect(findings.errors.withLock { $0 } == [])
    }

    @Test("a retired one stays with its holders, and only itself is retired")
    func retired() throws {
        let registry = SharedInstances<String, Instance>()
        let old = try registry.instance("a") { Instance("retired", number: 1) }
        registry.retire(old, of: "a")
        let new = try registry.instance("a") { Instance("retired", number: 2) }
        #expect(old.number == 1)
        #expect(new.number == 2)
        registry.retire(old, of: "a")
        #expect(try registry.instance("a") { Instance("retired", number: 3) } === new)
        #expect(Instance.alive("retired") == 2)
    }

    @Test("asking and letting go from many threads never leaves two at once in the registry, nor one behind")
    func churn() throws {
        let registry = SharedInstances<String, Instance>()
        let findings = Findings()
        try onThreads(8) { index in
            for round in 0..<200 {
                let key = "\((index + round) % 3)"
                let failing = round % 7 == 0
                do throws(BackendError) {
                    let instance = try registry.instance(key) { () throws(BackendError) in
                        if failing { throw BackendError(.ioError, "round \(round)") }
                        return Instance("churn")
                    }
                    let again = try registry.instance(key) { Instance("churn") }
                    if instance !== again { findings.errors.withLock { $0.append("two of \(key)") } }
                } catch {}
            }
        }
        #expect(findings.errors.withLock { $0 } == [])
        #expect(Instance.alive("churn") == 0)
    }

    @Test("an attempt under way is waited for, and none before it counts")
    func attempts() throws {
        let attempt = SharedAttempt()
        let early = attempt.arrival
        #expect(throws: BackendError.self) {
            try attempt.alone { () throws(BackendError) -> Int in throw BackendError(.ioError, "first") }
        }
        let error = #expect(throws: BackendError.self) { try attempt.alone(since: early) { 1 } }
        #expect(error?.message == "first")
        #expect(try attempt.alone { 2 } == 2)
        #expect(try attempt.alone(since: early) { 3 } == 3, "the last attempt succeeded")
    }
}

@Suite("Profiles of Ceph clients")
struct ClientProfileTests {
    @Test("images of the same settings have the same profile, whatever their names and the order")
    func same() {
        var first = RBDOptions(pool: "p", image: "a")
        var second = RBDOptions(pool: "q", image: "b")
        second.snapshot = "s"
        first.settings = [RBDSetting("x", "1"), RBDSetting("y", "2")]
        second.settings = [RBDSetting("y", "1"), RBDSetting("y", "2"), RBDSetting("x", "1")]
        #expect(ClientProfile(first) == ClientProfile(second))
        #expect(ClientProfile(first).difference(from: ClientProfile(second)) == nil)
    }

    @Test("every setting that is made before connecting counts, and is named where it differs")
    func different() {
        let plain = RBDOptions(pool: "p", image: "a")
        let changes: [(String, (inout RBDOptions) -> Void)] = [
            ("conf /b instead of not set", { $0.confPath = "/b" }),
            ("id x instead of not set", { $0.cephxID = "x" }),
            ("osd_op_timeout 40 instead of not set", { $0.osdOperationTimeoutSeconds = 40 }),
            ("connect timeout 5 instead of 20", { $0.connectTimeoutSeconds = 5 }),
            ("rbd_x false instead of not set", { $0.settings = [RBDSetting("rbd_x", "false")] }),
            (
                "a 1 instead of not set, b 2 instead of not set",
                { $0.settings = [RBDSetting("b", "2"), RBDSetting("a", "1")] }
            ),
        ]
        for (words, change) in changes {
            var options = plain
            change(&options)
            #expect(ClientProfile(options) != ClientProfile(plain))
            #expect(ClientProfile(options).difference(from: ClientProfile(plain)) == words)
        }
    }

    @Test(
        "a context has a messenger worker per CPU, within librados' bounds",
        arguments: [(-1, 3), (1, 3), (3, 3), (4, 4), (24, 24), (256, 24)])
    func workers(cpus: Int, expected: Int) {
        #expect(messengerWorkers(cpus: cpus) == expected)
    }
}
