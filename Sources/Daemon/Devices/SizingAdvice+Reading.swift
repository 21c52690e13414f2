internal import Configuration
internal import Glibc
internal import KernelFiles
internal import LogicalUnit
internal import SCSI
internal import SystemPackage

extension SizingAdvice.Settings {
    /// The settings of a unit as configfs and sysfs show them; what the kernel is too old to show is as it was then.
    ///
    /// - Throws: if a setting is there but is no number.
    init(
        _ profile: UnitProfile, in backstore: Backstore, _ parameters: ModuleParameters
    ) throws(KernelFileError) {
        self.init()
        blockSize = profile.capacity.blockSize
        transferBlocks = profile.maximumTransferBlocks
        if let value = try backstore.dataAreaMebibytes() { dataAreaMebibytes = UInt32(clamping: value) }
        if let value = try backstore.pagesPerDataBlock() { pagesPerDataBlock = UInt32(clamping: value) }
        if let value = try backstore.commandRingMebibytes() { commandRingMebibytes = UInt32(clamping: value) }
        if let value = try backstore.queueDepth() { queueDepth = UInt32(clamping: value) }
        if let value = try parameters.globalDataAreaMebibytes() {
            globalDataAreaMebibytes = UInt32(clamping: value)
        }
        pageSize = UInt32(clamping: sysconf(Int32(_SC_PAGESIZE)))
    }
}

extension DeviceOpening {
    /// What is to be said of the room that a unit's settings leave. Never a reason not to serve it.
    func sizing(of backstore: Backstore, _ profile: UnitProfile) -> Sizing {
        do throws(KernelFileError) {
            let parameters = ModuleParameters(sysfs: service.sysfsRoot)
            let advice = SizingAdvice(try SizingAdvice.Settings(profile, in: backstore, parameters))
            return advice.remedy == nil ? .fine(advice.line) : .wanting(advice.line)
        } catch {
            return .fine("what its settings leave room for is not known: \(error)")
        }
    }

    /// A line about the room that a unit's settings leave.
    enum Sizing: Equatable, Sendable {
        /// Nothing to do.
        case fine(String)
        /// A setting limits the unit, and the line says what to change.
        case wanting(String)
    }
}

extension OpenedDevice {
    /// The same device with a line about its sizing.
    func saying(_ sizing: DeviceOpening.Sizing) -> Self {
        var device = self
        switch sizing {
        case .fine(let line): device.remarks.append(line)
        case .wanting(let line): device.notes.append(line)
        }
        return device
    }
}
