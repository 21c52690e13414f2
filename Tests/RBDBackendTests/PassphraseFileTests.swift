import BlockBackend
import Glibc
import SystemPackage
import Testing

@testable import RBDBackend

@Suite("Passphrase files")
struct PassphraseFileTests {
    @Test(
        "A file's bytes are the passphrase, whole and unchanged",
        arguments: [
            ("x", false), ("two words", false), ("with a line\n", true), ("\n", true),
            (String(repeating: "k", count: PassphraseFile.longest), false),
        ])
    func reading(_ row: (content: String, endsLine: Bool)) throws {
        let path = try file(row.content)
        defer { unlink(path) }
        let passphrase = try PassphraseFile(path)
        let bytes = passphrase.withBytes { [UInt8](UnsafeRawBufferPointer(start: $0, count: passphrase.count)) }
        let endsLine = passphrase.endsLine
        #expect(bytes == Array(row.content.utf8))
        #expect(endsLine == row.endsLine)
    }

    @Test("Whether the whole machine may read it is told", arguments: [0o600, 0o640, 0o604] as [mode_t])
    func rights(_ mode: mode_t) throws {
        let path = try file("x")
        defer { unlink(path) }
        #expect(chmod(path, mode) == 0)
        let isWorldReadable = try PassphraseFile(path).isWorldReadable
        #expect(isWorldReadable == (mode & 0o004 != 0))
    }

    @Test(
        "What cannot be one is refused by name",
        arguments: [
            ("/tmp", .isDirectory, "is no regular file"), ("/dev/zero", .invalidArgument, "is no regular file"),
            ("/tmp/passphrase-of-nobody", .noSuchFileOrDirectory, "cannot read passphrase file"),
        ] as [(String, Errno, String)])
    func otherFiles(_ row: (path: String, errno: Errno, text: String)) throws {
        let error = try #require(throws: BackendError.self) { _ = try PassphraseFile(row.path) }
        #expect(error.errno == row.errno)
        #expect(error.description.contains(row.text) && error.description.contains(row.path))
    }

    @Test(
        "Nothing, and more than is allowed, is refused",
        arguments: [(0, .invalidArgument), (PassphraseFile.longest + 1, .fileTooLarge)] as [(Int, Errno)])
    func lengths(_ row: (count: Int, errno: Errno)) throws {
        let path = try file(String(repeating: "k", count: row.count))
        defer { unlink(path) }
        let error = try #require(throws: BackendError.self) { _ = try PassphraseFile(path) }
        #expect(error.errno == row.errno)
        #expect(!error.description.contains("kk"))
    }

    /// A new file with that content; the test removes it.
    private func file(_ content: String) throws -> String {
        var template = Array("/tmp/passphrase-test-XXXXXX".utf8CString)
        let descriptor = template.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkstemp($0) } ?? -1 }
        try #require(descriptor >= 0)
        let bytes = Array(content.utf8)
        #expect(write(descriptor, bytes, bytes.count) == bytes.count)
        close(descriptor)
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
