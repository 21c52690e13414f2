import BlockBackend
import RBDBackend
import SystemPackage
import Testing

@Suite(
    "Encrypted images on a real cluster",
    .enabled(if: scratchCluster != nil, "set TCMU_TEST_CEPH_CONF to the ceph.conf of a scratch cluster"),
    .serialized)
struct ClusterEncryptionTests {
    static let secret = "correct horse 7f3a"

    /// An image formatted with `rbd encryption format`, and its passphrase file, which ends in a line feed.
    private struct EncryptedImage: ~Copyable {
        let image: ScratchImage
        let passphrase: TemporaryFile
        let options: RBDOptions
        let bytes: UInt64

        init(_ format: ImageEncryption.Format) throws {
            let image = try ScratchImage(mebibytes: 64)
            let passphrase = try TemporaryFile(ClusterEncryptionTests.secret + "\n")
            try tool("rbd encryption format \(image.spec) \(format.rawValue) \(passphrase.path)")
            var options = image.options
            options.encryption = ImageEncryption(format, passphraseFile: passphrase.path)
            self.options = options
            // As `rbd` lays headers out with objects of 4 MiB.
            bytes = image.bytes - (format == .luks1 ? 4 << 20 : 16 << 20)
            self.image = image
            self.passphrase = passphrase
        }

        func open(_ change: (inout RBDOptions) -> Void = { _ in }) throws -> RBDBackend {
            var options = options
            change(&options)
            return try RBDBackend.open(options, expectedSize: bytes, blockSize: 512)
        }

        func error(_ change: (inout RBDOptions) -> Void) -> BackendError? {
            do {
                var backend = try open(change)
                backend.close()
                return nil
            } catch {
                return error as? BackendError
            }
        }
    }

    private func read(_ backend: inout RBDBackend, _ extent: ByteExtent) throws -> [UInt8] {
        let segments = Segments([Int(extent.length)])
        let answers = try Answers()
        #expect(try answers.result(backend.read(extent, into: segments.list, ticket: answers.ticket())) == .success)
        return segments.bytes
    }

    private func write(_ backend: inout RBDBackend, at offset: UInt64, _ bytes: [UInt8]) throws -> IOResult {
        // In pieces that are no sectors, so that librbd has to put them together.
        let segments = Segments([100, bytes.count - 100], bytes: bytes)
        let answers = try Answers()
        let extent = ByteExtent(offset: offset, length: UInt64(bytes.count))
        return try answers.result(
            backend.write(extent, from: segments.list, durable: true, ticket: answers.ticket()))
    }

    @Test("all operations work on what is within", arguments: ImageEncryption.Format.allCases)
    func operations(format: ImageEncryption.Format) throws {
        let image = try EncryptedImage(format)
        var backend = try image.open()
        #expect(backend.capabilities.discard == nil)
        #expect(!backend.capabilities.reportsAllocation)
        #expect(backend.capabilities.nativeWriteZeroes && backend.capabilities.nativeWriteSame)
        #expect(backend.capabilities.atomicWriteBytes == 4 << 20)
        #expect(!backend.openNotes.contains { $0.contains(Self.secret) })

        var generator = SeededGenerator(seed: 5)
        // 512 bytes before an object's end and into the next: neither a LUKS2 sector nor an object.
        let offset: UInt64 = (4 << 20) - 512
        let bytes = generator.bytes(8192 + 512)
        #expect(try write(&backend, at: offset, bytes) == .success)
        let last = generator.bytes(512)
        #expect(try write(&backend, at: image.bytes - 512, last) == .success)

        let answers = try Answers()
        let zeroed = ByteExtent(offset: offset + 512, length: 1024)
        #expect(try answers.result(backend.writeZeroes(zeroed, ticket: answers.ticket())) == .success)
        let pattern = Segments(generator.bytes(512))
        let same = ByteExtent(offset: offset + 1536, length: 1024)
        #expect(
            try answers.result(
                backend.writeSame(same, pattern: pattern.list, patternLength: 512, ticket: answers.ticket()))
                == .success)
        var expected = bytes
        expected.replaceSubrange(
            512..<2560, with: [UInt8](repeating: 0, count: 1024) + pattern.bytes + pattern.bytes)
        #expect(try read(&backend, ByteExtent(offset: offset, length: UInt64(bytes.count))) == expected)

