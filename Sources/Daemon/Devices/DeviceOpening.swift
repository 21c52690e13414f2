internal import BlockBackend
internal import Configuration
internal import FileBackend
internal import Glibc
internal import KernelFiles
internal import LogicalUnit
internal import MemoryBackend
internal import RBDBackend
internal import SCSI
internal import SystemPackage
internal import TCMURing

/// Why a device cannot be served: what the kernel is told, and the line for people.
struct OpenFailure: Error, Sendable, Equatable {
    let errno: Errno
    let message: String
}

/// A device opened: its unit, ready for a loop, and what is worth a line in the log.
struct OpenedDevice: Sendable {
    let unit: any ControlledUnit
    var notes: [String]
    /// What is worth a line only for who asks what bounds the unit.
    var remarks: [String] = []
    let bytes: UInt64
    /// Bytes of a logical block.
    let blockBytes: UInt64
    /// The unit's times, but for those that the kernel has.
    var timeouts = TimeoutLadder.Settings()
    /// What its file of `luns.d` says.
    var settings = LUNSettings()
    /// Where its mode parameters are kept, and erasures under way, once they are.
    var keptFiles: [FilePath] = []
    /// Its place in a copy group, to be taken once it is attached; nil without a group.
    var copyMembership: CopyMembership?
}

/// Opens devices: node, attributes, backend, ring, in this order. Blocking; for a thread of its own.
///
/// The node comes first, because the kernel gives it to one process: nothing is done about a device that another one serves
/// (docs/adr/0022). A claim can be let go of at any time, so a backend that hangs in its open holds no node for ever.
struct DeviceOpening: Sendable {
    /// Config string subtypes that are served; devices of other ones are somebody else's.
    static let subtypes: Set<String> = ["mem", "file", "rbd"]

    /// How a node is opened: its path and the size of its map in bytes.
    typealias NodeOpener = @Sendable (String, Int) throws(RingError) -> RingDescriptors

    let service: ServiceConfiguration
    var copyGroups = CopyGroups()
    var budget = ResourceBudget.none
    var openNode: NodeOpener = { path, size throws(RingError) in
        try RingDescriptors.openNode(path: path, mapSize: size)
    }

    /// As ``DeviceEnvironment/busyPatience``.
    var busyPatience = Duration.seconds(3)

    /// Opens the device of `node`, which is held under `claim`.
    func open(
        _ node: UIONode, _ claim: NodeClaim, report: @escaping UnitReporter
    ) -> Result<OpenedDevice, OpenFailure> {
        do throws(OpenFailure) {
            let device = try Self.configuration(node.name.configuration)
            let resources = try self.claim(for: device.subtype)
            defer { withExtendedLifetime(resources) {} }
            var profile = try profile(node, claim, device)
            let modeStore = ModeStore(
                directory: service.runDirectory, backstore: try backstore(of: node),
                configuration: node.name.configuration)
            // Whether the device is new to this daemon or not: another one may have served it since it was announced.
            profile.keptModes = claim.whileHeld { modeStore.read() } ?? nil
            let erasureStore = ErasureStore(
                directory: service.runDirectory, backstore: try backstore(of: node),
                configuration: node.name.configuration)
            profile.keptErasure = claim.whileHeld { erasureStore.read() } ?? nil
            // Before the backend, which may take its time: the device's removal would hold up a read then.
            let sizing = sizing(of: try backstore(of: node), profile)
            var found = try settings(of: device, node)
            if let cut = Self.mayBeCut(node) { found.notes.append(cut) }
            if let erasure = profile.keptErasure { found.notes.append(erasure.note) }
            var opened: OpenedDevice
            switch device.subtype {
            case "mem": opened = try openMemory(claim, profile, device, report)
            case "file": opened = try openFile(claim, profile, device, report)
            case "rbd": opened = try openImage(claim, profile, device, found.settings, report)
            default:
                throw OpenFailure(
                    errno: .operationNotSupportedByDevice, message: "subtype \(device.subtype) is not served here")
            }
            opened.keptFiles = [modeStore.file, erasureStore.file].compactMap { $0 }
            return .success(opened.saying(sizing).with(found))
        } catch {
            guard let cut = Self.mayBeCut(node) else { return .failure(error) }
            return .failure(OpenFailure(errno: error.errno, message: "\(error.message); \(cut)"))
        }
    }

