/// The folders of one module as rooms, and which room uses what of which other one.
///
/// A scanner, no compiler: it knows types (and protocols, actors, aliases) that are declared at the left margin and not private,
/// and takes every word of the code that is such a name for a use. Names in comments and in texts are none. What a room uses
/// through a value whose type it never names is not seen.
struct Rooms {
    /// One room uses a type of another.
    struct Use: Hashable {
        let room: String
        let other: String
    }

    /// Rooms in order of their names; files that lie loose in the module are the room ".".
    let names: [String]
    /// Who uses whom, with the places that show it: `type in file`.
    let uses: [Use: [String]]

    /// Reads the module in `folder`, from the root.
    init(of folder: String) throws {
        let files = try SourceTree.files(in: folder)
        self.init(files.map { (path: String($0.path.dropFirst(folder.utf8.count + 1)), lines: $0.lines) })
    }

    /// Files with their paths below the module's folder.
    init(_ files: [(path: String, lines: [Substring])]) {
        var homes: [Substring: String] = [:]
        for file in files {
            for line in file.lines {
                if let type = declaredType(in: line) { homes[type] = Self.room(of: file.path) }
            }
        }
        var uses: [Use: [String]] = [:]
        for file in files {
            let room = Self.room(of: file.path)
            for word in Set(words(in: file.lines)).sorted() {
                guard let home = homes[word], home != room else { continue }
                uses[Use(room: room, other: home), default: []].append("\(word) in \(file.path)")
            }
        }
        names = Set(files.map { Self.room(of: $0.path) }).sorted()
        self.uses = uses
    }

    private static func room(of path: String) -> String {
        let folders = path.split(separator: "/").dropLast()
        return folders.isEmpty ? "." : folders.joined(separator: "/")
    }

    /// Sets of rooms of which each uses each other, directly or through others of the set.
    var circles: [[String]] {
        var circles: [[String]] = []
        for name in names where !circles.contains(where: { $0.contains(name) }) {
            let mine = reachable(from: name)
            let circle = names.filter { $0 == name || (mine.contains($0) && reachable(from: $0).contains(name)) }
            if circle.count > 1 { circles.append(circle) }
        }
        return circles
    }

    /// What makes a circle, a few places for each pair of rooms.
    func explanation(of circle: [String]) -> String {
        let inside = uses.filter { circle.contains($0.key.room) && circle.contains($0.key.other) }
        let lines = inside.map { use, places in
            "\(use.room) uses \(use.other): " + places.prefix(4).joined(separator: ", ")
                + (places.count > 4 ? " and \(places.count - 4) more" : "")
        }
        return lines.sorted().joined(separator: "\n")
    }

    private func reachable(from name: String) -> Set<String> {
        var found: Set<String> = []
        var open = [name]
        while let room = open.popLast() {
            for use in uses.keys where use.room == room && found.insert(use.other).inserted {
                open.append(use.other)
            }
        }
        return found
    }
}

/// The type that a line declares for the whole module.
func declaredType(in line: Substring) -> Substring? {
    let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "actor", "typealias"]
    let modifiers: Set<Substring> = ["public", "package", "internal", "open", "final", "indirect", "nonisolated"]
    guard let first = line.first, first.isLetter || first == "@" else { return nil }
    var words = line.split { !($0.isLetter || $0.isNumber || $0 == "_" || $0 == "@") }[...]
    while let first = words.first, modifiers.contains(first) || first.hasPrefix("@") { words.removeFirst() }
    guard let kind = words.popFirst(), kinds.contains(kind) else { return nil }
    return words.first
}

/// The words of Swift code outside of comments and texts.
func words(in lines: [Substring]) -> [Substring] {
    var found: [Substring] = []
    var delimiter: Substring?
    for line in lines {
        var rest = line
        while let first = rest.first {
            if let end = delimiter {
                if first == "\\" {
                    rest = rest.dropFirst(2)
                } else if rest.hasPrefix(end) {
                    rest = rest.dropFirst(end.count)
                    delimiter = nil
                } else {
                    rest = rest.dropFirst()
                }
            } else if rest.hasPrefix("//") {
                break
            } else if first == "\"" {
                delimiter = rest.hasPrefix("\"\"\"") ? "\"\"\"" : "\""
                rest = rest.dropFirst(delimiter?.count ?? 1)
            } else if first.isLetter || first == "_" {
                let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
                found.append(word)
                rest = rest[word.endIndex...]
            } else {
                rest = rest.dropFirst()
            }
        }
        // A text in single quotes ends with its line.
        if delimiter == "\"" { delimiter = nil }
    }
    return found
}
