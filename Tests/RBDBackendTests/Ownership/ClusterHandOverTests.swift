import BlockBackend
import Glibc
import Reactor
import Synchronization
import Testing

@testable import RBDBackend

/// Who is asked for the lock, and what is answered.
@Suite(
    "Questions for the lock on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterHandOverTests {
    /// Keeps a loop from working on until it is opened.
    private final class Barrier: Sendable {
        private let isOpen = Mutex(false)

        func open() { isOpen.withLock { $0 = true } }

        func wait() {
            while !isOpen.withLock({ $0 }) { usleep(500) }
        }
    }

    private func ask(_ asker: GatewayImage, _ mailbox: HandOverMailbox) throws -> NotifyAnswers {
        try mailbox.ask(HandOverRequest(host: "gw9", client: asker.client), milliseconds: 1000).get()
    }

    @Test("an owner whose keeper is at something else answers at once, but not for ever")
    func busy() throws {
        let turn = OSDTurn()
        let image = try ScratchImage()
        let one = try image.gateway()
        try one.writeThrough(block(1), block: 0)
        let asker = try GatewayImage(image.options)
        let mailbox = try asker.mailbox(Calls().handlers)
        // Past its hold time: whoever is not busy would give the lock away.
        usleep(600_000)
        let client = one.client
        let barrier = Barrier()
        one.loop.post { barrier.wait() }
        #expect(one.waits { $0.loop.waiting == 0 })
        let bytes = image.bytes
        let resizing = try #require(OwnedThread(name: "resizing") { try? one.resize(to: bytes) })
        // The keeper waits for the loop.
        #expect(one.waits { $0.loop.waiting > 0 })
        for _ in 0..<3 {
            let answers = try ask(asker, mailbox)
            #expect(answers.answers.map(\.client) == [client])
            #expect(answers.answers.map(\.reply?.verdict) == [.hold(milliseconds: 100)])
            #expect(answers.silent == [])
        }
        #expect(try image.isLocked())
        // Hanging for good is no way to keep the lock.
        usleep(2_000_000)
        let answers = try ask(asker, mailbox)
        #expect(answers.answers == [])
        #expect(answers.silent == [client])
        barrier.open()
        resizing.join()
        #expect(one.remarks.allSatisfy { !$0.contains("opened anew") }, "\(one.remarks)")
        one.close()
        withExtendedLifetime(turn) {}
    }

    /// A pool of which no OSD answers from ``stop()`` on: its placement groups want more copies than there are OSDs.
    private struct DeadPool: ~Copyable {
        let name = "dead-\(UInt32.random(in: 0...UInt32.max))"

        init() throws {
            try tool("ceph config set mon mon_allow_pool_delete true")
            try tool("ceph osd pool create \(name) 1 && rbd pool init \(name)")
        }

        func stop() throws {
            try tool("ceph osd pool set \(name) size 3")
            try tool("ceph osd pool set \(name) min_size 3")
            let isAway = eventually { !succeeds("timeout 2 rados -p \(name) stat rbd_directory") }
            #expect(isAway)
        }

        func goOn() throws {
            try tool("ceph osd pool set \(name) min_size 1")
            let isBack = eventually { succeeds("timeout 5 rados -p \(name) stat rbd_directory") }
            #expect(isBack)
        }

        deinit {
            succeeds("ceph osd pool rm \(name) \(name) --yes-i-really-really-mean-it")
        }
    }

    @Test(
        "an owner whose image is a clone of images that do not answer is there for questions, whatever it finds out about them",
        arguments: [false, true])
    func deadParents(isOneGone: Bool) throws {
        let turn = OSDTurn()
        let dead = try DeadPool()
        let image = try ScratchImage()
        let first = "\(isOneGone ? scratchPool : dead.name)/first-\(dead.name)"
        let second = "\(dead.name)/second"
        try tool("rbd create --size 16M \(first) && rbd snap create --no-progress \(first)@s")
        try tool("rbd clone --rbd-default-clone-format 2 \(first)@s \(second)")
        try tool("rbd snap create --no-progress \(second)@s")
        try tool("rbd clone --rbd-default-clone-format 2 \(second)@s \(image.spec)-clone")
        var options = image.options
        options.image += "-clone"
        options.lookMilliseconds = 300
        options.lockHoldMilliseconds = 60_000
        let one = try Gateway(options, bytes: 16 << 20)
        try one.writeThrough(block(1), block: 0)
        let client = one.client
        let asker = try GatewayImage(options)
        let mailbox = try asker.mailbox(Calls().handlers)
        try dead.stop()
        if isOneGone {
            let info = try tool("rbd info \(first)")
            let line = try #require(info.split(separator: "\n").first { $0.contains("\tid: ") })
            let identifier = try #require(line.split(separator: " ").last)
            try tool("rados -p \(scratchPool) rm rbd_header.\(identifier)")
        }
        for _ in 0..<60 {
            let answers = try ask(asker, mailbox)
            #expect(answers.answers.map(\.client) == [client])
            #expect(answers.silent == [])
            usleep(100_000)
        }
        #expect(one.client == client)
        try dead.goOn()
        if isOneGone {
            #expect(one.waits { $0.notices.contains(.availability(.gone(errno: ENOENT))) }, "\(one.notices)")
        }
        one.close()
        succeeds("rbd rm --no-progress \(options.spec)")
        succeeds("rbd snap rm --no-progress \(first)@s")
        succeeds("rbd rm --no-progress \(first)")
        withExtendedLifetime(turn) {}
    }

    @Test("an owner at this machine's address is asked if its process lives")
    func sameAddress() throws {
        let turn = OSDTurn()
        let image = try ScratchImage()
        let calls = Calls()
        // None of the clients that the keeper knows as this process's own.
        let other = try GatewayImage(image.options)
        let mailbox = try other.mailbox(calls.handlers)
        try other.lock.acquire().get()
        let two = try image.gateway()
        // A machine that runs more tests than it has processors for is no measure.
        try #require(two.keeper as? ImageKeeper).callMilliseconds = 5000
        #expect(try two.write(block(2), block: 0) == -EAGAIN)
        #expect(eventually { calls.questions.withLock { !$0.isEmpty } }, "\(two.notices)")
        try other.lock.release().get()
        mailbox.answer(try #require(calls.questions.withLock { $0.first }), .released)
        try two.writeThrough(block(2), block: 0)
        #expect(try !isBlocklisted("\(try #require(other.addresses.first))"))
        #expect(!two.remarks.contains { $0.contains("takes the exclusive lock away") }, "\(two.remarks)")
        two.close()
        withExtendedLifetime(turn) {}
    }

    @Test(
        "an owner at this machine's address without a mailbox, or whose process was killed, is fenced",
        arguments: [true, false])
    func noAnswer(isKilled: Bool) async throws {
        let image = try ScratchImage()
        let name = image.options.image
        var living: GatewayImage?
        if isKilled {
            await #expect(processExitsWith: .signal(SIGKILL)) { [name = name as String] in
                var options = RBDOptions(pool: scratchPool, image: name)
                let conf = try #require(scratchCluster)
                options.confPath = conf
                let owner = try GatewayImage(options)
                let mailbox = try owner.mailbox(Calls().handlers)
                try owner.lock.acquire().get()
                kill(getpid(), SIGKILL)
                withExtendedLifetime(mailbox) {}
            }
        } else {
            living = try GatewayImage(image.options)
            try living?.lock.acquire().get()
        }
        let address = try #require(try image.watchers().first)
        let two = try image.gateway()
        try two.writeThrough(block(2), block: 0)
        #expect(try isBlocklisted(address))
        #expect(two.remarks.contains { $0.contains("takes the exclusive lock away") }, "\(two.remarks)")
        two.close()
        _ = try? tool("ceph osd blocklist rm \(address)")
        withExtendedLifetime(living) {}
    }
}
