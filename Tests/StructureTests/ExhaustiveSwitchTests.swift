import Testing

/// A new command, stage or service action must not compile before every switch has a word on it: with a `default:` it
/// would silently be treated as the others are, at worst as a WRITE.
@Suite("Switches over commands and stages")
struct ExhaustiveSwitchTests {
    @Test("name every case", arguments: ["Sources/SCSI", "Sources/LogicalUnit", "Sources/Reactor"])
    func sources(_ folder: String) throws {
        for file in try SourceTree.files(in: folder) {
            for number in defaults(file.lines) {
                Issue.record(
                    "\(file.path):\(number + 1): `default:` in a switch over an enum; list the cases that are left")
            }
        }
    }

    @Test("The rule itself: enums are found, in tuples and with payloads too, and numbers are let through")
    func rule() {
        let text = """
            switch stage {
            case .read: 1
            default: 2
            }
            switch number {
            case 0, 1: 1
            case Self.most: 2
            default:
                switch (code, action) {
                case (.maintenanceIn, let action):
                    3
                case (_, _) where isOdd: 4
                default: 5
                }
            }
            switch command {
            case let .read(access),
                .write(let access):
                read(access)
            @unknown default: 6
            }
            """
        #expect(defaults(text.split(separator: "\n", omittingEmptySubsequences: false)) == [2, 12, 19])
    }

    /// Numbers of lines with the `default:` of a switch that has an enum's case among its patterns. Goes by the
    /// indentation, which the formatter holds: a switch's cases stand in its own column.
    private func defaults(_ lines: [Substring]) -> [Int] {
        lines.indices.filter { number in
            let text = lines[number].drop { $0 == " " }
            guard text.hasPrefix("default:") || text.hasPrefix("@unknown default:") else { return false }
            let column = indentation(lines[number])
            let patterns = lines[..<number].reversed().prefix {
                indentation($0) >= column && !isSwitch($0, in: column)
            }
            return patterns.contains { line in
                guard indentation(line) == column, let pattern = casePattern(line) else { return false }
                return pattern.contains("(.") || pattern.contains(" .") || pattern.contains("case .")
            }
        }
    }

    private func indentation(_ line: Substring) -> Int {
        line.contains { $0 != " " } ? line.prefix { $0 == " " }.count : .max
    }

    private func isSwitch(_ line: Substring, in column: Int) -> Bool {
        indentation(line) == column && line.contains("switch ")
    }

    /// The text of a `case` up to its colon.
    private func casePattern(_ line: Substring) -> Substring? {
        let text = line.drop { $0 == " " }
        return text.hasPrefix("case ") ? text.prefix { $0 != ":" } : nil
    }
}
