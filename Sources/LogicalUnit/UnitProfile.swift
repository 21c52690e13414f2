internal import BlockBackend
public import SCSI

/// What is known about a unit when it is opened and stays so.
public struct UnitProfile: Sendable {
    /// `<subtype>/<device>`, for the log.
    public var name: String
    /// Blocks and block size as the kernel was configured.
    public var capacity: Capacity
    /// The kernel's `hw_max_sectors`: longest transfer in blocks.
    public var maximumTransferBlocks: UInt32
    /// The config string without options of the daemon, as VPD page 83h shows it.
    public var configString: String
    /// Milliseconds after which a command is reported as late; nil for never.
    public var commandTimeout: Int64?
    /// The units that this one may copy from and to; nil for none but itself.
    public var copyGroup: CopyGroup?
    /// For how long, in nanoseconds, the loop may watch for the unit's next command before it sleeps, at most
    /// ``Reactor/SpinControl/maximum``; 0 is not at all.
    public var spinLimit: Int64 = 0
    /// Bytes written before the space left is looked at for the first time. Not at once: every look takes a thread for a
    /// moment, and all units of a daemon begin to be written together.
    public var bytesBeforeSpaceLook: Int64 = 256 << 20
    /// Milliseconds between two looks at the least: monitors answer them, for all units of all gateways.
    public var millisecondsBetweenSpaceLooks: Int64 = 5000
    /// LIO may exclude initiators from the unit, and changes of the medium that it cannot see are held to that here. False
    /// only where there is no LIO.
    public var isHeldToExclusion = true
    /// The kernel gives commands up after a time (`cmd_time_out`). False only in tests, which a busy machine may hold up for longer.
    public var isGivenUpByKernel = true
    /// Milliseconds that a command waits for the right to write.
    public var rightPatience = Limits.rightPatience
    /// Milliseconds that a command waits for configfs to be read.
    public var factsPatience = Limits.identityPatience
    /// Mode parameters that an earlier daemon was given by MODE SELECT; nil for those of a device just made.
    public var keptModes: ModeParameters?
    /// A FORMAT UNIT or SANITIZE that an earlier daemon has begun, and that has not reached its end.
    public var keptErasure: KeptErasure?
    /// Its place in the group.
    let copyIdentity = CopyIdentity()

    public init(
        name: String, capacity: Capacity, maximumTransferBlocks: UInt32, configString: String,
        commandTimeout: Int64? = nil, copyGroup: CopyGroup? = nil
    ) {
        self.name = name
        self.capacity = capacity
        self.maximumTransferBlocks = maximumTransferBlocks
        self.configString = configString
        self.commandTimeout = commandTimeout
        self.copyGroup = copyGroup
    }
}

/// What configfs says about a unit's backstore; it may change at any time, and is not yet there when the unit is
/// added, since rtslib writes serial, ALUA groups and LUNs afterwards.
public struct BackstoreFacts: Sendable, Equatable {
    /// `wwn/vpd_unit_serial`; empty while none is set.
    public var serial: String
    /// The enabled target port, if exactly one port group is enabled here.
    public var port: UnitIdentity.Port?
    /// What standard INQUIRY data says about asymmetric access.
    public var targetPortGroupSupport: TargetPortGroupSupport
    /// For REPORT TARGET PORT GROUPS; empty when no port is enabled.
    public var targetPortGroups: [TargetPortGroupDescription]
    /// IMPLICIT TRANSITION TIME in seconds.
    public var implicitTransitionSeconds: UInt8
    /// Whom LIO excludes; nil where that was not asked for, or could not be read.
    public var exclusion: Exclusion?
    /// The kernel answers PERSISTENT RESERVE, RESERVE and RELEASE: `emulate_pr`.
    public var servesReservations = true

    /// The unit has a name of its own.
    public var isNamed: Bool { !serial.isEmpty }
    /// `attrib/cmd_time_out`: seconds after which the kernel gives up a command that the daemon has; 0 is never. The kernel's
    /// default where configfs does not tell.
    public var commandTimeoutSeconds: UInt32 = 30

    public init(
        serial: String, port: UnitIdentity.Port? = nil, targetPortGroupSupport: TargetPortGroupSupport = .none,
        targetPortGroups: [TargetPortGroupDescription] = [], implicitTransitionSeconds: UInt8 = 0,
        exclusion: Exclusion? = nil
    ) {
        self.serial = serial
        self.port = port
        self.targetPortGroupSupport = targetPortGroupSupport
        self.targetPortGroups = targetPortGroups
        self.implicitTransitionSeconds = implicitTransitionSeconds
        self.exclusion = exclusion
    }
}

/// What the unit tells initiators it can do, derived once from what its backend can do.
struct Advertisement {
    let commands: CommandSet
    let limits: BlockLimits
    let provisioning: ProvisioningFlags
    /// The mode parameters when the unit is opened.
    let modePages: ModePages
    /// VPD B1h: 1 is solid state, 0 not reported.
    let mediumRotationRate: UInt16
    /// Thresholds and log parameters count in units of so many blocks, as a power of two.
    let thresholdExponent: UInt8
    /// Initiators are told when less than so many bytes are left; nil where the backend does not know.
    let softThresholdBytes: UInt64?

    /// Bound: a longer UNMAP would hold up what comes after it. Initiators cut theirs into pieces.
    private static let longestUnmapBlocks: UInt64 = 1 << 20

