/// The mode parameters of a unit (SPC-4 7.5, SBC-3 6.4): what MODE SENSE shows, and what MODE SELECT may change.
///
/// A value: the unit keeps one and shares it between all initiators. Nothing is saved over reboots, so that
/// ``default`` values are those of a unit just made.
public struct ModePages: Sendable, Equatable, BitwiseCopyable {
    /// WCE: writes may be acknowledged out of a volatile cache, which SYNCHRONIZE CACHE empties.
    public var writeCacheEnabled: Bool
    /// WCE can be changed: the unit writes through where it is zero.
    public var writeCacheChangeable: Bool
    /// DPOFUA: the unit honours DPO and FUA.
    public var dpoFUA: Bool
    /// The unit cannot be written, whatever SWP says.
    public var writeProtected: Bool
    /// SWP: an initiator has asked for write protection.
    public var softwareWriteProtect = false
    /// D_SENSE: sense data goes out in descriptor format.
    public var descriptorSense = false
    /// What page 1Ch/02h says, or `nil` where there is no such page.
    public var softThreshold: SoftThreshold?

    /// WCE of a unit just opened.
    private let defaultWriteCacheEnabled: Bool

    /// Parameters of a unit just opened.
    public init(
        writeCacheEnabled: Bool, writeCacheChangeable: Bool = false, dpoFUA: Bool, writeProtected: Bool,
        softThreshold: SoftThreshold? = nil
    ) {
        self.writeCacheEnabled = writeCacheEnabled
        self.writeCacheChangeable = writeCacheChangeable
        self.dpoFUA = dpoFUA
        self.writeProtected = writeProtected
        self.softThreshold = softThreshold
        defaultWriteCacheEnabled = writeCacheEnabled
    }

    /// WP: the unit may not be written now. Answer commands that would with ``Sense/writeProtected``.
    public var isWriteProtected: Bool { writeProtected || softwareWriteProtect }

    /// Page code and subpage code of each page, in the order in which page code 3Fh returns them.
    public enum Page: UInt16, Sendable, CaseIterable, BitwiseCopyable {
        /// Read-write error recovery (SBC-3 6.4.7).
        case readWriteErrorRecovery = 0x0100
        /// Caching (SBC-3 6.4.5).
        case caching = 0x0800
        /// Control (SPC-4 7.5.8).
        case control = 0x0A00
        /// Control extension (SPC-4 7.5.9).
        case controlExtension = 0x0A01
        /// Informational exceptions control (SPC-4 7.5.12).
        case informationalExceptions = 0x1C00
        /// Logical block provisioning (SBC-3 6.4.6).
        case logicalBlockProvisioning = 0x1C02
    }

    /// A threshold at which initiators get THIN PROVISIONING SOFT THRESHOLD REACHED.
    public struct SoftThreshold: Sendable, Equatable, BitwiseCopyable {
        /// What is counted, by its parameter code in the logical block provisioning log page.
        public enum Resource: UInt8, Sendable, BitwiseCopyable {
            /// What is left: reached when it falls to the threshold.
            case available = 0x01
            /// What is in use: reached when it grows to the threshold.
            case used = 0x02
        }

        /// What is counted.
        public var resource: Resource
        /// Where the threshold lies, in blocks.
        public var blocks: UInt64
        /// THRESHOLD EXPONENT, as in VPD page B2h.
        public var exponent: UInt8

        public init(resource: Resource, blocks: UInt64, exponent: UInt8) {
            self.resource = resource
            self.blocks = blocks
            self.exponent = exponent
        }
    }
}

// MARK: - MODE SENSE

extension ModePages {
    private static let allPages: UInt8 = 0x3F
    private static let allSubpages: UInt8 = 0xFF

    /// The pages that this unit has.
    public var pages: [Page] {
        Page.allCases.filter { $0 != .logicalBlockProvisioning || softThreshold != nil }
    }

    /// The whole parameter data of a MODE SENSE: header, a block descriptor unless DBD is set, pages.
    ///
    /// - Parameter capacity: what the block descriptor says.
    /// - Throws: INVALID FIELD IN CDB for a page or subpage that there is not.
    public func response(to command: ModeSense, capacity: Capacity) throws(Sense) -> [UInt8] {
        let descriptor = command.descriptor?.bytes(capacity) ?? []
        var data = [UInt8].zeros(command.form.modeHeaderLength) + descriptor
        for page in try pages(code: command.pageCode, subpage: command.subpageCode) {
            data += bytes(of: page, command.pageControl)
        }
        let deviceSpecific: UInt8 = (isWriteProtected ? 0x80 : 0) | (dpoFUA ? 0x10 : 0)
        if command.form == .six {
            data[0] = UInt8(clamping: data.count - 1)
            data[2] = deviceSpecific
            data[3] = UInt8(clamping: descriptor.count)
        } else {
            data.store(UInt16(clamping: data.count - 2), at: 0)
            data[3] = deviceSpecific
            data[4] = command.descriptor == .long ? 0x01 : 0x00  // LONGLBA
            data.store(UInt16(clamping: descriptor.count), at: 6)
        }
        return data
    }

