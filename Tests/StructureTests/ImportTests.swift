import Testing

/// Package.swift says who may import whom. The build does not hold it: a module that is imported anywhere can be imported
/// everywhere, and a dependency that nobody imports stays for ever.
@Suite("Who imports whom")
struct ImportTests {
    static let swift = (try? Manifest())?.targets.filter { !$0.isC } ?? []
    static let names = swift.map(\.name)

    @Test("Every folder of code is a target's, and every target has its folder")
    func completeness() throws {
        var folders = try ["Sources", "CSupport"].flatMap { top in
            try SourceTree.folders(in: top).map { "\(top)/\($0)" }
        }
        folders += try SourceTree.folders(in: "Tests").filter { $0.hasSuffix("Tests") }.map { "Tests/\($0)" }
        // A package of its own, and scripts.
        folders += try SourceTree.folders(in: "Benchmarks").filter { $0.hasPrefix("Ring") }.map {
            "Benchmarks/\($0)"
        }
        let targets = try Manifest().targets
        #expect(Set(targets.map(\.path)) == Set(folders), "Package.swift and the folders differ")
        #expect(Set(targets.map(\.name)).count == targets.count)
    }

    @Test("A target only imports what Package.swift lets it depend on", arguments: names)
    func imports(of name: String) throws {
        let target = try #require(Self.swift.first { $0.name == name })
        var allowed = Set(target.dependencies)
        if !ImportRules.pure.contains(name) { allowed.formUnion(ImportRules.standard) }
        if target.isTest { allowed.insert("Testing") }
        for file in try SourceTree.files(in: target.path) {
            for (number, line) in file.lines.enumerated() {
                guard let imported = importedModule(in: line) else { continue }
                #expect(
                    allowed.contains(imported),
                    """
                    \(file.path):\(number + 1) imports \(imported), on which \(name) does not depend. Move the code to a \
                    module that does, or change Package.swift and docs/ARCHITECTURE.md with a reason.
                    """)
            }
        }
    }

    @Test("A target imports all that it depends on", arguments: names)
    func unusedEdges(of name: String) throws {
        let target = try #require(Self.swift.first { $0.name == name })
        let imported = Set(try SourceTree.files(in: target.path).flatMap { $0.lines.compactMap(importedModule) })
        let unused = target.dependencies.filter { !imported.contains($0) }
        #expect(unused.isEmpty, "no file of \(name) imports \(unused): take them out of Package.swift")
        #expect(Set(target.dependencies).count == target.dependencies.count, "\(name) names a dependency twice")
    }

    @Test("Every module of the daemon is in docs/ARCHITECTURE.md", arguments: names)
    func pictures(of name: String) throws {
        let target = try #require(Self.swift.first { $0.name == name })
        guard target.isShipped else { return }
        let text = try SourceTree.text(of: "docs/ARCHITECTURE.md")
        #expect(text.contains(name), "docs/ARCHITECTURE.md does not know \(name)")
    }

    @Test("C modules stay inside: no Swift interface shows one")
    func cModulesAreInternal() throws {
        for file in try SourceTree.files(in: "Sources") {
            for (number, line) in file.lines.enumerated() {
                guard let imported = importedModule(in: line), line.hasPrefix("public") else { continue }
                let isC = imported.hasPrefix("C") && imported.dropFirst().first?.isUppercase == true
                #expect(
                    !isC, "\(file.path):\(number + 1): `public import \(imported)` puts C types into an interface")
            }
        }
    }

    @Test("Nothing that ships imports the test kit")
    func testOnlyModules() throws {
        for file in try SourceTree.files(in: "Sources") where file.module != "TCMUTestKit" {
            let found = file.lines.compactMap(importedModule).filter(ImportRules.testOnly.contains)
            #expect(found.isEmpty, "\(file.path) imports \(found), which is for tests only")
        }
    }
}

/// The module that a line of Swift imports, or nil if it is no import.
func importedModule(in line: Substring) -> String? {
    var words = line.split(separator: " ").filter { !$0.hasPrefix("@") }
    let access: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
    if let first = words.first, access.contains(first) { words.removeFirst() }
    guard words.first == "import", words.count >= 2 else { return nil }
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
    let name = kinds.contains(words[1]) && words.count >= 3 ? words[2] : words[1]
    return name.split(separator: ".").first.map(String.init)
}

@Suite("The scanner of imports")
struct ImportScannerTests {
    @Test(
        "Finds the module in every form of import",
        arguments: [
            ("import Glibc", "Glibc"), ("public import SCSI", "SCSI"), ("@testable import SCSI", "SCSI"),
            ("@preconcurrency internal import Glibc", "Glibc"), ("import struct Foundation.URL", "Foundation"),
            ("import Foundation.NSObject", "Foundation"), ("// import Foundation", nil), ("important()", nil),
            ("let import2 = 1", nil), ("", nil),
        ])
    func forms(_ row: (line: String, module: String?)) {
        #expect(importedModule(in: row.line[...]) == row.module)
    }
}

@Suite("The reader of the manifest")
struct ManifestTests {
    static let text = """
        let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
        func module(_ name: String) -> Target { .target(name: name, dependencies: []) }
        // module("Old", ["Gone"]),
        let a = [
            .target(name: "CA", path: "CSupport/CA", linkerSettings: [.linkedLibrary("a")]),
            .systemLibrary(name: "CB", path: "CSupport/CB", providers: [.apt(["b-dev"])]),
            module("A", ["CA", system], settings: fast),
            module(
                "B",
                [
                    "A", "CB",
                    system,
                ]),
            module("C", []),
            .executableTarget(name: "d", dependencies: ["B", system], swiftSettings: strict),
            .executableTarget(
                name: "e",
                dependencies: ["C"],
                path: "Benchmarks/E"),
            tests("ATests", ["A"]),
        ]
        """

    @Test("Finds every target with its folder and dependencies")
    func targets() {
        let rows = Manifest(parsing: Self.text).targets.map { "\($0.name) \($0.path) \($0.dependencies)" }
        #expect(
            rows == [
                "CA CSupport/CA []", "CB CSupport/CB []", "A Sources/A [\"CA\", \"SystemPackage\"]",
                "B Sources/B [\"A\", \"CB\", \"SystemPackage\"]", "C Sources/C []",
                "d Sources/d [\"B\", \"SystemPackage\"]", "e Benchmarks/E [\"C\"]", "ATests Tests/ATests [\"A\"]",
            ])
    }

    @Test("Tells C, Swift and tests apart")
    func kinds() {
        let targets = Manifest(parsing: Self.text).targets
        #expect(targets.filter(\.isC).map(\.name) == ["CA", "CB"])
        #expect(targets.filter(\.isTest).map(\.name) == ["ATests"])
        #expect(targets.filter { !$0.isC && $0.isShipped }.map(\.name) == ["A", "B", "C", "d"])
    }
}
