import BlockBackend
import Glibc
import Reactor
import Synchronization
import SystemPackage
import Testing

@testable import RBDBackend

/// An image opened with a connection of its own, and what a gateway does with it beside reading and writing.
final class GatewayImage {
    let image: RBDImage
    let lock: ImageLock
    let options: RBDOptions

    init(_ options: RBDOptions) throws {
        let connection = try RadosConnections.shared.connect(
            ClientProfile(options), group: nil, under: options.claim(group: nil))
        image = try RBDImage(IOContext(connection, pool: options.pool, namespace: options.namespace), options)
        lock = ImageLock(image)
        self.options = options
    }

    var client: UInt64 { image.context.cluster.instanceID }
    var addresses: [ClientAddress] { image.context.cluster.addresses }

    func mailbox(_ handlers: HandOverMailbox.Handlers) throws -> HandOverMailbox {
        try HandOverMailbox(image.context, image: options.image, handlers: handlers)
    }

    func service(host: String) -> Result<ServiceEntry, Errno> {
        ServiceEntry.register(
            on: image.context.cluster, host: host, options: options, imageID: image.identifier ?? "")
    }
}

/// What a mailbox was called with.
final class Calls: Sendable {
    let questions = Mutex<[HandOverMailbox.Question]>([])
    let errors = Mutex<[Errno]>([])

    var handlers: HandOverMailbox.Handlers {
        HandOverMailbox.Handlers(
            asked: { question in
                self.questions.withLock { $0.append(question) }
                return nil
            },
            broken: { errno in self.errors.withLock { $0.append(errno) } })
    }
}

/// Waits until `condition` holds. Returns false after a minute.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<6000 {
        if try condition() { return true }
        usleep(10_000)
    }
    return false
}

extension Result {
    /// The errno of a failure.
    var errno: Errno? { if case .failure(let error) = self { error as? Errno } else { nil } }
}

@Suite(
    "The lock, the mailbox and the service entry on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterGatewayTests {
    @Test("the lock goes from nobody to one client, is refused to others, and comes back")
    func lock() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let two = try GatewayImage(scratch.options)
        #expect(try one.lock.owner().get() == nil)
        #expect(try one.lock.isOwner().get() == false)
        try one.lock.acquire().get()
        try one.lock.acquire().get()
        #expect(try one.lock.isOwner().get())
        #expect(try two.lock.isOwner().get() == false)
        let owner = try #require(try two.lock.owner().get())
        #expect(try one.lock.owner().get() == owner)
        #expect(owner.client == one.client)
        #expect(one.addresses == [try #require(owner.address)], "as librados has its own address")
        #expect(try #require(owner.address).hasSameHost(as: try #require(two.addresses.first)))
        #expect(two.lock.acquire().errno == .readOnlyFileSystem)
        // Whose lock it is not gives nothing back, and that is well.
        try two.lock.release().get()
        #expect(try two.lock.owner().get() == owner)
        try one.lock.release().get()
        #expect(try two.lock.owner().get() == nil)
        #expect(two.lock.remove(owner).errno == .noSuchFileOrDirectory)
        try two.lock.acquire().get()
        try two.lock.release().get()
    }

    @Test("nobody else's lock can be removed by mistake, and a lock that is removed fences nobody")
    func broken() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let two = try GatewayImage(scratch.options)
        try one.lock.acquire().get()
        let owner = try #require(try two.lock.owner().get())
        for (entity, cookie) in [
            (owner.entity, "auto 1"), ("client.\(two.client)", owner.cookie), ("client.1", ""),
        ] {
            let other = LockOwner(name: owner.name, client: nil, entity: entity, cookie: cookie)
            #expect(two.lock.remove(other).errno == .noSuchFileOrDirectory, "\(entity) \(cookie)")
        }
        for entity in ["", "nonsense"] {
            let other = LockOwner(name: owner.name, client: nil, entity: entity, cookie: owner.cookie)
            #expect(two.lock.remove(other).errno == .invalidArgument, "\(entity)")
        }
        try two.lock.remove(owner).get()
        #expect(try one.lock.isOwner().get() == false)
        #expect(try one.lock.owner().get() == nil)
        try two.lock.acquire().get()
        #expect(try two.lock.isOwner().get())
    }

    @Test("a lock of another kind is reported as such")
    func advisory() throws {
        let scratch = try ScratchImage(flags: "--image-feature layering,exclusive-lock")
        try tool("rbd lock add --shared tag \(scratch.spec) mine")
        let one = try GatewayImage(scratch.options)
        #expect(one.lock.owner().errno == .resourceBusy)
        let locker = try tool("rbd lock ls \(scratch.spec)").split(separator: " ").first { $0.contains("client.") }
        let words = try #require(locker).split(whereSeparator: \.isNewline)
        try tool("rbd lock rm \(scratch.spec) mine \(try #require(words.last))")
    }

    @Test("the tag is written as the original writes it")
    func tag() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        try one.lock.writeTag(3, owner: "10.0.0.1:0/77").get()
        #expect(
            try tool("rbd image-meta get \(scratch.spec) tcmu_rbd_locker_tag")
                == "tcmu_tag=3,rbd_client=10.0.0.1:0/77\n")
    }
}