    init(profile: UnitProfile, capabilities: BackendCapabilities) {
        let blockSize = UInt64(profile.capacity.blockSize)
        let canUnmap = capabilities.discard != nil && !capabilities.readOnly
        let readsZeros = capabilities.discard?.readsZeros ?? false
        provisioning = canUnmap ? .unmappable(readsZeros: readsZeros) : .none
        limits = Self.limits(profile, capabilities)
        commands = CommandSet(
            unmap: canUnmap, writeAtomic: limits.atomic != nil,
            blockErase: canUnmap && readsZeros,
            cryptographicErase: false,
            compareAndWrite: limits.maximumCompareAndWriteBlocks > 0,
            // Read, combined and written: others would come between.
            orWrite: !capabilities.hasOtherWriters)
        let bytes = profile.capacity.blocks &* blockSize
        softThresholdBytes = capabilities.reportsSpace && canUnmap ? bytes / 10 : nil
        // 1 MiB, for any block size.
        let exponent =
            softThresholdBytes == nil ? 0 : UInt8(clamping: ((1 << 20) / blockSize).trailingZeroBitCount)
        thresholdExponent = exponent
        modePages = ModePages(
            writeCacheEnabled: capabilities.volatileCache, writeCacheChangeable: capabilities.volatileCache,
            // FUA is honoured by the backend, or by a flush, or because nothing is cached; DPO is a hint.
            dpoFUA: true, writeProtected: capabilities.readOnly,
            softThreshold: softThresholdBytes.map {
                ModePages.SoftThreshold(resource: .available, blocks: $0 / blockSize, exponent: exponent)
            })
        mediumRotationRate = capabilities.solidState ? 1 : 0
    }

    private static func limits(_ profile: UnitProfile, _ capabilities: BackendCapabilities) -> BlockLimits {
        let blockSize = UInt64(profile.capacity.blockSize)
        // A transfer may come in pieces of one page each, and more pieces than a slot has room for are refused.
        let largest = UInt32(clamping: UInt64(Limits.segments) * 4096 / blockSize)
        let transfer = min(profile.maximumTransferBlocks, largest)
        // Where not even one object or stripe fits into a transfer there is nothing to align to. And the optimal
        // length is a large multiple: initiators make it their largest.
        let unit = UInt32(clamping: capabilities.optimalTransferBytes / blockSize)
        let granularity = unit <= transfer ? unit : 0
        var unmap: BlockLimits.Unmap?
        if let discard = capabilities.discard, !capabilities.readOnly {
            unmap = BlockLimits.Unmap(
                maximumBlocks: UInt32(clamping: min(discard.maximumBytes / blockSize, longestUnmapBlocks)),
                maximumDescriptors: UInt32(Limits.unmapDescriptors),
                granularity: UInt32(clamping: max(toldGranularity(discard) / blockSize, 1)),
                alignment: UInt32(clamping: discard.alignment / blockSize))
        }
        return BlockLimits(
            maximumTransferBlocks: transfer,
            optimalTransferBlocks: granularity == 0 ? transfer : transfer / granularity * granularity,
            optimalTransferGranularity: UInt16(clamping: granularity),
            maximumCompareAndWriteBlocks: compareAndWriteBlocks(transfer, blockSize, capabilities),
            maximumWriteSameBlocks: max(Limits.writeSameBytes / blockSize, 1), unmap: unmap,
            atomic: atomic(transfer, blockSize, capabilities))
    }

    /// Bound: Windows 11 does not retrim units of smaller granules, or writes all of them again. Smaller UNMAPs are carried
    /// out all the same.
    private static let smallestToldGranule: UInt64 = 64 << 10

    private static func toldGranularity(_ discard: DiscardCapability) -> UInt64 {
        let isDivisor = discard.granularity > 0 && smallestToldGranule % discard.granularity == 0
        return isDivisor ? smallestToldGranule : discard.granularity
    }

    /// Atomic against everything that writes the medium: the unit's own emulation is that where the unit is all there is,
    /// and the backend's one step everywhere, but not with a cache of others' in between.
    private static func compareAndWriteBlocks(
        _ transfer: UInt32, _ blockSize: UInt64, _ capabilities: BackendCapabilities
    ) -> UInt8 {
        let emulated = UInt64(transfer) / 2
        guard capabilities.hasOtherWriters else { return UInt8(clamping: min(emulated, 255)) }
        if capabilities.volatileCache { return 0 }
        return UInt8(clamping: min(emulated, capabilities.nativeCompareAndWriteBytes / blockSize))
    }

    /// The longest power of two that fits into a transfer and into the backend's window, and that as alignment too: both
    /// divide the window, so that no write as page B0h has it crosses into the next one. Elsewhere only naturally aligned
    /// writes of 4 KiB and more are taken, which no window can cut either.
    private static func atomic(
        _ transfer: UInt32, _ blockSize: UInt64, _ capabilities: BackendCapabilities
    ) -> BlockLimits.Atomic? {
        let window = capabilities.atomicWriteBytes / blockSize
        // Bound: TRANSFER LENGTH of WRITE ATOMIC(16) has 16 bits.
        let fitting = min(window, UInt64(transfer), 1 << 15)
        guard fitting > 0, !capabilities.readOnly else { return nil }
        let longest = UInt32(1) << UInt32(63 - fitting.leadingZeroBitCount)
        return BlockLimits.Atomic(
            maximumBlocks: longest, alignmentBlocks: longest,
            naturalBlocks: UInt32(clamping: max(4096 / blockSize, 1)), windowBlocks: window)
    }
}
