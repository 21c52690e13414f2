/// INQUIRY (SPC-4 6.6).
public struct Inquiry: Sendable, Equatable, BitwiseCopyable {
    /// PAGE CODE of the vital product data asked for (EVPD = 1), or `nil` for standard data.
    public var vitalProductPage: UInt8?
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt16

    public init(vitalProductPage: UInt8? = nil, allocationLength: UInt16) {
        self.vitalProductPage = vitalProductPage
        self.allocationLength = allocationLength
    }

    /// A page code without EVPD is refused.
    init(_ cdb: CDB) throws(Sense) {
        let evpd = cdb[1] & 0x01 != 0
        guard evpd || cdb[2] == 0 else { throw .invalidFieldInCDB(byte: 2) }
        self.init(vitalProductPage: evpd ? cdb[2] : nil, allocationLength: cdb.u16(at: 3))
    }
}

/// TPGS: what asymmetric access the unit reports (SPC-4 6.6.2).
public enum TargetPortGroupSupport: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// None: every path is alike, or no port that belongs to a group is enabled.
    case none = 0x00
    /// Implicit: the target changes states; REPORT TARGET PORT GROUPS tells.
    case implicit = 0x10
    /// Explicit: the initiator changes states by SET TARGET PORT GROUPS.
    case explicit = 0x20
    /// Both.
    case implicitAndExplicit = 0x30

    /// Whether initiators may send SET TARGET PORT GROUPS.
    public var isExplicit: Bool { self == .explicit || self == .implicitAndExplicit }
}

/// Standard INQUIRY data (SPC-4 6.6.2), 74 bytes: those of the original, and version descriptors behind them.
///
/// The texts are identity: device mapper multipath, ESXi and udev rules match by them, and a disk must not
/// change its name when this target takes over from the original.
public struct StandardInquiry: Sendable, Equatable, BitwiseCopyable {
    /// TPGS.
    public var targetPortGroupSupport: TargetPortGroupSupport
    /// 3PC: the original always says that it serves EXTENDED COPY.
    public var thirdPartyCopy: Bool

    public init(targetPortGroupSupport: TargetPortGroupSupport, thirdPartyCopy: Bool = true) {
        self.targetPortGroupSupport = targetPortGroupSupport
        self.thirdPartyCopy = thirdPartyCopy
    }

    /// T10 VENDOR IDENTIFICATION, 8 characters; VPD 83h begins its T10 designator with it too.
    static let vendor = "LIO-ORG "
    private static let product = "TCMU device     "
    private static let revision = "0002"

    /// VERSION DESCRIPTOR 1 and following, without a revision claimed. Block limits of SBC-3's length call for a claim
    /// to SBC-3; SPC-3 is what VERSION says.
    private static let versions: [UInt16] = [
        0x00A0,  // SAM-5
        0x0300,  // SPC-3
        0x04C0,  // SBC-3
    ]
    private static let versionOffset = 58
    private static let length = 74

    /// The whole of the data.
    public var bytes: [UInt8] {
        var data: [UInt8] = [
            0x00,  // direct access block device, connected
            0x00,  // not removable
            0x05,  // VERSION: SPC-3
            0x02,  // NORMACA 0, HISUP 0, RESPONSE DATA FORMAT 2
            UInt8(Self.length - 5),  // ADDITIONAL LENGTH
            (thirdPartyCopy ? 0x08 : 0) | targetPortGroupSupport.rawValue,  // TPGS, 3PC; PROTECT 0
            0x00,
            0x02,  // CMDQUE
        ]
        data += Self.vendor.utf8
        data += Self.product.utf8
        data += Self.revision.utf8
        data += .zeros(Self.length - data.count)
        for (index, version) in Self.versions.enumerated() {
            data.store(version, at: Self.versionOffset + 2 * index)
        }
        return data
    }
}
