internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import SystemPackage

extension TimeoutLadder.Settings {
    /// What the backend and the configuration text say of a unit's times; the rest is the kernel's.
    init(_ profile: UnitProfile, operationTimeoutSeconds: Int?) {
        operation = operationTimeoutSeconds
        late = profile.commandTimeout.map { Int(clamping: $0 / 1000) }
    }

    /// Takes what configfs shows; what the kernel is too old to show is as it was then.
    ///
    /// - Throws: if a time is there but is no number.
    mutating func read(_ backstore: Backstore) throws(KernelFileError) {
        if let seconds = try backstore.commandTimeout() { command = seconds }
        if let seconds = try backstore.queueFullTimeout() { queueFull = seconds }
    }
}

extension Device {
    /// Says once which of the unit's times are too long or too short. Not at the open: ceph-iscsi sets the kernel's after
    /// it has enabled the device. By the time that configfs is read for an initiator all is set up.
    func checkTimeouts(_ facts: BackstoreFacts?) async {
        guard let facts, facts.port != nil, var settings = uncheckedTimeouts, life.state == .serving else { return }
        uncheckedTimeouts = nil
        let backstore = backstore
        if facts.implicitTransitionSeconds > 0 { settings.transition = Int(facts.implicitTransitionSeconds) }
        let known = settings
        let result = await BlockingCall.run("ladder-\(node.nodeName)") {
            () -> Result<TimeoutLadder.Settings, KernelFileError> in
            Result { () throws(KernelFileError) -> TimeoutLadder.Settings in
                var settings = known
                try settings.read(backstore)
                return settings
            }
        }
        switch result {
        case .success(let settings):
            for line in TimeoutLadder(settings).lines { logger.warning("\(label): \(line)") }
        case .failure(let error):
            logger.info("\(label): whether its time-outs fit together is not known: \(error)")
        case nil: break
        }
    }
}
