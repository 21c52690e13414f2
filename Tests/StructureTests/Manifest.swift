/// Package.swift as the other tests need it: its targets, where they are, and what they depend on. The manifest is what the
/// build uses, so nothing that is read out of it can be out of date.
struct Manifest {
    /// A target, Swift or C.
    struct Target {
        let name: String
        /// Its folder, from the root.
        let path: String
        /// Modules that it may import: other targets, and the products of other packages under their modules' names.
        let dependencies: [String]
        let isC: Bool
        let isTest: Bool

        /// Whether it is part of the daemon, as tests, benchmarks and the test kit are not.
        var isShipped: Bool { path.hasPrefix("Sources/") && !ImportRules.testOnly.contains(name) }
    }

    /// In the order of the file.
    let targets: [Target]

    /// Reads the manifest of this package.
    init() throws {
        self.init(parsing: try SourceTree.text(of: "Package.swift"))
    }

    /// Reads the calls that make targets: `module`, `tests`, and SwiftPM's own with a name that is written out.
    init(parsing text: String) {
        let code = text.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }.joined(
            separator: "\n")
        let products = Self.products(in: code)
        targets = Self.calls(in: code).compactMap { call in
            guard let name = Self.value("name", in: call.arguments, orFirst: call.isOwn) else { return nil }
            let folder = call.function == "tests" ? "Tests" : "Sources"
            return Target(
                name: name, path: Self.value("path", in: call.arguments) ?? "\(folder)/\(name)",
                dependencies: Self.list(in: call.arguments, after: call.isOwn ? "" : "dependencies:").map {
                    products[$0] ?? $0
                },
                isC: call.function == ".target" || call.function == ".systemLibrary",
                isTest: call.function == "tests")
        }
    }

    private struct Call {
        let function: String
        let arguments: String
        /// One of the manifest's own functions, with the name as first argument and the dependencies as second.
        var isOwn: Bool { !function.hasPrefix(".") }
    }

    private static let functions = ["module", "tests", ".executableTarget", ".systemLibrary", ".target"]

    private static func calls(in code: String) -> [Call] {
        var calls: [Call] = []
        var rest = code[...]
        while let open = rest.firstIndex(of: "(") {
            let before = rest[..<open]
            rest = rest[rest.index(after: open)...]
            let isDeclaration = before.split(separator: "\n").last?.drop { $0 == " " }.hasPrefix("func ") ?? false
            let word = String(before.reversed().prefix { $0.isLetter || $0 == "." }.reversed())
            guard functions.contains(word), !isDeclaration else { continue }
            var depth = 1
            let arguments = rest.prefix { character in
                if character == "(" { depth += 1 }
                if character == ")" { depth -= 1 }
                return depth > 0
            }
            calls.append(Call(function: word, arguments: String(arguments)))
        }
        return calls
    }

    /// The constants that stand for another package's product: `let system: Target.Dependency = .product(name: "SystemPackage", …`.
    private static func products(in code: String) -> [String: String] {
        var products: [String: String] = [:]
        for line in code.split(separator: "\n") where line.contains("Target.Dependency = .product(") {
            let name = line.drop { $0 != " " }.dropFirst().prefix { $0 != ":" }
            products[String(name)] = value("name", in: String(line))
        }
        return products
    }

    /// The text of a labelled argument, or with `orFirst` of the first one; nil if that is none.
    private static func value(_ label: String, in arguments: String, orFirst: Bool = false) -> String? {
        var rest: Substring
        if orFirst {
            rest = arguments.drop { $0 == " " || $0 == "\n" }
            guard rest.first == "\"" else { return nil }
            rest = rest.dropFirst()
        } else if let place = arguments.firstRange(of: "\(label): \"") {
            rest = arguments[place.upperBound...]
        } else {
            return nil
        }
        return String(rest.prefix { $0 != "\"" })
    }

    /// The words of the first list after `label`; none if there is no such label.
    private static func list(in arguments: String, after label: String) -> [String] {
        let start = label.isEmpty ? arguments.startIndex : arguments.firstRange(of: label)?.upperBound
        guard let start else { return [] }
        let words = arguments[start...].drop { $0 != "[" }.dropFirst().prefix { $0 != "]" }
        return words.split { ", \n\"".contains($0) }.map(String.init)
    }
}

/// What the manifest does not say of modules.
enum ImportRules {
    /// What belongs to the toolchain: every target may import it, but for the pure ones. Foundation does not, see
    /// ``TidyTests/foundation()``.
    static let standard: Set<String> = ["Glibc", "Synchronization"]

    /// SCSI decoding is a pure function of bytes: not even glibc.
    static let pure: Set<String> = ["SCSI", "ALUA"]

    /// Who may import the test kit: nobody that ships.
    static let testOnly: Set<String> = ["TCMUTestKit", "CAllocationProbe", "Testing"]
}
