import Glibc
import KernelFiles
import SystemPackage
import Testing

@Suite("The reader of small files")
struct SmallFileTests {
    /// Lengths on both sides of the reader's steps.
    static let lengths = [0, 1, 4095, 4096, 4097, 4096 * 5, 4096 * 5 + 1, 100_000]

    @Test("A file is read whole, its beginning, or not at all beyond the bound", arguments: lengths)
    func reading(_ length: Int) throws {
        let content = (0..<length).map { "0123456789abc".utf8.dropFirst($0 % 13).first ?? 0 }
        let tree = TemporaryTree(["file": String(decoding: content, as: UTF8.self)])
        let path = FilePath(tree.path).appending("file")
        for kind in [SmallFile.Kind.any, .notALink, .regular] {
            #expect(try SmallFile.bytes(of: path, atMost: length, kind) == content)
            #expect(try SmallFile.prefix(of: path, length + 1, kind) == content)
        }
        guard length > 0 else { return }
        #expect(try SmallFile.prefix(of: path, length - 1) == content.dropLast())
        #expect(throws: Errno.fileTooLarge) { try SmallFile.bytes(of: path, atMost: length - 1) }
    }

    @Test("A file of the kernel, which tells no size, is read whole")
    func kernelFile() throws {
        let bytes = try SmallFile.bytes(of: "/proc/self/maps", atMost: 16 << 20)
        #expect(bytes.last == UInt8(ascii: "\n"))
        #expect(bytes.count { $0 == UInt8(ascii: "\n") } > 10)
    }

    @Test(
        "What a path leads to is what the caller allows",
        arguments: [
            ("file", .any, nil), ("file", .notALink, nil), ("file", .regular, nil),
            ("link", .any, nil), ("link", .notALink, .tooManySymbolicLinkLevels), ("link", .regular, nil),
            ("folder", .any, .isDirectory), ("folder", .regular, .isDirectory),
            ("fifo", .regular, .invalidArgument),
            ("missing", .any, .noSuchFileOrDirectory), ("missing", .regular, .noSuchFileOrDirectory),
        ] as [(String, SmallFile.Kind, Errno?)])
    func kinds(_ row: (name: String, kind: SmallFile.Kind, problem: Errno?)) throws {
        let tree = TemporaryTree(["file": "x", "folder/inner": ""])
        tree.link("file", at: "link")
        #expect(mkfifo("\(tree.path)/fifo", 0o600) == 0)
        let path = FilePath(tree.path).appending(row.name)
        if let problem = row.problem {
            #expect(throws: problem) { try SmallFile.bytes(of: path, atMost: 10, row.kind) }
        } else {
            #expect(try SmallFile.bytes(of: path, atMost: 10, row.kind) == Array("x".utf8))
        }
    }

    @Test(
        "Who may read a file, and its size, are told before it is read",
        arguments: [0o600, 0o640, 0o644] as [mode_t])
    func facts(_ mode: mode_t) throws {
        let tree = TemporaryTree(["file": "four"])
        #expect(chmod("\(tree.path)/file", mode) == 0)
        let file = try SmallFile(FilePath(tree.path).appending("file"))
        let (size, isWorldReadable) = (file.size, file.isWorldReadable)
        #expect(size == 4)
        #expect(isWorldReadable == (mode == 0o644))
    }

    @Test("A directory's names come in byte order, hidden ones too")
    func names() throws {
        let tree = TemporaryTree(["b": "", "a/inner": "", "B": "", ".hidden": "", "é": ""])
        #expect(try DirectoryReader.names(in: FilePath(tree.path)) == [".hidden", "B", "a", "b", "é"])
        #expect(throws: Errno.notDirectory) { try DirectoryReader.names(in: FilePath(tree.path).appending("b")) }
        #expect(throws: Errno.noSuchFileOrDirectory) {
            try DirectoryReader.names(in: FilePath(tree.path).appending("none"))
        }
    }
}
