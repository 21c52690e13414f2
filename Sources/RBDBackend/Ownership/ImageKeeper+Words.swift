internal import BlockBackend
internal import Glibc
internal import SystemPackage

/// What people read of an image's ownership: which image, what happened, what was expected, what to do.
extension ImageKeeper {
    /// Writes the line for `note`, unless there were enough of its kind lately.
    func remark(_ note: OwnershipNote) {
        let now = KeeperClock.now
        switch note {
        case .tookLock: say(.info, "took the exclusive lock", now)
        case .gaveLock:
            let host = asker ?? "another gateway"
            let changes = remarks.handOvers(now)
            if changes >= 3 {
                say(
                    .warning,
                    """
                    the exclusive lock goes back and forth with \(host) (given away \(changes) times in 10 s, kept \
                    \(machine.hold) ms each time): initiators write to one LUN by different paths; expected one active \
                    path, check the multipath configuration of the initiators
                    """, now, key: "back and forth")
            } else {
                say(.info, "gave the exclusive lock to \(host), which asked for it", now)
            }
        case .gaveIdleLock: say(.info, "gave the exclusive lock back, as nothing was written for a while", now)
        case .cannotTake(EDQUOT):
            say(
                .error,
                """
                the exclusive lock is that of a former client of this host, which is fenced later, as the cluster's blocklist has \
                many of them already; writes get BUSY. Expected a daemon that is not started again and again: see why it ended
                """, now)
        case .cannotTake(let code):
            let expected =
                mayNotFence
                ? """
                Its owner has to be fenced first, which takes leave to use osd blocklist: mon 'profile rbd' for the cephx user
                """
                : """
                Expected capabilities like those of "profile rbd" for the cephx user, and no lock of another kind
                """
            say(
                .error,
                """
                cannot take the exclusive lock: \(reason(Errno(rawValue: code))); writes get BUSY and it is tried again. \
                \(expected)
                """, now)
        case .lost(ESTALE, _):
            say(
                .warning,
                "exclusive-lock or journaling was switched for the image while it was open; it is opened anew", now)
        case .lost(EEXIST, _):
            say(
                .warning,
                """
                the cluster has the exclusive lock down as this client's, after a time-out, and writes of it may be on their \
                way; the image is opened anew
                """, now)
        case .lost(let code, let wasOwner):
            say(
                .warning,
                """
                \(code == ESHUTDOWN ? "client.\(session.client) is blocklisted in the cluster" : reason(Errno(rawValue: code)))\
                \(wasOwner && code == ESHUTDOWN ? ", by a gateway that took the exclusive lock or by hand" : ""); \
                \(code == ETIMEDOUT ? "waiting for the cluster" : "the image is opened anew")
                """, now)
        case .lockRemoved:
            say(
                .warning,
                """
                the exclusive lock was removed by hand, without fencing this gateway, while it was writing; it is taken again \
                with the next write. Expected nobody to do that while the LUN is in use
                """, now)
        case .cannotReopen: break
        case .back: say(.notice, "the image is open again, by client.\(session.client)", now)
        }
    }

    /// Why opening failed; the same line once a minute.
    func remarkFailure(_ error: BackendError) {
        say(.error, "opening the image anew: \(error.message); it is tried again", KeeperClock.now, every: 60_000)
    }

    /// The owner's client was barred from the cluster.
    func remarkBarred() {
        let peer = ownerHost ?? owner?.address?.host ?? "another gateway"
        say(
            .notice,
            "takes the exclusive lock away from \(peer) (\(owner?.name ?? "?")), which does not give it back; its client is blocklisted",
            KeeperClock.now)
    }

    /// What the session could not have; the same line once an hour, as it is tried again every few seconds.
    func remarkNotes(_ notes: [String]) {
        for note in notes { say(.warning, note, KeeperClock.now, every: 3_600_000) }
    }

    private func say(
        _ level: BackendNotice.RemarkLevel, _ text: String, _ now: Int64, key: String? = nil, every: Int64 = 10_000
    ) {
        guard remarks.allows(key ?? text, now, every: every) else { return }
        tell(.remark(level, "\(options.spec): \(text)"))
    }
}

/// How often a line may be written.
struct RemarkLimit {
    private var last: [String: Int64] = [:]
    private var given: [Int64] = []

    /// Whether the line may be written: the same one at most every so many milliseconds.
    mutating func allows(_ line: String, _ now: Int64, every: Int64) -> Bool {
        if let before = last[line], now - before < every { return false }
        // Bound: lines with numbers in them must not pile up.
        if last.count > 100 { last.removeAll() }
        last[line] = now
        return true
    }

    /// Counts one more time that the lock was given away. Returns how often in the last 10 s.
    mutating func handOvers(_ now: Int64) -> Int {
        given = given.suffix(99).filter { now - $0 < 10_000 } + [now]
        return given.count
    }
}
