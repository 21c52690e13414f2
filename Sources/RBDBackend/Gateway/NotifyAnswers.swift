/// Who answered a notification, and who did not.
package struct NotifyAnswers: Sendable, Equatable {
    /// One watcher's answer. A client with two watches has two.
    package struct Answer: Sendable, Equatable {
        /// Number of the client.
        package let client: UInt64
        /// What it said; nil where it said nothing that is known: another kind of watcher.
        package let reply: HandOverReply?
    }

    /// In no particular order; without this client's own watches.
    package let answers: [Answer]
    /// Clients that had a watch and did not answer in time: dead, cut off or stuck.
    package let silent: [UInt64]

    /// What librados' answer buffer says. Nil where it is cut short. Total on any input.
    ///
    /// - Parameter own: number of the asking client, whose own watches are left out.
    package init?(_ bytes: [UInt8], own: UInt64) {
        var reader = LittleEndianReader(bytes)
        var answers: [Answer] = []
        var silent: [UInt64] = []
        guard let count = reader.number(bytes: 4) else { return nil }
        // Bound: each turn takes 20 bytes of the buffer, or ends.
        for _ in 0..<count {
            guard let client = reader.number(bytes: 8), reader.number(bytes: 8) != nil,
                let length = reader.number(bytes: 4), let payload = reader.take(length)
            else { return nil }
            if client != own { answers.append(Answer(client: client, reply: HandOverReply(payload))) }
        }
        guard let missing = reader.number(bytes: 4) else { return nil }
        for _ in 0..<missing {
            guard let client = reader.number(bytes: 8), reader.number(bytes: 8) != nil else { return nil }
            if client != own { silent.append(client) }
        }
        self.answers = answers
        self.silent = silent
    }
}

/// Takes numbers off the front of bytes.
private struct LittleEndianReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) {
        rest = bytes[...]
    }

    mutating func take(_ count: UInt64) -> ArraySlice<UInt8>? {
        guard count <= UInt64(rest.count) else { return nil }
        let taken = rest.prefix(Int(count))
        rest = rest.dropFirst(Int(count))
        return taken
    }

    mutating func number(bytes: UInt64) -> UInt64? {
        take(bytes).map { $0.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    }
}