        let replaced = ByteExtent(offset: offset + 2560, length: 512)
        let new = generator.bytes(512)
        #expect(try write(&backend, at: replaced.offset, new) == .success)
        #expect(try read(&backend, replaced) == new)
        // A block that was never written reads zeros, and librbd's own operation finds it different from zeros.
        #expect(backend.capabilities.nativeCompareAndWriteBytes == 0)
        backend.close()

        // A second opening finds it all, and the raw image holds none of it.
        var again = try image.open { $0.readOnly = true }
        #expect(try read(&again, replaced) == new)
        #expect(try read(&again, ByteExtent(offset: image.bytes - 512, length: 512)) == last)
        again.close()
        let raw = try image.image.export()
        #expect(Array(raw[(raw.count - 512)...]) != last)
        #expect(raw[(raw.count - 512)...].contains { $0 != 0 })
    }

    @Test("a snapshot is unlocked, too")
    func snapshot() throws {
        let image = try EncryptedImage(.luks2)
        var head = try image.open()
        #expect(try write(&head, at: 0, [UInt8](repeating: 1, count: 512)) == .success)
        try tool("rbd snap create --no-progress \(image.image.spec)@s1")
        #expect(try write(&head, at: 0, [UInt8](repeating: 2, count: 512)) == .success)
        head.close()
        var snapshot = try image.open { $0.snapshot = "s1" }
        #expect(snapshot.capabilities.readOnly)
        #expect(try read(&snapshot, ByteExtent(offset: 0, length: 1)) == [1])
        snapshot.close()
    }

    @Test("what cannot be unlocked says why, tells no secret and leaves no watcher")
    func refusals() throws {
        let image = try EncryptedImage(.luks1)
        let other = "not " + Self.secret
        let wrong = try TemporaryFile(other)
        let empty = try TemporaryFile()
        let long = try TemporaryFile(String(repeating: "x", count: 70_000))
        let path = image.passphrase.path
        let table: [(words: String, errno: Errno, change: (inout RBDOptions) -> Void)] = [
            ("is wrong", .notPermitted, { $0.encryption?.passphraseFile = wrong.path }),
            ("no such header", .invalidArgument, { $0.encryption?.format = .luks2 }),
            ("\(path)-not-there", .noSuchFileOrDirectory, { $0.encryption?.passphraseFile = path + "-not-there" }),
            ("no regular file", .isDirectory, { $0.encryption?.passphraseFile = "/tmp" }),
            ("no regular file", .invalidArgument, { $0.encryption?.passphraseFile = "/dev/zero" }),
            ("has no bytes", .invalidArgument, { $0.encryption?.passphraseFile = empty.path }),
            ("70000 bytes", .fileTooLarge, { $0.encryption?.passphraseFile = long.path }),
            ("67108864 bytes", .invalidArgument, { $0.encryption = nil }),
        ]
        for (words, errno, change) in table {
            let error = image.error(change)
            #expect(error?.errno == errno, "\(words): \(error?.message ?? "opened")")
            #expect(error?.message.contains(words) == true, "\(words): \(error?.message ?? "opened")")
            #expect(error?.message.contains(Self.secret) == false)
            #expect(try tool("rbd status \(image.image.spec)").contains("Watchers: none"), "\(words)")
        }
    }

    @Test("a file without a line feed, and one that everybody may read")
    func files() throws {
        let image = try EncryptedImage(.luks2)
        let bare = try TemporaryFile(Self.secret)
        var backend = try image.open { $0.encryption?.passphraseFile = bare.path }
        #expect(!backend.openNotes.contains { $0.contains("every user") })
        backend.close()
        try tool("chmod 644 \(bare.path)")
        backend = try image.open { $0.encryption?.passphraseFile = bare.path }
        #expect(backend.openNotes.contains { $0.contains("every user") })
        backend.close()
    }
}
