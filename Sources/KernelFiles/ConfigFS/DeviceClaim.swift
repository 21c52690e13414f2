internal import SystemPackage

/// Proof that this process alone serves a device. What would disturb another daemon's work on it is written under one.
public protocol DeviceClaim: Sendable {
    /// Runs `body` while the claim is certainly held. Returns nil, without having run it, if it is not.
    func whileHeld<Result>(_ body: () -> Result) -> Result?
}

extension AttributeFile {
    /// As ``write(_:)``, while `claim` is held. Throws ENODEV, with nothing written, if it is not.
    func write(_ value: String, holding claim: some DeviceClaim) throws(KernelFileError) {
        // The closure's error would be widened to any Error: a Result carries it through.
        let result = claim.whileHeld { () -> Result<Void, KernelFileError> in
            Result { () throws(KernelFileError) in try write(value) }
        }
        guard let result else {
            throw KernelFileError(
                path: path.string, reason: .refused(value: value, .operationNotSupportedByDevice))
        }
        try result.get()
    }
}
