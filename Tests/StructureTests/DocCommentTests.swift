import Testing

@Suite("Doc comments")
struct DocCommentTests {
    @Test("Returns, Throws and Parameter begin a line, or DocC takes them for text")
    func lists() throws {
        for folder in TidyTests.swiftFolders {
            for file in try SourceTree.files(in: folder) {
                for (number, line) in file.lines.enumerated() where hidesList(line) {
                    Issue.record("\(file.path):\(number + 1): \"- Returns:\" and the like belong on a line of their own")
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

    private func hidesList(_ line: Substring) -> Bool {
        let text = line.drop { $0 == " " }
        guard text.hasPrefix("///") else { return false }
        return ["Returns:", "Throws:", "Parameter ", "Parameters:"].contains { text.dropFirst(5).contains(" - \($0)") }
    }
}