    /// The pages asked for (SPC-4 6.13.1): 3Fh is all of them, with FFh those in subpage format too.
    private func pages(code: UInt8, subpage: UInt8) throws(Sense) -> [Page] {
        let ofCode = code == Self.allPages ? pages : pages.filter { $0.code == code }
        guard !ofCode.isEmpty else { throw .invalidFieldInCDB(byte: 2, bit: 5) }
        if subpage == Self.allSubpages { return ofCode }
        guard code != Self.allPages || subpage == 0 else { throw .invalidFieldInCDB(byte: 3) }
        let wanted = ofCode.filter { $0.subpage == subpage }
        guard !wanted.isEmpty else { throw .invalidFieldInCDB(byte: 3) }
        return wanted
    }

    /// One page, from PAGE CODE to its last byte; PS is zero.
    public func bytes(of page: Page, _ control: ModeSense.PageControl = .current) -> [UInt8] {
        var data = [UInt8].zeros(page.length)
        if page.isSubpageFormat {
            data[0] = 0x40 | page.code  // SPF
            data[1] = page.subpage
            data.store(UInt16(page.length - 4), at: 2)
        } else {
            data[0] = page.code
            data[1] = UInt8(page.length - 2)
        }
        switch control {
        case .current: encode(page, into: &data)
        case .default: atDefaults.encode(page, into: &data)
        case .changeable: encodeMask(page, into: &data)
        }
        return data
    }

    private var atDefaults: ModePages {
        var pages = self
        pages.writeCacheEnabled = defaultWriteCacheEnabled
        pages.softwareWriteProtect = false
        pages.descriptorSense = false
        return pages
    }

    private static let wce: UInt8 = 0x04
    private static let dSense: UInt8 = 0x04
    private static let swp: UInt8 = 0x08

    private func encode(_ page: Page, into data: inout [UInt8]) {
        switch page {
        case .readWriteErrorRecovery:
            if softThreshold != nil { data[7] = 0x80 }  // LBPERE: threshold notification is on
        case .caching:
            if writeCacheEnabled { data[2] = Self.wce }
        case .control:
            data[2] = 0x02 | (descriptorSense ? Self.dSense : 0)  // GLTSD: log parameters are not saved
            // QUEUE ALGORITHM MODIFIER 1h, unrestricted reordering: commands in flight together have no order, which initiators
            // see who send overlapping ones. QERR 00b: those behind one that fails are carried out.
            data[3] = 0x10
            data[4] = softwareWriteProtect ? Self.swp : 0
            data[5] = 0x40  // TAS: LIO answers TASK ABORTED
            data.store(UInt16(0xFFFF), at: 8)  // BUSY TIMEOUT PERIOD: unlimited
        case .controlExtension:
            data[4] = 0x01  // IALUAE: LIO changes access states by itself where it has any
        case .informationalExceptions:
            data[2] = 0x08  // DEXCPT: no failure predictions, so nothing that MRIE could say how to report
        case .logicalBlockProvisioning:
            guard let threshold = softThreshold else { return }
            // ENABLED; THRESHOLD TYPE 000b, soft; THRESHOLD ARMING: decreasing or increasing
            data[16] = 0x80 | (threshold.resource == .available ? 0x00 : 0x01)
            data[17] = threshold.resource.rawValue
            data.store(UInt32(clamping: threshold.blocks >> UInt64(threshold.exponent)), at: 20)
        }
    }

    private func encodeMask(_ page: Page, into data: inout [UInt8]) {
        switch page {
        case .caching: data[2] = writeCacheChangeable ? Self.wce : 0
        case .control: (data[2], data[4]) = (Self.dSense, Self.swp)
        case .readWriteErrorRecovery, .controlExtension, .informationalExceptions, .logicalBlockProvisioning: break
        }
    }

    /// Takes the changeable bits out of a page of a parameter list that begins at `start`.
    mutating func adopt(_ page: Page, at start: Int, in list: UnsafeRawBufferPointer) {
        switch page {
        case .caching:
            if writeCacheChangeable { writeCacheEnabled = list[start + 2] & Self.wce != 0 }
        case .control:
            descriptorSense = list[start + 2] & Self.dSense != 0
            softwareWriteProtect = list[start + 4] & Self.swp != 0
        case .readWriteErrorRecovery, .controlExtension, .informationalExceptions, .logicalBlockProvisioning: break
        }
    }
}

extension ModePages.Page {
    /// PAGE CODE.
    var code: UInt8 { UInt8(rawValue >> 8) }

    /// SUBPAGE CODE; zero for a page that is not in subpage format.
    var subpage: UInt8 { UInt8(truncatingIfNeeded: rawValue) }

    /// SPF: the header has four bytes, not two.
    var isSubpageFormat: Bool { subpage != 0 }

    /// The length of the whole page in bytes.
    var length: Int {
        switch self {
        case .readWriteErrorRecovery, .control, .informationalExceptions: 12
        case .caching: 20
        case .controlExtension: 32
        case .logicalBlockProvisioning: 24  // one threshold descriptor
        }
    }
}
