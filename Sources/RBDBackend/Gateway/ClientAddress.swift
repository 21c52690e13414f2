internal import Glibc

/// The address by which a cluster knows and blocklists a client: `10.0.0.1:0/123456`, `[fd00::1]:0/123456`.
///
/// The messenger's version may stand before it (`v1:`, `v2:`, `any:`); it does not matter to blocklisting, so it does
/// not make two addresses differ.
package struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
    /// The IP address in network order: 4 or 16 bytes.
    package let ip: [UInt8]
    /// 0 for clients: they do not listen.
    package let port: UInt16
    /// Tells clients of one host apart.
    package let nonce: UInt32

    /// Nil for anything else than one client's address, ranges of addresses (`10.0.0.0/24`) included.
    package init?(_ text: some StringProtocol) {
        // Bound: longest is an IPv6 address with brackets, version, port and nonce.
        guard text.utf8.count <= 80 else { return nil }
        var rest = Substring(text)
        if let version = ["v1:", "v2:", "any:"].first(where: { rest.hasPrefix($0) }) {
            rest = rest.dropFirst(version.count)
        }
        guard let slash = rest.lastIndex(of: "/"), let nonce = decimal(rest[slash...].dropFirst(), UInt32.self),
            let colon = rest[..<slash].lastIndex(of: ":"),
            let port = decimal(rest[colon..<slash].dropFirst(), UInt16.self),
            let ip = ipAddress(rest[..<colon])
        else { return nil }
        self.ip = ip
        self.port = port
        self.nonce = nonce
    }

    /// All addresses of a client, as `rados_getaddrs` writes them: one, or `[v2:…,v1:…]`.
    package static func all(in text: String) -> [ClientAddress] {
        if let address = ClientAddress(text) { return [address] }
        guard text.hasPrefix("["), text.hasSuffix("]") else { return [] }
        return text.dropFirst().dropLast().split(separator: ",").compactMap { ClientAddress($0) }
    }

    /// True if both are clients of one host, as far as its address tells.
    package func hasSameHost(as other: ClientAddress) -> Bool { ip == other.ip }

    /// The IP address alone, for the log.
    package var host: String {
        var bytes = ip
        let family = ip.count == 4 ? AF_INET : AF_INET6
        return textBuffer(64) { inet_ntop(family, &bytes, $0, socklen_t($1)) == nil ? -1 : 0 } ?? "?"
    }

    /// As the monitors write it.
    package var description: String { "\(ip.count == 4 ? host : "[\(host)]"):\(port)/\(nonce)" }
}

/// Digits alone: no sign, no blanks.
private func decimal<Number: FixedWidthInteger>(_ text: Substring, _: Number.Type) -> Number? {
    guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
    return Number(text)
}

/// `10.0.0.1` or `[fd00::1]`.
private func ipAddress(_ text: Substring) -> [UInt8]? {
    let isBracketed = text.hasPrefix("[") && text.hasSuffix("]") && text.count > 2
    let bare = String(isBracketed ? text.dropFirst().dropLast() : text)
    // inet_pton would stop at a NUL byte.
    guard !bare.utf8.contains(0) else { return nil }
    var bytes = [UInt8](repeating: 0, count: isBracketed ? 16 : 4)
    return inet_pton(isBracketed ? AF_INET6 : AF_INET, bare, &bytes) == 1 ? bytes : nil
}
