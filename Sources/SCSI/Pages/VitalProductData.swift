/// The vital product data pages of a unit (SPC-4 7.8, SBC-3 6.5).
public struct VitalProductData: Sendable, Equatable {
    /// The pages a disk of this target has, in the order that page 00h lists them.
    public enum Page: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        /// Supported VPD pages.
        case supportedPages = 0x00
        /// Unit serial number.
        case unitSerialNumber = 0x80
        /// Device identification.
        case deviceIdentification = 0x83
        /// Third-party copy; see ``ThirdPartyCopy``.
        case thirdPartyCopy = 0x8F
        /// Block limits.
        case blockLimits = 0xB0
        /// Block device characteristics.
        case blockDeviceCharacteristics = 0xB1
        /// Logical block provisioning.
        case logicalBlockProvisioning = 0xB2
    }

    /// Serial number, config string and port.
    public var identity: UnitIdentity
    /// What page B0h says.
    public var limits: BlockLimits
    /// What page B2h says.
    public var provisioning: ProvisioningFlags
    /// MEDIUM ROTATION RATE: 0 is not reported, 1 is a solid state medium.
    public var mediumRotationRate: UInt16
    /// What page B1h says of SANITIZE.
    public var commands: CommandSet
    /// THRESHOLD EXPONENT of page B2h: thresholds and log parameters count in units of `2^exponent` blocks. Zero says
    /// that there are none.
    public var thresholdExponent: UInt8
    /// What page 8Fh says, or `nil` where there is no such page.
    public var thirdPartyCopy: ThirdPartyCopy?

    public init(
        identity: UnitIdentity, limits: BlockLimits, provisioning: ProvisioningFlags,
        mediumRotationRate: UInt16 = 0, commands: CommandSet = .common, thresholdExponent: UInt8 = 0,
        thirdPartyCopy: ThirdPartyCopy? = nil
    ) {
        self.identity = identity
        self.limits = limits
        self.provisioning = provisioning
        self.mediumRotationRate = mediumRotationRate
        self.commands = commands
        self.thresholdExponent = thresholdExponent
        self.thirdPartyCopy = thirdPartyCopy
    }

    /// The whole of page `code`, or `nil` where there is none: answer that with ``unsupportedPage``.
    public func page(_ code: UInt8) -> [UInt8]? {
        guard let page = Page(rawValue: code), pages.contains(page) else { return nil }
        return bytes(of: page)
    }

    /// The pages that this unit has.
    private var pages: [Page] {
        Page.allCases.filter { page in
            switch page {
            case .unitSerialNumber: identity.isNamed
            case .thirdPartyCopy: thirdPartyCopy != nil
            case .supportedPages, .deviceIdentification, .blockLimits, .blockDeviceCharacteristics,
                .logicalBlockProvisioning:
                true
            }
        }
    }

    /// INVALID FIELD IN CDB, pointing at PAGE CODE.
    public static let unsupportedPage = Sense.invalidFieldInCDB(byte: 2)

    /// The whole of a page: peripheral byte, page code, a 16-bit length and what follows.
    public func bytes(of page: Page) -> [UInt8] {
        let body =
            switch page {
            case .supportedPages: pages.map(\.rawValue)
            case .unitSerialNumber: identity.serialText
            case .deviceIdentification: identity.designators
            case .thirdPartyCopy: thirdPartyCopy?.descriptors ?? []
            case .blockLimits: blockLimits
            case .blockDeviceCharacteristics: blockDeviceCharacteristics
            case .logicalBlockProvisioning: logicalBlockProvisioning
            }
        var data: [UInt8] = [0x00, page.rawValue]
        data.append(bigEndian: UInt16(clamping: body.count))
        data += body
        return data
    }

    /// Page B0h after its header, 60 bytes (SBC-3 6.5.3). Offsets of the standard count from the page's start.
    private var blockLimits: [UInt8] {
        var body = [UInt8].zeros(0x3C)
        body[4 - 4] = 0x01  // WSNZ: WRITE SAME of zero blocks is refused
        body[5 - 4] = limits.maximumCompareAndWriteBlocks
        body.store(limits.optimalTransferGranularity, at: 6 - 4)
        body.store(limits.maximumTransferBlocks, at: 8 - 4)
        body.store(limits.optimalTransferBlocks, at: 12 - 4)
        body.store(limits.maximumPrefetchBlocks, at: 16 - 4)
        if let unmap = limits.unmap {
            body.store(unmap.maximumBlocks, at: 20 - 4)
            body.store(unmap.maximumDescriptors, at: 24 - 4)
            body.store(unmap.granularity, at: 28 - 4)
            body.store(0x8000_0000 | unmap.alignment, at: 32 - 4)  // UGAVALID
        }
        body.store(limits.maximumWriteSameBlocks, at: 36 - 4)
        if let atomic = limits.atomic {
            body.store(atomic.maximumBlocks, at: 44 - 4)
            body.store(atomic.alignmentBlocks, at: 48 - 4)
            body.store(atomic.granularityBlocks, at: 52 - 4)
            // The two fields on atomic boundaries stay zero: there are none.
        }
        return body
    }

    /// Page B1h after its header, 60 bytes (SBC-3 6.5.2). WABEREQ and WACEREQ tell what a READ meets after a sanitize
    /// of that kind: 01b, data without an error. Zero is right where the unit does not serve it.
    private var blockDeviceCharacteristics: [UInt8] {
        var body = [UInt8].zeros(0x3C)
        body.store(mediumRotationRate, at: 4 - 4)
        body[7 - 4] = (commands.blockErase ? 0x40 : 0) | (commands.cryptographicErase ? 0x10 : 0)
        return body
    }

    /// Page B2h after its header, 4 bytes (SBC-3 6.5.4). PROVISIONING TYPE is "thin" with the power to unmap: Windows
    /// goes by it, nobody takes it for identity; the original leaves it at "not reported". LBPRZ, whose three bits are
    /// 001b for zeros (SBC-4), goes with the power to unmap too; the original always sets it.
    private var logicalBlockProvisioning: [UInt8] {
        var flags: UInt8 = 0
        if provisioning.lbpu { flags |= 0x80 }
        if provisioning.lbpws { flags |= 0x40 }
        if provisioning.lbpws10 { flags |= 0x20 }
        if provisioning.lbprz, provisioning.isManaged { flags |= 0x04 }
        return [thresholdExponent, flags, provisioning.isManaged ? 0x02 : 0x00, 0x00]
    }
}