    /// A line for people about a text that may be longer than what the kernel has kept of it; nil for a shorter one.
    private static func mayBeCut(_ node: UIONode) -> String? {
        guard node.name.configuration.utf8.count >= DeviceConfiguration.longestText else { return nil }
        return """
            the configuration text has \(DeviceConfiguration.longestText) bytes, which is all that the kernel keeps: if it was \
            longer, its end is cut off, and another image or user may be meant. Expected a shorter text
            """
    }

    /// What every unit still takes, but for its backend's client, which claims for itself. Its node is open, and so counted as in
    /// use; the ring's descriptor comes, and two for a moment: one that holds the node while configfs is written, and that file's.
    /// For a file two writers or two of the kernel's threads for io_uring, the file and the io_uring.
    private func claim(for subtype: String) throws(OpenFailure) -> ResourceClaim {
        let need =
            subtype == "file" ? ResourceNeed(threads: 2, descriptors: 5) : ResourceNeed(threads: 0, descriptors: 3)
        do throws(BackendError) {
            return try budget.claim(need)
        } catch {
            throw Self.failure(error)
        }
    }

    private static func configuration(_ text: String) throws(OpenFailure) -> DeviceConfiguration {
        do throws(ConfigurationError) {
            return try DeviceConfiguration(parsing: text)
        } catch {
            throw OpenFailure(errno: .invalidArgument, message: error.description)
        }
    }

    private func profile(
        _ node: UIONode, _ claim: NodeClaim, _ device: DeviceConfiguration
    ) throws(OpenFailure) -> UnitProfile {
        let backstore = try backstore(of: node)
        let (blockSize, bytes, transfer) = try Self.attributes(of: backstore)
        // So that an aborted SANITIZE can be answered while it goes on. Kernels before 5.10 have no such attribute.
        do throws(KernelFileError) { try backstore.setTaskManagementNotices(true, holding: claim) } catch {}
        guard blockSize >= 512, blockSize <= 1 << 16, blockSize & (blockSize - 1) == 0 else {
            throw OpenFailure(
                errno: .invalidArgument,
                message: "hw_block_size is \(blockSize), expected a power of two from 512 to 65536")
        }
        guard bytes >= UInt64(blockSize), bytes % UInt64(blockSize) == 0 else {
            throw OpenFailure(
                errno: .invalidArgument,
                message: "dev_size is \(bytes), expected a multiple of the block size \(blockSize) above 0")
        }
        var profile = UnitProfile(
            name: "\(device.subtype)/\(node.name.device)",
            capacity: Capacity(blocks: bytes / UInt64(blockSize), blockSize: UInt32(blockSize)),
            maximumTransferBlocks: UInt32(clamping: transfer), configString: device.cleaned,
            commandTimeout: device.commandTimeout.map { $0.components.seconds * 1000 },
            copyGroup: device.copyGroup.map { copyGroups.group(named: $0) })
        profile.spinLimit = Int64(device.spinMicroseconds ?? service.spinMicroseconds) * 1000
        return profile
    }

    private static func attributes(
        of backstore: Backstore
    ) throws(OpenFailure) -> (blockSize: Int, bytes: UInt64, transfer: Int) {
        do throws(KernelFileError) {
            return (try backstore.blockSize(), try backstore.size(), try backstore.maximumTransferBlocks())
        } catch {
            throw OpenFailure(errno: error.errno, message: error.description)
        }
    }

    private func backstore(of node: UIONode) throws(OpenFailure) -> Backstore {
        ConfigFSTree(mountedAt: service.configFSRoot).backstore(try Self.backstoreName(node.name))
    }

    static func backstoreName(_ name: UIODeviceName) throws(OpenFailure) -> BackstoreName {
        guard let backstore = BackstoreName(hba: name.hba, name: name.device) else {
            throw OpenFailure(errno: .invalidArgument, message: "\(name.device) is no name of a backstore")
        }
        return backstore
    }

    // MARK: - One per backend

    private func openMemory(
        _ claim: NodeClaim, _ profile: UnitProfile, _ device: DeviceConfiguration, _ report: @escaping UnitReporter
    ) throws(OpenFailure) -> OpenedDevice {
        let size = profile.capacity.blocks * UInt64(profile.capacity.blockSize)
        _ = try Self.parsed { () throws(ConfigurationError) in
            try MemoryConfiguration(parsing: device.parameters)
        }
        do throws(BackendError) {
            return try assemble(try MemoryBackend.open(size: size), claim, profile, notes: [], report)
        } catch {
            throw Self.failure(error)
        }
    }

