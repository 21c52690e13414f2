/// How full what backs the unit is: what the logical block provisioning log page tells.
public struct ProvisioningSpace: Sendable, Equatable, BitwiseCopyable {
    /// Blocks that can still be mapped, other units that draw on the same space not counted out; `nil` where it is not
    /// known.
    public var availableBlocks: UInt64?
    /// Blocks of this unit that are mapped; `nil` where it is not known.
    public var usedBlocks: UInt64?
    /// THRESHOLD EXPONENT, as in VPD page B2h: counts go out in units of `2^exponent` blocks.
    public var thresholdExponent: UInt8

    public init(availableBlocks: UInt64? = nil, usedBlocks: UInt64? = nil, thresholdExponent: UInt8) {
        self.availableBlocks = availableBlocks
        self.usedBlocks = usedBlocks
        self.thresholdExponent = thresholdExponent
    }
}

extension LogSense {
    private static let supportedPages: UInt8 = 0x00
    private static let logicalBlockProvisioning: UInt8 = 0x0C
    private static let allSubpages: UInt8 = 0xFF

    /// The whole parameter data: the supported pages (00h), the supported pages and subpages (00h/FFh), or logical
    /// block provisioning (0Ch, SBC-3 6.3.4).
    ///
    /// - Parameter space: what is known of the space behind the unit; without any of it there is no page 0Ch.
    /// - Throws: INVALID FIELD IN CDB for a page or subpage that there is not, and for a PARAMETER POINTER beyond the
    ///   last parameter of the page.
    public func response(space: ProvisioningSpace?) throws(Sense) -> [UInt8] {
        let parameters = space?.parameters ?? []
        let hasProvisioning = !parameters.isEmpty
        switch pageCode {
        case Self.supportedPages:
            guard subpageCode == 0 || subpageCode == Self.allSubpages else { throw .invalidFieldInCDB(byte: 3) }
            // These lists have no parameters.
            guard parameterPointer == 0 else { throw .invalidFieldInCDB(byte: 5) }
            let pages = [Self.supportedPages] + (hasProvisioning ? [Self.logicalBlockProvisioning] : [])
            if subpageCode == 0 { return Self.page(flags: 0, pageCode, 0, pages) }
            var list: [UInt8] = [Self.supportedPages, 0, Self.supportedPages, Self.allSubpages]
            for page in pages.dropFirst() { list += [page, 0] }
            return Self.page(flags: 0x40, pageCode, subpageCode, list)  // SPF
        case Self.logicalBlockProvisioning where hasProvisioning:
            guard subpageCode == 0 else { throw .invalidFieldInCDB(byte: 3) }
            let wanted = parameters.filter { $0.code >= parameterPointer }
            guard !wanted.isEmpty else { throw .invalidFieldInCDB(byte: 5) }
            return Self.page(flags: 0x80, pageCode, 0, wanted.flatMap(\.bytes))  // DS: not saved
        default: throw .invalidFieldInCDB(byte: 2, bit: 5)
        }
    }

    /// A log page of its header (SPC-4 7.3.2) and content.
    private static func page(flags: UInt8, _ code: UInt8, _ subpage: UInt8, _ content: [UInt8]) -> [UInt8] {
        var data: [UInt8] = [flags | code, subpage]
        data.append(bigEndian: UInt16(clamping: content.count))
        return data + content
    }
}

extension ProvisioningSpace {
    fileprivate struct Parameter {
        let code: UInt16
        let count: UInt64
        let scope: UInt8

        /// A resource count log parameter, 12 bytes. Bound: RESOURCE COUNT has 32 bits.
        var bytes: [UInt8] {
            var data: [UInt8] = []
            data.append(bigEndian: code)
            data += [0x03, 0x08]  // FORMAT AND LINKING: binary format list; PARAMETER LENGTH
            data.append(bigEndian: UInt32(clamping: count))
            return data + [scope, 0, 0, 0]
        }
    }

    /// The parameters that are known, in ascending order of their codes. What is available is rounded down and what is
    /// used up: neither promises space that is not there.
    fileprivate var parameters: [Parameter] {
        let exponent = UInt64(thresholdExponent)
        var parameters: [Parameter] = []
        if let availableBlocks {
            // SCOPE 10b: other units may draw on it as well
            parameters.append(Parameter(code: 0x0001, count: availableBlocks >> exponent, scope: 0x02))
        }
        if let usedBlocks {
            let whole = usedBlocks >> exponent
            let isExact = whole << exponent == usedBlocks
            // SCOPE 01b: of this unit alone
            parameters.append(Parameter(code: 0x0002, count: isExact ? whole : whole + 1, scope: 0x01))
        }
        return parameters
    }
}
