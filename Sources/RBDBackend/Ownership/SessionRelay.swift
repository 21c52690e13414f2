internal import BlockBackend
internal import Synchronization

/// A size that the kernel wants, and who waits for the answer.
final class ResizeRequest: Sendable {
    let bytes: UInt64
    private let answered = KeeperQueue<Result<Void, BackendError>>()

    init(bytes: UInt64) {
        self.bytes = bytes
    }

    func answer(_ result: Result<Void, BackendError>) {
        answered.change { $0.append(result) }
    }

    func wait() -> Result<Void, BackendError> {
        answered.wait(until: nil) { $0.first } ?? .success(())
    }
}

/// Leads from librados' threads to the keeper, for as long as there is one.
final class SessionRelay: Sendable {
    private struct Target {
        weak var keeper: ImageKeeper?
    }

    private let target = Mutex(Target())

    func connect(_ keeper: ImageKeeper) {
        target.withLock { $0.keeper = keeper }
    }

    func disconnect() {
        target.withLock { $0.keeper = nil }
    }

    /// Handlers of session `number`.
    func handlers(session number: Int) -> SessionHandlers {
        SessionHandlers(
            writeFailed: { [self] code in keeper?.writeFailed(code, session: number) },
            asked: { [self] question in keeper?.asked(question, session: number) },
            doubted: { [self] in keeper?.post(.event(.doubt, session: number)) },
            changed: { [self] acknowledge in
                if let keeper { keeper.headerChanged(acknowledge) } else { acknowledge() }
            }, owner: ObjectIdentifier(self))
    }

    private var keeper: ImageKeeper? { target.withLock { $0.keeper } }
}
