import Testing

@Suite("Who imports whom")
struct ImportMatrixTests {
    static let modules = ImportMatrix.rows.map(\.module)

    @Test("Every module of Sources has a row in the matrix, and every row a module")
    func completeness() throws {
        let folders = try SourceTree.folders(in: "Sources")
        #expect(
            Set(folders) == Set(Self.modules),
            "Sources/ and Tests/StructureTests/ImportMatrix.swift must name the same modules")
    }

    @Test("A module only imports what its row allows", arguments: modules)
    func imports(of module: String) throws {
        let row = try #require(ImportMatrix.rows.first { $0.module == module })
        let standard = ImportMatrix.pure.contains(module) ? [] : ImportMatrix.standard
        let allowed = row.mayImport.union(standard)
        for file in try SourceTree.files(in: "Sources/\(module)") {
            for (number, line) in file.lines.enumerated() {
                guard let imported = importedModule(in: line) else { continue }
                #expect(
                    allowed.contains(imported),
                    """
                    \(file.path):\(number + 1) imports \(imported), which the design keeps out of \(module). Move the \
                    code to a module that may, or change ImportMatrix.swift and docs/ARCHITECTURE.md with a reason.
                    """)
            }
        }
    }

    @Test("Rows only name what stands above them, so there is no cycle", arguments: modules)
    func order(_ module: String) throws {
        let position = try #require(Self.modules.firstIndex(of: module))
        let below = Set(Self.modules[position...])
        let row = ImportMatrix.rows[position]
        #expect(
            row.mayImport.isDisjoint(with: below),
            "\(module) may import \(row.mayImport.intersection(below).sorted()), which come after it in the matrix")
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
            let found = file.lines.compactMap(importedModule).filter(ImportMatrix.testOnly.contains)
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

@Suite("The import scanner itself")
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
