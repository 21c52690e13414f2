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
    }
}
