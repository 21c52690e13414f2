internal import CRBD
internal import SystemPackage

/// The cluster's list of clients that it no longer serves, as far as it concerns clients that were this process's own.
package enum Blocklist {
    /// Removes the entries of `addresses` from the list.
    ///
    /// Only entries of exactly these clients: what bars a whole host or a range of addresses was made on purpose.
    ///
    /// - Returns: the addresses that had been listed; the first error otherwise. Blocks for a few monitor commands.
    static func remove(_ addresses: [ClientAddress], by cluster: RadosCluster) -> Result<[ClientAddress], Errno> {
        let entries: [String]
        switch command(cluster, { "{\"prefix\": \"osd \($0) ls\", \"format\": \"json\"}" }) {
        case .success(let text): entries = listedEntries(text)
        case .failure(let errno): return .failure(errno)
        }
        var removed: [ClientAddress] = []
        for entry in entries {
            guard let address = ClientAddress(entry), addresses.contains(address) else { continue }
            let outcome = command(cluster) {
                let name = "osd \($0)"
                // The argument that takes the operation is named like the command.
                return
                    "{\"prefix\": \"\(name)\", \"\($0)op\": \"rm\", \"addr\": \(JSONText.literal(entry))}"
            }
            if case .failure(let errno) = outcome { return .failure(errno) }
            removed.append(address)
        }
        return .success(removed)
    }

    /// Runs a command by its name of today, or by the one it had before Pacific where monitors do not know it.
    private static func command(_ cluster: RadosCluster, _ text: (String) -> String) -> Result<String, Errno> {
        switch cluster.monitorCommand(text("blocklist")) {
        case .failure(.invalidArgument): cluster.monitorCommand(text("blacklist"))
        case let outcome: outcome
        }
    }

    /// Addresses in what `osd blocklist ls` printed, as they are written there: JSON, of which newer monitors print a second
    /// list with ranges right after the first one, or lines of text. Total on any input.
    package static func listedEntries(_ text: String) -> [String] {
        guard text.drop(while: \.isWhitespace).hasPrefix("[") else {
            return text.split(whereSeparator: \.isNewline).compactMap { line in
                line.split(separator: " ").first.map(String.init)
            }
        }
        var tokens = JSONScanner(text)
        var entries: [String] = []
        var isAddress = false
        while true {
            switch tokens.next() {
            case .end, .malformed: return entries
            case .string("addr"): isAddress = true
            case .mark(":"): break
            case .string(let entry):
                if isAddress { entries.append(entry) }
                isAddress = false
            case .mark, .word: isAddress = false
            }
        }
    }
}

extension RadosCluster {
    /// The addresses that this client would be blocklisted by; empty where librados does not say.
    var addresses: [ClientAddress] {
        var text: UnsafeMutablePointer<CChar>?
        guard rados_getaddrs(handle, &text) >= 0, let text else { return [] }
        defer { rados_buffer_free(text) }
        return ClientAddress.all(in: String(cString: text))
    }
}
