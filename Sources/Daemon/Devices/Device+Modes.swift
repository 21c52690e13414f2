internal import Configuration
internal import Glibc
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SCSI
internal import SystemPackage

/// Mode parameters, which live as long as the device does.
extension Device {
    /// Where they are kept.
    nonisolated private var modeStore: ModeStore {
        ModeStore(
            directory: environment.service.runDirectory, backstore: backstore,
            configuration: node.name.configuration)
    }

    /// MODE SELECT wants parameters changed, which its initiator is told of when they are kept.
    func keep(_ parameters: ModeParameters) async {
        var result: Result<FilePath, Errno>?
        // Not while the device is being removed: configfs would hold the thread.
        if life.state == .serving, let gate {
            let store = modeStore
            result = await BlockingCall.run("modes-\(node.nodeName)") { () -> Result<FilePath, Errno> in
                gate.claim.whileHeld { Result { () throws(Errno) in try store.write(parameters) } }
                    ?? .failure(.noSuchFileOrDirectory)
            }
        }
        var isShared = false
        switch result {
        case .success:
            isShared = await hasSeveralSessions()
            say(.modes) { logger.info("\(label): MODE SELECT: \(parameters.line)") }
        case .failure(let errno): tellNotKept("\(errno)")
        case nil: tellNotKept("no thread left, or the device is going")
        }
        guard let unit, let loop else { return }
        let isKept = if case .success = result { true } else { false }
        loop.post(unit) { [isShared] in unit.modeParametersKept(isKept, isShared: isShared) }
    }

    /// More than one initiator uses the device. Who is not known to be there is not told.
    private func hasSeveralSessions() async -> Bool {
        let (tree, backstore) = (environment.tree, backstore)
        // Bound: a removal that begins meanwhile holds up readers of configfs, and waits for this command.
        let sessions = await BlockingCall.run("modes-\(node.nodeName)", atMost: .seconds(1)) { () -> Int in
            do throws(KernelFileError) { return try tree.sessions(of: backstore) } catch { return 0 }
        }
        return (sessions ?? 0) > 1
    }

    /// Initiators choose how often it happens: told once for each reason.
    private func tellNotKept(_ reason: String) {
        guard toldAboutFacts.insert("modes: \(reason)").inserted else { return }
        logger.error(
            """
            \(label): MODE SELECT is refused: its parameters cannot be kept in \(environment.service.runDirectory) for the \
            next daemon: \(reason)
            """)
    }

    /// The device has gone, and what was kept of it with it.
    func forgetKept() async {
        let files = keptFiles
        guard !files.isEmpty else { return }
        keptFiles = []
        _ = await BlockingCall.run("modes-\(node.nodeName)") { for file in files { unlink(file.string) } }
    }
}

extension ModeParameters {
    /// For the log.
    fileprivate var line: String {
        """
        write cache \(writeCacheEnabled ? "on" : "off"), write protection \(softwareWriteProtect ? "on" : "off"), sense in \
        \(descriptorSense ? "descriptor" : "fixed") format
        """
    }
}
