internal import Configuration
internal import KernelFiles
internal import RBDBackend
internal import SystemPackage

extension DeviceOpening {
    /// What a file of `luns.d` says about the device, and lines for the log about files that nobody can place.
    ///
    /// - Throws: EINVAL where the file cannot be used, or asks a backend for what it does not have: a LUN that was to be
    ///   read-only must not be served for writing.
    func settings(
        of device: DeviceConfiguration, _ node: UIONode
    ) throws(OpenFailure) -> (settings: LUNSettings, notes: [String]) {
        let found: (settings: LUNSettings, notes: [String])
        let name = try Self.backstoreName(node.name)
        do throws(LUNFileError) {
            found = try LUNFiles(directory: service.lunDirectory).settings(
                of: device.identity, backstore: node.name.device, hba: name.hbaDirectory,
                namesakes: ConfigFSTree(mountedAt: service.configFSRoot).namesakes(of: name))
        } catch {
            throw OpenFailure(errno: error.errno, message: error.description)
        }
        let isForImages =
            found.settings.readOnly || found.settings.encryption != nil
            || found.settings.lockHoldMilliseconds != nil || found.settings.lockIdleSeconds != nil
        if isForImages && device.subtype != "rbd" {
            let file = (found.settings.file ?? "").printable
            throw OpenFailure(
                errno: .invalidArgument,
                message:
                    "\(file): read_only, encryption and lock are for rbd; the LUN is \(device.identity.printable)")
        }
        return found
    }
}

extension RBDOptions {
    /// Takes over what the LUN's file says about its image.
    mutating func apply(_ settings: LUNSettings) {
        readOnly = settings.readOnly
        lockHoldMilliseconds = settings.lockHoldMilliseconds.map { Int($0) }
        lockIdleReleaseMilliseconds = settings.lockIdleSeconds.map { Int($0) * 1000 }
        encryption = settings.encryption.map { encryption in
            let format: ImageEncryption.Format =
                switch encryption.format {
                case .luks1: .luks1
                case .luks2: .luks2
                }
            return ImageEncryption(format, passphraseFile: encryption.passphraseFile)
        }
    }
}

extension OpenedDevice {
    /// The same with its settings, and with what there is to say about them.
    func with(_ found: (settings: LUNSettings, notes: [String])) -> OpenedDevice {
        var device = self
        device.settings = found.settings
        device.notes = found.notes + notes
        return device
    }
}
