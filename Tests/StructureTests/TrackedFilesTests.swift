import Testing

@Suite("What git keeps", .enabled(if: Repository.isThere, "an archive of the sources, not a checkout"))
struct TrackedFilesTests {
    /// Bytes; whatever is larger is downloaded or made when needed.
    static let largest = 1 << 20

    /// Where files may hold NUL bytes: below a folder, with a suffix.
    static let binary: [(folder: String, suffix: String)] = [
        ("Tests/Fuzz/corpus/", ""), ("Benchmarks/", ".png"),
    ]

    @Test("No file is larger than 1 MiB")
    func size() throws {
        for path in try Repository.trackedFiles() {
            let size = try Repository.content(of: path, limit: 0).size
            #expect(size <= Self.largest, "\(path) has \(size) bytes; the limit is \(Self.largest)")
        }
    }

    @Test("No file is binary, but for those that are meant to be")
    func text() throws {
        for path in try Repository.trackedFiles() {
            if Self.binary.contains(where: { path.hasPrefix($0.folder) && path.hasSuffix($0.suffix) }) { continue }
            let bytes = try Repository.content(of: path, limit: Self.largest).bytes
            #expect(
                !bytes.contains(0),
                "\(path) holds NUL bytes: a binary file is built, not kept, or it is named in TrackedFilesTests.binary"
            )
        }
    }

    @Test("No core dump, saved state or build product")
    func leftovers() throws {
        for path in try Repository.trackedFiles() {
            #expect(!isLeftover(path), "\(path) is what a run left behind; remove it and put it into .gitignore")
        }
    }

    @Test("Every Swift file declares something, and none is named a placeholder")
    func placeholders() throws {
        let folders = TidyTests.swiftFolders.map { "\($0)/" }
        for path in try Repository.trackedFiles() where path.hasSuffix(".swift") {
            guard folders.contains(where: path.hasPrefix) else { continue }
            let text = try SourceTree.text(of: path)
            #expect(
                !isPlaceholder(path) && text.split(separator: "\n").contains(where: declares),
                "\(path) holds a place and nothing else")
        }
    }

    @Test(
        "What counts as left behind",
        arguments: [
            ("core", true), ("Tests/Lab/core", true), ("core.4711", true), ("a/guest.state", true),
            ("Sources/x.o", true), ("a/b.profraw", true), ("Sources/SCSI/core.swift", false),
            ("docs/core-ideas.md", false), ("Tests/Lab/jobs/restart.sh", false),
        ])
    func leftover(_ path: String, _ expected: Bool) {
        #expect(isLeftover(path) == expected)
    }

    @Test(
        "What counts as a declaration",
        arguments: [
            ("struct A {", true), ("  public func f() {", true), ("@Suite(\"x\") struct B {}", true),
            ("extension C: D {}", true), ("private let e = 1", true), ("nonisolated(unsafe) var f = 2", true),
            ("@c(name) public func g() {}", true), ("import Testing", false), ("// struct A", false),
            ("/// func of old", false), ("@Test", false), ("", false), ("structure", false),
        ])
    func declaration(_ line: String, _ expected: Bool) {
        #expect(declares(Substring(line)) == expected)
    }
}

/// Whether a path is a core dump, a saved state, or what a compiler makes.
private func isLeftover(_ path: String) -> Bool {
    let name = path.split(separator: "/").last ?? ""
    if name == "core" || (name.hasPrefix("core.") && name.dropFirst(5).allSatisfy(\.isNumber)) { return true }
    return [".state", ".o", ".so", ".a", ".profraw", ".profdata", ".core"].contains { name.hasSuffix($0) }
}

private func isPlaceholder(_ path: String) -> Bool {
    path.split(separator: "/").last?.lowercased().hasPrefix("placeholder") ?? false
}

/// Whether a line of Swift begins a declaration other than an import. Attributes before it may have arguments
/// without blanks; a declaration on the line after them is found there.
private func declares(_ line: Substring) -> Bool {
    let keywords: Set<Substring> = [
        "struct", "class", "enum", "actor", "protocol", "extension", "func", "var", "let", "typealias", "macro",
    ]
    let modifiers: Set<Substring> = [
        "public", "package", "internal", "fileprivate", "private", "open", "final", "static", "indirect", "lazy",
        "nonisolated", "nonisolated(unsafe)", "distributed", "async",
    ]
    let first = line.split(separator: " ").first { !$0.hasPrefix("@") && !modifiers.contains($0) }
    return first.map(keywords.contains) ?? false
}
