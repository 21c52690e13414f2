import Testing

@Suite("Doc comments")
struct DocCommentTests {
    @Test("Returns, Throws and Parameter begin a line, or DocC takes them for text")
    func lists() throws {
        for folder in TidyTests.swiftFolders {
            for file in try SourceTree.files(in: folder) {
                for (number, line) in file.lines.enumerated() where hidesList(line) {
                    Issue.record(
                        "\(file.path):\(number + 1): \"- Returns:\" and the like belong on a line of their own")
                }
            }
        }
    }

    @Test(
        "What counts as hidden",
        arguments: [
            ("    /// Queues a write. - Returns: false if the queue is full.", true),
            ("    /// Looks. - Parameter now: coarse milliseconds.", true),
            ("    /// - Returns: false if the queue is full.", false),
            ("    let text = \"it. - Returns: 1\"", false),
        ])
    func hidden(line: String, isHidden: Bool) {
        #expect(hidesList(line[...]) == isHidden)
    }

    @Test("Public declarations say what they are, but for initialisers and what a protocol says already")
    func documentation() throws {
        for file in try SourceTree.files(in: "Sources") {
            for number in undocumented(file.lines) {
                Issue.record("\(file.path):\(number + 1): a public declaration without a doc comment")
            }
        }
    }

    @Test("What counts as undocumented")
    func undocumentedLines() {
        let text = """
            public struct Bare {
                /// A number.
                @inlinable
                public var documented: Int { 0 }
                public init() {}
                public static let bare = 1
            }
            extension Bare: CustomStringConvertible {
                public var description: String { "" }
            }
            extension Bare {
                public func bareToo() {}
            }
            """
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(undocumented(lines) == [0, 5, 11])
    }

    /// Numbers of lines with a public declaration that has no doc comment and needs one: an initialiser that takes its
    /// type's parts does not, and neither does a protocol's requirement in an extension that conforms to it.
    private func undocumented(_ lines: [Substring]) -> [Int] {
        var found: [Int] = []
        var conforms = false
        for (number, line) in lines.enumerated() {
            if line.first == "}" { conforms = false }
            if line.hasPrefix("extension ") {
                conforms =
                    line.prefix { $0 != "{" }.split(separator: " ").dropFirst().first?.hasSuffix(":") ?? false
            }
            let words = line.split { $0 == " " || $0 == "(" }
            guard words.prefix(3).contains("public"), !words.contains("init"), !words.contains("import"), !conforms
            else { continue }
            let above = lines[..<number].last { !$0.drop { $0 == " " }.hasPrefix("@") }
            if above?.drop(while: { $0 == " " }).hasPrefix("///") != true { found.append(number) }
        }
        return found
    }

    private func hidesList(_ line: Substring) -> Bool {
        let text = line.drop { $0 == " " }
        guard text.hasPrefix("///") else { return false }
        return ["Returns:", "Throws:", "Parameter ", "Parameters:"].contains {
            text.dropFirst(5).contains(" - \($0)")
        }
    }
}
