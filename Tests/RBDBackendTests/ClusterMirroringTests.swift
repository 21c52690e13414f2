import BlockBackend
import Testing

@testable import RBDBackend

/// One cluster is enough to see an image change its role; what replays it elsewhere is not this side's matter.
@Suite(
    "Mirrored and journaled images on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterMirroringTests {
    static let modes: [(mode: MirrorMode, name: String, features: String)] = [
        (.snapshot, "snapshot", "layering,exclusive-lock"),
        (.journal, "journal", "layering,exclusive-lock,journaling"),
    ]

    private func role(_ options: RBDOptions) throws -> (role: MirrorRole, mode: MirrorMode?) {
        let connection = try RadosConnections.shared.connect(
            ClientProfile(options), group: nil, under: options.claim(group: nil))
        let image = try RBDImage(IOContext(connection, pool: options.pool, namespace: options.namespace), options)
        return (try image.mirrorRole(), image.mirrorMode())
    }

    private func write(_ backend: inout RBDBackend, _ byte: UInt8) throws -> IOResult {
        let segments = Segments([UInt8](repeating: byte, count: 4096))
        let answers = try Answers()
        let extent = ByteExtent(offset: 0, length: 4096)
        return try answers.result(
            backend.write(extent, from: segments.list, durable: false, ticket: answers.ticket()))
    }

    @Test("the role follows enabling, demotion, promotion and disabling", arguments: modes)
    func roles(mode: MirrorMode, name: String, features: String) throws {
        let image = try ScratchImage(flags: "--image-feature \(features)")
        try tool("rbd mirror pool enable \(scratchPool) image")
        #expect(try role(image.options).role == .none)
        let steps: [(command: String, role: MirrorRole)] = [
            ("enable \(image.spec) \(name)", .primary), ("demote \(image.spec)", .nonPrimary),
            ("promote \(image.spec)", .primary), ("demote \(image.spec)", .nonPrimary),
            ("promote --force \(image.spec)", .primary),
        ]
        for (command, expected) in steps {
            try tool("rbd mirror image \(command)")
            #expect(try role(image.options) == (expected, mode), "\(command)")
        }
        try tool("rbd mirror image disable \(image.spec)")
        #expect(try role(image.options).role == .none)
    }

    @Test("a demoted image opens, refuses writes with a suspect error, and the next open writes", arguments: modes)
    func demoted(mode: MirrorMode, name: String, features: String) throws {
        let image = try ScratchImage(flags: "--image-feature \(features)")
        try tool("rbd mirror pool enable \(scratchPool) image")
        try tool("rbd mirror image enable \(image.spec) \(name)")
        try tool("rbd mirror image demote \(image.spec)")
        var backend = try image.open()
        #expect(backend.size == image.bytes)
        let refusal = try write(&backend, 0x42)
        #expect(refusal != .success)
        backend.close()
        try tool("rbd mirror image promote \(image.spec)")
        var promoted = try image.open()
        #expect(try write(&promoted, 0x43) == .success)
        promoted.close()
        #expect(try image.export()[0] == 0x43)
        try tool("rbd mirror image disable \(image.spec)")
    }

    @Test(
        "an image that is demoted while it is open: standby with the next write, and writable after promotion",
        arguments: modes)
    func demotedWhileOpen(mode: MirrorMode, name: String, features: String) throws {
        let image = try ScratchImage(flags: "--image-feature \(features)")
        try tool("rbd mirror pool enable \(scratchPool) image")
        try tool("rbd mirror image enable \(image.spec) \(name)")
        let gateway = try Gateway(image.options, bytes: image.bytes)
        let block = [UInt8](repeating: 0x45, count: 4096)
        try tool("rbd mirror image demote \(image.spec)")
        #expect(
            try gateway.waits {
                _ = try $0.write(block, block: 0)
                return $0.notices.contains(.availability(.standby))
            }, "\(gateway.notices)")
        try tool("rbd mirror image promote \(image.spec)")
        #expect(gateway.waits { $0.notices.contains(.availability(.ready)) }, "\(gateway.notices)")
        try gateway.writeThrough(block, block: 0)
        gateway.close()
        #expect(try image.export()[0] == 0x45)
        try tool("rbd mirror image disable \(image.spec)")
    }

    @Test(
        "an image at rest is demoted and promoted by Ceph's own command under a gateway that wrote it",
        arguments: modes)
    func demotedAtRest(mode: MirrorMode, name: String, features: String) throws {
        let image = try ScratchImage(flags: "--image-feature \(features)")
        try tool("rbd mirror pool enable \(scratchPool) image")
        try tool("rbd mirror image enable \(image.spec) \(name)")
        let gateway = try image.gateway { $0.lockIdleReleaseMilliseconds = 500 }
        let block = [UInt8](repeating: 0x46, count: 4096)
        try gateway.writeThrough(block, block: 0)
        #expect(try gateway.waits { _ in try !image.isLocked() }, "\(gateway.notices)")
        try tool("rbd mirror image demote \(image.spec)")
        #expect(
            try gateway.waits {
                _ = try $0.write(block, block: 0)
                return $0.notices.contains(.availability(.standby))
            }, "\(gateway.notices)")
        try tool("rbd mirror image promote \(image.spec)")
        try gateway.writeThrough(block, block: 1)
        gateway.close()
        try tool("rbd mirror image disable \(image.spec)")
    }

    @Test("a journaled image is read and written, and promises no atomic writes")
    func journaled() throws {
        let image = try ScratchImage(flags: "--image-feature layering,exclusive-lock,journaling")
        var backend = try image.open()
        #expect(backend.capabilities.atomicWriteBytes == 0)
        #expect(try write(&backend, 0x44) == .success)
        let segments = Segments([4096])
        let answers = try Answers()
        let extent = ByteExtent(offset: 0, length: 4096)
        #expect(
            try answers.result(backend.read(extent, into: segments.list, ticket: answers.ticket())) == .success)
        #expect(segments.bytes == [UInt8](repeating: 0x44, count: 4096))
        backend.close()
        #expect(try image.export()[0] == 0x44)
    }
}
