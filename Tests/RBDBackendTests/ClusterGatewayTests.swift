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
        let connection = try RadosConnections.shared.connect(ClientProfile(options), group: nil)
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

/// Waits until `condition` holds. - Returns: false after a minute.
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
    private func unlist(_ addresses: [ClientAddress]) {
        for address in addresses { _ = try? tool("ceph osd blocklist rm \(address)") }
    }

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
        #expect(two.lock.release().errno == .invalidArgument)
        try one.lock.release().get()
        #expect(try two.lock.owner().get() == nil)
        #expect(two.lock.break(owner).errno == .noSuchFileOrDirectory)
        try two.lock.acquire().get()
        try two.lock.release().get()
    }

    @Test("a lock that is broken fences its owner; nobody else's lock can be broken by mistake")
    func broken() throws {
        let scratch = try ScratchImage()
        let one = try GatewayImage(scratch.options)
        let two = try GatewayImage(scratch.options)
        try one.lock.acquire().get()
        let owner = try #require(try two.lock.owner().get())
        for name in ["client.\(one.client)", "10.0.0.1:0/1", ""] {
            #expect(two.lock.break(LockOwner(name: name, client: nil)).errno == .resourceBusy, "\(name)")
        }
        defer { unlist(one.addresses) }
        try two.lock.break(owner).get()
        #expect(one.lock.isOwner().errno == blocklisted)
        #expect(one.lock.owner().errno == blocklisted)
        #expect(one.lock.acquire().errno == blocklisted)
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
        #expect(one.lock.readTag() == nil)
        try one.lock.writeTag(3, owner: "10.0.0.1:0/77").get()
        #expect(one.lock.readTag() == "tcmu_tag=3,rbd_client=10.0.0.1:0/77")
        #expect(
            try tool("rbd image-meta get \(scratch.spec) tcmu_rbd_locker_tag")
                == "tcmu_tag=3,rbd_client=10.0.0.1:0/77\n")
    }

    @Test("entries of own former clients are taken off the blocklist, and no others")
    func blocklist() throws {
        let scratch = try ScratchImage()
        // A user of its own: keepers of other tests see to the entries of theirs.
        let user = try CephUser(monitor: "allow rw")
        var options = scratch.options
        user.use(&options)
        let one = try GatewayImage(options)
        let nonce = UInt32.random(in: 1...UInt32.max)
        let mine = try ["10.9.9.9:0/\(nonce)", "[fd00::9]:0/\(nonce)"].map { try #require(ClientAddress($0)) }
        let others = try #require(ClientAddress("10.9.9.8:0/\(nonce)"))
        let absent = try #require(ClientAddress("10.9.9.7:0/\(nonce)"))
        for address in mine + [others] { try tool("ceph osd blocklist add \(address)") }
        defer { unlist(mine + [others]) }
        let cluster = one.image.context.cluster
        #expect(cluster.fsid == (try tool("ceph fsid")).trimmed)
        pendingRemovals.withLock {
            $0.add(mine + [absent], of: cluster.removals, closedAt: .seconds(0), detectionSeconds: 26)
        }
        #expect(one.image.context.cluster.context.osdDetectionSeconds == 26)
        #expect(try cluster.removeDueBlocklistEntries(.seconds(51)).get() == [])
        #expect(Set(try cluster.removeDueBlocklistEntries(.seconds(52)).get()) == Set(mine))
        let left = try Blocklist.listedEntries(tool("ceph osd blocklist ls")).compactMap { ClientAddress($0) }
        #expect(left.contains(others))
        #expect(Set(left).isDisjoint(with: mine))
        #expect(try cluster.removeDueBlocklistEntries(.seconds(500)).get() == [])
    }
}

extension String {
    /// Without the line's end.
    fileprivate var trimmed: String { String(prefix { !$0.isNewline }) }
}