    private func openFile(
        _ claim: NodeClaim, _ profile: UnitProfile, _ device: DeviceConfiguration, _ report: @escaping UnitReporter
    ) throws(OpenFailure) -> OpenedDevice {
        let size = profile.capacity.blocks * UInt64(profile.capacity.blockSize)
        let file = try Self.parsed { () throws(ConfigurationError) in
            try FileConfiguration(parsing: device.parameters)
        }
        do throws(BackendError) {
            let backend = try FileBackend.open(
                path: file.path, direct: file.direct, expectedSize: size, blockSize: profile.capacity.blockSize)
            let notes = backend.openNotes
            var opened = try assemble(backend, claim, profile, notes: notes, report)
            opened.timeouts.mayHang = true
            return opened
        } catch {
            throw Self.failure(error)
        }
    }

    private func openImage(
        _ claim: NodeClaim, _ profile: UnitProfile, _ device: DeviceConfiguration, _ settings: LUNSettings,
        _ report: @escaping UnitReporter
    ) throws(OpenFailure) -> OpenedDevice {
        let size = profile.capacity.blocks * UInt64(profile.capacity.blockSize)
        let image = try Self.parsed { () throws(ConfigurationError) in
            try RBDConfiguration(parsing: device.parameters)
        }
        var options = RBDOptions(image)
        options.locksInBackground = true
        options.budget = budget
        options.apply(settings)
        do throws(BackendError) {
            let backend = try RBDBackend.open(
                options, expectedSize: size, blockSize: profile.capacity.blockSize)
            let ignored = image.ignoredOptions.map { "option \($0.prefix { $0 != "=" }) is unknown and ignored" }
            let notes = ignored + backend.openNotes
            let operationTimeout = backend.operationTimeoutSeconds
            var opened = try assemble(backend, claim, profile, notes: notes, report)
            opened.timeouts.operation = operationTimeout
            return opened
        } catch {
            throw Self.failure(error)
        }
    }

    private static func parsed<Value>(
        _ parse: () throws(ConfigurationError) -> Value
    ) throws(OpenFailure) -> Value {
        do throws(ConfigurationError) {
            return try parse()
        } catch {
            throw OpenFailure(errno: .invalidArgument, message: error.description)
        }
    }

    private static func failure(_ error: BackendError) -> OpenFailure {
        OpenFailure(errno: error.errno, message: error.message)
    }

    // MARK: - Ring

    /// Joins an open backend with the node's ring.
    private func assemble<Backend: BlockBackend & ~Copyable>(
        _ backend: consuming Backend, _ claim: NodeClaim, _ profile: UnitProfile, notes: [String],
        _ report: @escaping UnitReporter
    ) throws(BackendError) -> OpenedDevice {
        let ring: CommandRing
        do throws(RingError) {
            ring = try claim.mapRing(openLimit: Limits.openEntries)
        } catch {
            backend.close()
            throw BackendError(Self.errno(of: error), error.description)
        }
        let bytes = profile.capacity.blocks * UInt64(profile.capacity.blockSize)
        let unit = EngineUnit(profile: profile, backend: backend, ring: ring, report: report)
        return OpenedDevice(
            unit: unit, notes: notes, bytes: bytes, blockBytes: UInt64(profile.capacity.blockSize),
            timeouts: TimeoutLadder.Settings(profile, operationTimeoutSeconds: nil),
            copyMembership: profile.copyGroup.map { CopyMembership(group: $0, profile: profile) })
    }

    /// Opens the node, and sees to it that it still is the device's. While another process holds it (EBUSY) it is tried again
    /// for a few seconds.
    func claim(_ node: UIONode) throws(RingError) -> NodeClaim {
        let path = service.deviceRoot.appending(node.nodeName).string
        let end = ContinuousClock.now + busyPatience
        while true {
            do throws(RingError) {
                return try NodeClaim(node, sysfs: service.sysfsRoot) { () throws(RingError) in
                    try openNode(path, node.mapSize)
                }
            } catch {
                guard case .open(_, .resourceBusy) = error, ContinuousClock.now < end else { throw error }
                usleep(100_000)
            }
        }
    }

    static func errno(of error: RingError) -> Errno {
        switch error {
        case .otherDevice: .noSuchFileOrDirectory
        case .open(_, let errno), .map(_, let errno): errno
        default: .invalidArgument
        }
    }
}
