internal import CRBD
internal import SystemPackage

/// The cluster's list of clients that it no longer serves, as far as it concerns clients that were this process's own.
package enum Blocklist {
    /// Entries of clients at the host of `address`; nil where the monitors do not say. Blocks for a monitor command.
    ///
    /// Entries are never removed here, those of own former clients included: one keeps operations of its client from coming back to
    /// life that sit in the queue of an OSD that hangs, and how long an OSD hangs nobody knows. The cluster does not mark down
    /// every one that does (`nodown`, too few that report it). The monitors drop an entry after an hour.
    static func entries(ofHost address: ClientAddress, _ cluster: RadosCluster) -> Int? {
        guard case .success(let text) = command(cluster, { "{\"prefix\": \"osd \($0) ls\", \"format\": \"json\"}" })
        else {
            return nil
        }
        return listedEntries(text).count { ClientAddress($0)?.hasSameHost(as: address) ?? false }
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
