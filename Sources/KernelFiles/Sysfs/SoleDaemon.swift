/// Proof that no other daemon of TCMU is at work on this machine, as far as anybody can tell. Without it nothing is written
/// that holds for all devices at once: a reset of netlink fails what another daemon's devices wait for.
public struct SoleDaemon: Sendable {
    /// - Parameter signs: what speaks for another daemon.
    /// - Returns: nil if there is any.
    public init?(ifNoneOf signs: [String]) {
        guard signs.isEmpty else { return nil }
    }
}
