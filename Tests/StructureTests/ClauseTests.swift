import Testing

/// The editions that clauses are cited by stand at the head of OperationCode.swift.
@Suite("Clauses of the standards")
struct ClauseTests {
    @Test("Each command has a clause of its own")
    func commands() throws {
        let files = try SourceTree.files(in: "Sources/SCSI", suffix: "/OperationCode.swift")
        var known: [Substring: Substring] = [:]
        for line in files.flatMap(\.lines) {
            guard let match = line.firstMatch(of: #/\/\/\/ (.+) \((S[BP]C-\d \d+\.\d+)\)/#) else { continue }
            let (command, clause) = (match.1, match.2)
            #expect(known[clause] == nil, "\(clause) is said to be \(known[clause] ?? "") and \(command)")
            known[clause] = command
        }
        #expect(known["SBC-3 5.2"] == "COMPARE AND WRITE")
        #expect(known.count > 40, "the pattern no longer finds the commands")
    }

    @Test("One edition of each standard is cited", arguments: ["Sources", "Tests", "Benchmarks"])
    func editions(_ folder: String) throws {
        for file in try SourceTree.files(in: folder) {
            for (number, line) in file.lines.enumerated()
            where line.contains(#/SBC-[24-9] (\d|table)|SPC-[2356] \d/#) {
                Issue.record(
                    "\(file.path):\(number + 1) cites another edition than SPC-4 revision 37 or SBC-3 revision 36")
            }
        }
    }
}
