import BlockBackend
import Glibc
import SystemPackage
import Testing

@testable import RBDBackend

private let dataPool = "tcmu-test-data"
private let monitors = "mon 'profile rbd'"

/// A cephx user of a random name, gone with its owner.
private struct ScratchUser: ~Copyable {
    let id: String
    private let keyring: TemporaryFile

    /// - Parameter capabilities: as `ceph auth get-or-create` takes them, quoted for the shell.
    init(_ capabilities: String) throws {
        id = "test-\(UInt32.random(in: 0...UInt32.max))"
        keyring = try TemporaryFile(try tool("ceph auth get-or-create client.\(id) \(capabilities)"))
    }

    deinit {
        _ = try? tool("ceph auth rm client.\(id)")
    }

    func apply(to options: inout RBDOptions) {
        options.cephxID = id
        options.settings = [RBDSetting("keyring", keyring.path)]
    }
}

@Suite(
    "What a user lacks and an image has too much, on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterRightsTests {
    private func refusal(of options: RBDOptions) -> BackendError? {
        do throws(BackendError) {
            var backend = try RBDBackend.open(options, expectedSize: 16 << 20, blockSize: 512)
            backend.close()
            return nil
        } catch {
            return error
        }
    }

    /// Nobody has the image open or its lock.
    private func isAlone(_ spec: String) throws -> Bool {
        let status = try tool("sh -c 'rbd status \(spec); rbd lock ls \(spec)'")
        return status.contains("Watchers: none") && !status.contains("auto ")
    }

    @Test(
        "a user whose osd capabilities do not suffice is refused with EPERM, its name, and what would do",
        arguments: [
            "", "osd 'profile rbd pool=\(dataPool)'", "osd 'allow rw pool=\(scratchPool)'",
            "osd 'profile rbd-read-only pool=\(scratchPool)'",
            "osd 'allow rw pool=\(scratchPool), allow class rbd'",
            "osd 'profile rbd pool=\(scratchPool) namespace=other'",
        ])
    func osdCapabilities(capabilities: String) throws {
        let image = try ScratchImage()
        let user = try ScratchUser("\(monitors) \(capabilities)")
        var options = image.options
        user.apply(to: &options)
        let error = try #require(refusal(of: options))
        #expect(error.errno == .notPermitted)
        #expect(
            error.message.contains("client.\(user.id): its osd capabilities do not suffice for pool \(scratchPool)")
        )
        #expect(error.message.contains("\"profile rbd pool=\(scratchPool)\""))
        #expect(error.message.contains(image.spec))
        #expect(throws: BackendError.self) { try RBDBackend.check(options) }
        #expect(try isAlone(image.spec))
    }

    @Test("a user who may only read serves a read-only unit")
    func reader() throws {
        let image = try ScratchImage()
        let user = try ScratchUser("\(monitors) osd 'profile rbd-read-only pool=\(scratchPool)'")
        var options = image.options
        user.apply(to: &options)
        options.readOnly = true
        #expect(refusal(of: options) == nil)
    }

    @Test(
        "a user who cannot reach the data pool is refused, though the image opens",
        arguments: [
            ("", false, true), ("", true, true), (", allow r pool=", false, true), (", allow r pool=", true, false),
        ])
    func elsewhere(further: String, readOnly: Bool, isRefused: Bool) throws {
        try tool("ceph osd pool create \(dataPool) 8 8")
        let image = try ScratchImage(flags: "--data-pool \(dataPool)")
        let more = further.isEmpty ? "" : further + dataPool
        let user = try ScratchUser("\(monitors) osd 'profile rbd pool=\(scratchPool)\(more)'")
        var options = image.options
        user.apply(to: &options)
        options.readOnly = readOnly
        let error = refusal(of: options)
        #expect(error?.errno == (isRefused ? .notPermitted : nil))
        if isRefused {
            #expect(error?.message.contains("client.\(user.id)") == true)
            #expect(error?.message.contains("for pool \(dataPool)") == true)
        }
        #expect(try isAlone(image.spec))
    }

    @Test("a user with rights to both pools is served")
    func bothPools() throws {
        try tool("ceph osd pool create \(dataPool) 8 8")
        let image = try ScratchImage(flags: "--data-pool \(dataPool)")
        let user = try ScratchUser(
            "\(monitors) osd 'profile rbd pool=\(scratchPool), allow rwx pool=\(dataPool) object_prefix rbd_data'"
        )
        var options = image.options
        user.apply(to: &options)
        #expect(refusal(of: options) == nil)
    }

    @Test("a user who may not blocklist is served, and the operator is told what that means")
    func noBlocklist() throws {
        let image = try ScratchImage()
        let user = try ScratchUser("mon 'allow r' osd 'allow rwx pool=\(scratchPool)'")
        var options = image.options
        user.apply(to: &options)
        var backend = try RBDBackend.open(options, expectedSize: image.bytes, blockSize: 512)
        let notes = backend.openNotes
        #expect(notes.contains { $0.contains("client.\(user.id) may not blocklist clients") }, "\(notes)")
        let segments = Segments([UInt8](repeating: 0x3C, count: 4096))
        let answers = try Answers()
        #expect(
            try answers.result(
                backend.write(
                    ByteExtent(offset: 0, length: 4096), from: segments.list, durable: true,
                    ticket: answers.ticket()))
                == .success)
        backend.close()
        #expect(try isAlone(image.spec))
        // The question whether it may has not listed anybody.
        #expect(try !tool("ceph osd blocklist ls -f json").contains("0.0.0.0:0/0"))
    }

    @Test("a user who may blocklist is not told of it, and nobody is listed by the question")
    func blocklist() throws {
        let image = try ScratchImage()
        let user = try ScratchUser("\(monitors) osd 'profile rbd pool=\(scratchPool)'")
        var options = image.options
        user.apply(to: &options)
        var backend = try RBDBackend.open(options, expectedSize: image.bytes, blockSize: 512)
        let notes = backend.openNotes
        #expect(!notes.contains { $0.contains("blocklist") }, "\(notes)")
        backend.close()
        #expect(try !tool("ceph osd blocklist ls -f json").contains("0.0.0.0:0/0"))
    }

    @Test("an image with a feature that nobody here knows is refused with ENOSYS, and the feature is named")
    func unknownFeature() throws {
        let image = try ScratchImage()
        let plain = try GatewayImage(image.options)
        let (name, options) = (image.options.image, image.options)
        let read = plain.image.identifier
        let identifier = try #require(read)
        let before = plain.image.context.features(ofImage: name)
        #expect(before == ImageFeatures(bits: 0x3D))
        let missing = plain.image.context.features(ofImage: "no-such-image")
        #expect(missing == nil)
        let set = "rados -p \(scratchPool) setomapval rbd_header.\(identifier) features"
        try tool("sh -c \"printf '\\075\\0\\0\\0\\0\\001\\0\\0' | \(set)\"")
        defer { _ = try? tool("sh -c \"printf '\\075\\0\\0\\0\\0\\0\\0\\0' | \(set)\"") }
        let after = plain.image.context.features(ofImage: name)
        #expect(after == ImageFeatures(bits: 1 << 40 | 0x3D))
        let found = refusal(of: options)
        let error = try #require(found)
        #expect(error.errno == .noFunction)
        #expect(error.message.contains(image.spec))
        #expect(error.message.contains("(bit 40)"))
        #expect(throws: BackendError.self) { try RBDBackend.check(options) }
    }

    @Test("where librbd itself refuses the features, they are read past it and named")
    func refusedByLibrbd() throws {
        let image = try ScratchImage()
        let opened = try GatewayImage(image.options)
        let error = RBDImage.refusal(-ENOSYS, opened.image.context, image.options, readOnly: false)
        #expect(error.errno == .noFunction)
        #expect(error.message.contains("layering, exclusive-lock"))
        #expect(error.message.contains("newer librbd"))
    }
}
