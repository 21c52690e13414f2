internal import Configuration
internal import Glibc
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SystemPackage

/// Erasures under way, which the next daemon must know of: the medium holds neither what it did nor what it should until one has
/// reached its end.
extension Device {
    /// A FORMAT UNIT or SANITIZE begins, which it does when that is kept; or none is under way any longer, nor has failed.
    func keep(_ erasure: KeptErasure?) async {
        var result: Result<Void, Errno>?
        // Not while the device is being removed: configfs would hold the thread. But while the daemon stops: the next one must know
        // what its last commands have come to.
        if life.state == .serving || life.state == .recovering || isStopping, let gate {
            let store = ErasureStore(
                directory: environment.service.runDirectory, backstore: backstore,
                configuration: node.name.configuration)
            result = await BlockingCall.run("erasure-\(node.nodeName)") { () -> Result<Void, Errno> in
                gate.claim.whileHeld { Result { () throws(Errno) in try store.write(erasure) } }
                    ?? .failure(.noSuchFileOrDirectory)
            }
        }
        var isKept = false
        switch result {
        case .success: isKept = true
        case .failure(let errno): tellNotKept(erasure, "\(errno)")
        case nil: tellNotKept(erasure, "no thread left, or the device is going")
        }
        guard let unit, let loop else { return }
        loop.post(unit) { [isKept] in unit.erasureKept(isKept) }
    }

    private func tellNotKept(_ erasure: KeptErasure?, _ reason: String) {
        let directory = environment.service.runDirectory
        say(.erasure) {
            if let erasure {
                logger.error(
                    """
                    \(label): \(erasure.name) is refused: that it has begun cannot be kept in \(directory) for the next daemon: \
                    \(reason)
                    """)
            } else {
                logger.error(
                    """
                    \(label): that no FORMAT UNIT or SANITIZE is under way any longer cannot be kept in \(directory): \(reason). If \
                    one was, the next daemon takes it for one that was cut off, until it is repeated
                    """)
            }
        }
    }
}

extension KeptErasure {
    /// For the log, when the device is opened.
    var note: String {
        """
        \(name) has begun under an earlier daemon and did not reach its end: the medium holds neither what it did nor what it \
        should. Initiators get MEDIUM ERROR until it is repeated\(mayExit ? ", or until EXIT FAILURE MODE" : ""). If the image has \
        been erased or restored some other way since, remove the LUN and add it again instead
        """
    }
}
