import BlockBackend
import Glibc
import Reactor
import Synchronization
import SystemPackage
import Testing

@testable import RBDBackend

@Suite(
    "The mailbox and the service entry on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterMailboxTests {
    private func watchers(_ options: RBDOptions) throws -> Int {
        let namespace = options.namespace.map { "-N \($0) " } ?? ""
        return try tool("rados -p \(options.pool) \(namespace)listwatchers rbd_id.\(options.image)").split(
            whereSeparator: \.isNewline
        ).count
    }

    /// Asks on a thread of its own.
    private final class Asking: Sendable {
        private final class Answer: Sendable {
            let value = Mutex<Result<NotifyAnswers, Errno>?>(nil)
        }

        private let answer = Answer()
        private let thread: OwnedThread

        init(_ mailbox: HandOverMailbox, _ request: HandOverRequest, milliseconds: Int) throws {
            let answer = answer
            thread = try #require(
                OwnedThread(name: "asking") {
                    let outcome = mailbox.ask(request, milliseconds: milliseconds)
                    answer.value.withLock { $0 = outcome }
                })
        }

        func result() throws -> Result<NotifyAnswers, Errno> {
            thread.join()
            return try #require(answer.value.withLock { $0 })
        }
    }

    @Test(
        "a question reaches the other gateways of the image and no others, and its answer comes back",
        arguments: [nil, "ns"])
    func handOver(namespace: String?) throws {
        if let namespace { try tool("rbd namespace create \(scratchPool)/\(namespace) || true") }
        let scratch = try ScratchImage(namespace: namespace)
        let one = try GatewayImage(scratch.options)
        let two = try GatewayImage(scratch.options)
        let (first, second) = (Calls(), Calls())
        let asking = try one.mailbox(first.handlers)
        let owning = try two.mailbox(second.handlers)
        #expect(try watchers(scratch.options) == 2)
        let request = HandOverRequest(host: "gw1", client: one.client)
        let asked = try Asking(asking, request, milliseconds: 20_000)
        #expect(eventually { second.questions.withLock { !$0.isEmpty } })
        let question = try #require(second.questions.withLock { $0.first })
        #expect(question.request == request)
        #expect(question.sender == one.client)
        owning.answer(question, .hold(milliseconds: 300), host: "gw2")
        let answers = try asked.result().get()
        #expect(answers.answers.map(\.client) == [two.client])
        #expect(answers.answers.first?.reply == HandOverReply(.hold(milliseconds: 300), host: "gw2"))
        #expect(answers.silent == [])
        #expect(first.questions.withLock { $0.isEmpty }, "nobody asks itself")
        #expect(try asking.age().get() >= 0)
    }

    @Test("whoever does not answer is named; nobody else is waited for")
    func silent() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let two = try GatewayImage(scratch.options)
        let calls = Calls()
        let asking = try one.mailbox(Calls().handlers)
        let request = HandOverRequest(host: "gw1", client: one.client)
        let alone = try asking.ask(request, milliseconds: 20_000).get()
        #expect(alone.answers == [] && alone.silent == [])
        let owning = try two.mailbox(calls.handlers)
        let answers = try asking.ask(request, milliseconds: 100).get()
        #expect(answers.answers == [])
        #expect(answers.silent == [two.client])
        // Too late: goes nowhere.
        if let question = calls.questions.withLock({ $0.first }) { owning.answer(question, .released) }
        #expect(calls.errors.withLock { $0.isEmpty })
    }

    @Test("a gateway that was killed costs the one who asks its wait, no more")
    func killed() async throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let asking = try one.mailbox(Calls().handlers)
        let name = scratch.options.image
        var silent = 0
        // Ceph forgets the watch of a client that has gone for 30 s, and on a busy machine that may be over before it is asked.
        for _ in 0..<5 where silent == 0 {
            await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
                var options = RBDOptions(pool: scratchPool, image: name)
                let conf = try #require(scratchCluster)
                options.confPath = conf
                // No watch on the image itself, which would keep it from being removed.
                options.readOnly = true
                let two = try GatewayImage(options)
                let owning = try two.mailbox(Calls().handlers)
                kill(getpid(), SIGKILL)
                withExtendedLifetime(owning) {}
            }
            let answers = try asking.ask(HandOverRequest(host: "gw1", client: one.client), milliseconds: 1000).get()
            #expect(answers.answers == [])
            silent = answers.silent.count
        }
        #expect(silent == 1)
    }

    @Test("a call is heard by who is there, and nobody is asked for anything")
    func called() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let two = try GatewayImage(scratch.options)
        let calls = Calls()
        let calling = try one.mailbox(Calls().handlers)
        #expect(try calling.hears(two.client, milliseconds: 5000).get() == false)
        let called = try two.mailbox(calls.handlers)
        #expect(try calling.hears(two.client, milliseconds: 5000).get())
        #expect(try calling.hears(12345, milliseconds: 5000).get() == false)
        #expect(calls.questions.withLock { $0.isEmpty })
        withExtendedLifetime(called) {}
    }

    @Test("bytes that are no message are answered at once, with nothing")
    func garbage() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let calls = Calls()
        let mailbox = try one.mailbox(calls.handlers)
        // The tool waits 30 s for watchers that do not answer, and says so.
        let said = try tool("rados -p \(scratchPool) notify rbd_id.\(scratch.options.image) 'no message' 2>&1")
        #expect(said.contains("reply client.\(one.client)"), "\(said)")
        #expect(!said.contains("timeout"), "\(said)")
        #expect(calls.questions.withLock { $0.isEmpty })
        withExtendedLifetime(mailbox) {}
    }

    @Test("a client that is blocklisted learns it without doing anything")
    func blocklistedClient() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let calls = Calls()
        let mailbox = try one.mailbox(calls.handlers)
        let address = try #require(one.addresses.first)
        try tool("ceph osd blocklist add \(address)")
        defer { _ = try? tool("ceph osd blocklist rm \(address)") }
        #expect(eventually { calls.errors.withLock { !$0.isEmpty } })
        #expect(calls.errors.withLock { $0.first } == Errno(rawValue: ENOTCONN))
        #expect(mailbox.age().errno == Errno(rawValue: ENOTCONN))
        #expect(mailbox.ask(HandOverRequest(host: "gw1", client: 1), milliseconds: 1000).errno == blocklisted)
    }

    @Test(
        "the watch is in nobody's way when the image is renamed, put into the trash or removed, and says that it ended",
        arguments: ["mv", "trash mv", "rm"])
    func removed(operation: String) throws {
        // By way of another image of the pool: an image's own watch does keep it from being removed.
        let scratch = try ScratchImage()
        let name = "\(scratch.options.image)-b"
        let spec = "\(scratchPool)/\(name)"
        try tool("rbd create \(spec) --size 4M")
        let one = try GatewayImage(scratch.options)
        let calls = Calls()
        let mailbox = try HandOverMailbox(one.image.context, image: name, handlers: calls.handlers)
        #expect(try tool("rbd status \(spec)").contains("Watchers: none"))
        try tool("rbd \(operation) \(spec)\(operation == "mv" ? " \(spec)-b" : "")")
        #expect(eventually { calls.errors.withLock { !$0.isEmpty } })
        #expect(calls.errors.withLock { $0 } == [Errno(rawValue: ENOTCONN)])
        #expect(
            mailbox.ask(HandOverRequest(host: "gw1", client: 1), milliseconds: 1000).errno == .noSuchFileOrDirectory
        )
        if operation == "mv" { try tool("rbd rm --no-progress \(spec)-b") }
    }

    @Test("nothing is left behind: no watch after closing, and none of an image that does not exist")
    func closed() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        for _ in 0..<5 {
            let mailbox = try one.mailbox(Calls().handlers)
            #expect(try mailbox.age().get() >= 0)
        }
        #expect(try watchers(scratch.options) == 0)
        let error = #expect(throws: BackendError.self) {
            _ = try HandOverMailbox(one.image.context, image: "no-such-image", handlers: Calls().handlers)
        }
        #expect(error?.errno == .noSuchFileOrDirectory)
    }

    @Test("each image has its entry in the service map, with the original's keys; gone when it is closed")
    func service() throws {
        let first = try ScratchImage()
        let second = try ScratchImage()
        var one: GatewayImage? = try GatewayImage(first.options)
        let two = try GatewayImage(second.options)
        let host = "gw-\(UInt32.random(in: 0...UInt32.max))"
        let entries = try [#require(one), two].map { try $0.service(host: host).get() }
        #expect(try #require(one).service(host: host).errno == .fileExists)
        var status = ServiceStatus()
        status.isLockOwner = true
        status.locksLost = 7
        for entry in entries { try entry.update(status).get() }
        func map() throws -> JSONValue? { try JSONValue(tool("ceph service status -f json"))?["tcmu-runner"] }
        #expect(
            try eventually { try map()?["\(host):\(first.spec)"] != nil && map()?["\(host):\(second.spec)"] != nil }
        )
        #expect(try eventually { try map()?["\(host):\(first.spec)"]?["status"]?["lock_owner"] != nil })
        let told = try #require(try map()?["\(host):\(first.spec)"]?["status"])
        #expect(
            told
                == .object([
                    "lock_owner": .string("true"), "lock_lost_cnt": .string("7"), "conn_lost_cnt": .string("0"),
                    "cmd_timed_out_cnt": .string("0"),
                ]))
        // The managers tell the status before the monitors have the map.
        func described() throws -> JSONValue? {
            try JSONValue(tool("ceph service dump -f json"))?["services"]?["tcmu-runner"]?["daemons"]?[
                "\(host):\(second.spec)"]?["metadata"]
        }
        #expect(try eventually { try described()?["hostname"] != nil })
        let metadata = try described()
        for (key, value) in ServiceEntry.metadata(
            host: host, options: second.options, imageID: two.image.identifier ?? "?")
        {
            #expect(metadata?[key] == .string(value), "\(key)")
        }
        #expect(metadata?["hostname"] == .string(nodeName()))
        one = nil
        #expect(try eventually { try map()?["\(host):\(first.spec)"] == nil })
        #expect(try map()?["\(host):\(second.spec)"] != nil)
    }
}
