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

    /// A profile from its parts.
    public init(
        name: String, capacity: Capacity, maximumTransferBlocks: UInt32, configString: String,
        commandTimeout: Int64? = nil
    ) {
        self.name = name
        self.capacity = capacity
        self.maximumTransferBlocks = maximumTransferBlocks
        self.configString = configString
        self.commandTimeout = commandTimeout
    }
}

/// What configfs says about a unit's backstore; it may change at any time, and is not yet there when the unit is
/// added, since rtslib writes serial, ALUA groups and LUNs afterwards.
public struct BackstoreFacts: Sendable, Equatable {
    /// `wwn/vpd_unit_serial`.
    public var serial: String
    /// The enabled target port, if exactly one port group is enabled here.
    public var port: UnitIdentity.Port?
    /// What standard INQUIRY data says about asymmetric access.
    public var targetPortGroupSupport: TargetPortGroupSupport
    /// For REPORT TARGET PORT GROUPS; empty when no port is enabled.
    public var targetPortGroups: [TargetPortGroupDescription]
    /// IMPLICIT TRANSITION TIME in seconds.
    public var implicitTransitionSeconds: UInt8

    /// Facts from their parts.
    public init(
        serial: String, port: UnitIdentity.Port? = nil, targetPortGroupSupport: TargetPortGroupSupport = .none,
        targetPortGroups: [TargetPortGroupDescription] = [], implicitTransitionSeconds: UInt8 = 0
    ) {
        self.serial = serial
        self.port = port
        self.targetPortGroupSupport = targetPortGroupSupport
        self.targetPortGroups = targetPortGroups
        self.implicitTransitionSeconds = implicitTransitionSeconds
    }
}

/// What the unit tells initiators it can do, derived once from what its backend can do.
struct Advertisement {
    let limits: BlockLimits
    let provisioning: ProvisioningFlags
    let modePages: ModePages
    /// VPD B1h: 1 is solid state, 0 not reported.
    let mediumRotationRate: UInt16

    init(profile: UnitProfile, capabilities: BackendCapabilities) {
        let blockSize = UInt64(profile.capacity.blockSize)
        var unmap: BlockLimits.Unmap?
        if let discard = capabilities.discard, !capabilities.readOnly {
            unmap = BlockLimits.Unmap(
                maximumBlocks: UInt32(clamping: discard.maximumBytes / blockSize),
                maximumDescriptors: UInt32(Limits.unmapDescriptors),
                granularity: UInt32(clamping: max(discard.granularity / blockSize, 1)),
                alignment: UInt32(clamping: discard.alignment / blockSize))
        }
        // A transfer may come in pieces of one page each, and more pieces than a slot has room for are refused.
        let largest = UInt32(clamping: UInt64(Limits.segments) * 4096 / blockSize)
        let transfer = min(profile.maximumTransferBlocks, largest)
        limits = BlockLimits(
            maximumTransferBlocks: transfer,
            optimalTransferBlocks: transfer,
            unmap: unmap)
        provisioning =
            unmap == nil ? .none : .unmappable(readsZeros: capabilities.discard?.readsZeros ?? false)
        modePages = ModePages(
            writeCacheEnabled: capabilities.volatileCache, dpoFUA: capabilities.volatileCache,
            writeProtected: capabilities.readOnly)
        mediumRotationRate = capabilities.solidState ? 1 : 0
    }
}
