/// The mode parameters of a unit (SPC-4 7.5, SBC-3 6.4): what MODE SENSE shows, and what MODE SELECT may repeat
/// but not change.
public struct ModePages: Sendable, Equatable, BitwiseCopyable {
    /// WCE: writes may be acknowledged out of a volatile cache, which SYNCHRONIZE CACHE empties.
    public var writeCacheEnabled: Bool
    /// DPOFUA: the unit honours DPO and FUA.
    public var dpoFUA: Bool
    /// WP: the unit cannot be written.
    public var writeProtected: Bool

    /// Parameters from their parts.
    public init(writeCacheEnabled: Bool, dpoFUA: Bool, writeProtected: Bool) {
        self.writeCacheEnabled = writeCacheEnabled
        self.dpoFUA = dpoFUA
        self.writeProtected = writeProtected
    }

    /// The pages, in the order in which page code 3Fh returns them. None has subpages.
    public enum Page: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        /// Read-write error recovery (SBC-3 6.4.7).
        case readWriteErrorRecovery = 0x01
        /// Caching (SBC-3 6.4.5).
        case caching = 0x08
        /// Control (SPC-4 7.5.8).
        case control = 0x0A
    }

    private static let allPages: UInt8 = 0x3F
    private static let allSubpages: UInt8 = 0xFF

    /// The whole parameter data of a MODE SENSE: header, no block descriptor, pages.
    /// - Throws: INVALID FIELD IN CDB for a page or subpage that there is not.
    public func response(to command: ModeSense) throws(Sense) -> [UInt8] {
        let pages: [Page]
        if command.pageCode == Self.allPages {
            guard command.subpageCode == 0 || command.subpageCode == Self.allSubpages else {
                throw .invalidFieldInCDB(byte: 3)
            }
            pages = Page.allCases
        } else {
            guard let page = Page(rawValue: command.pageCode) else { throw .invalidFieldInCDB(byte: 2, bit: 5) }
            guard command.subpageCode == 0 else { throw .invalidFieldInCDB(byte: 3) }
            pages = [page]
        }

        var data = [UInt8].zeros(command.form.modeHeaderLength)
        for page in pages {
            data += bytes(of: page, command.pageControl)
        }
        let deviceSpecific: UInt8 = (writeProtected ? 0x80 : 0) | (dpoFUA ? 0x10 : 0)
        if command.form == .six {
            data[0] = UInt8(clamping: data.count - 1)
            data[2] = deviceSpecific
        } else {
            data.store(UInt16(clamping: data.count - 2), at: 0)
            data[3] = deviceSpecific
        }
        return data
    }

    /// One page, from PAGE CODE to its last byte; PS is zero.
    public func bytes(of page: Page, _ control: ModeSense.PageControl = .current) -> [UInt8] {
        var data = [UInt8].zeros(page.length)
        data[0] = page.rawValue
        data[1] = UInt8(page.length - 2)
        guard control != .changeable else { return data }
        switch page {
        case .readWriteErrorRecovery: break
        case .caching:
            if writeCacheEnabled { data[2] = 0x04 }
        case .control:
            data[2] = 0x02  // GLTSD: log parameters are not saved on their own
            data[5] = 0x40  // TAS: LIO answers TASK ABORTED
            data.store(UInt16(0xFFFF), at: 8)  // BUSY TIMEOUT PERIOD: unlimited
        }
        return data
    }
}

extension ModePages {
    /// Judges the parameter list of a MODE SELECT. Every page in it has to hold the values in force.
    ///
    /// The page code is that of the list; the original looks for it in the CDB, where it is not.
    /// - Parameter delivered: the data-out bytes; those beyond PARAMETER LIST LENGTH are not looked at.
    /// - Returns: `nil` for GOOD; PARAMETER LIST LENGTH ERROR where the header or a page is cut or fewer bytes
    ///   were delivered than the CDB says; INVALID FIELD IN PARAMETER LIST, with a pointer, for anything that
    ///   would change.
    public func refusal(of command: ModeSelect, delivered: UnsafeRawBufferPointer) -> Sense? {
        let length = Int(command.parameterListLength)
        guard length > 0 else { return nil }
        guard delivered.count >= length else { return .parameterListLengthError }
        let list = UnsafeRawBufferPointer(rebasing: delivered[..<length])

        guard length >= command.form.modeHeaderLength else { return .parameterListLengthError }
        if let refusal = Self.refusal(ofHeader: list, command.form) { return refusal }

        var offset = command.form.modeHeaderLength
        while offset < length {
            switch verdict(onPageAt: offset, in: list) {
            case .same(let length): offset += length
            case .refused(let sense): return sense
            }
        }
        return nil
    }

    /// MEDIUM TYPE must be that of a disk and BLOCK DESCRIPTOR LENGTH zero, since MODE SENSE returns none. MODE
    /// DATA LENGTH and the device-specific byte are reserved in a MODE SELECT and initiators send back what
    /// MODE SENSE gave them.
    private static func refusal(ofHeader list: UnsafeRawBufferPointer, _ form: CDBForm) -> Sense? {
        let (mediumType, descriptors) = form == .six ? (1, 3..<4) : (2, 6..<8)
        guard list[mediumType] == 0 else { return .invalidFieldInParameterList(byte: UInt16(mediumType)) }
        guard list[descriptors].allSatisfy({ $0 == 0 }) else {
            return .invalidFieldInParameterList(byte: UInt16(descriptors.lowerBound))
        }
        return nil
    }

    private enum PageVerdict {
        case same(length: Int)
        case refused(Sense)
    }

    private func verdict(onPageAt start: Int, in list: UnsafeRawBufferPointer) -> PageVerdict {
        func refused(_ index: Int, bit: UInt8? = nil) -> PageVerdict {
            .refused(.invalidFieldInParameterList(byte: UInt16(clamping: start + index), bit: bit))
        }
        // PS (bit 7) is reserved in a MODE SELECT; SPF (bit 6) would be a subpage.
        guard list[start] & 0x40 == 0 else { return refused(0, bit: 6) }
        guard let page = Page(rawValue: list[start] & 0x3F) else { return refused(0, bit: 5) }
        let current = bytes(of: page)
        guard start + 1 < list.count else { return .refused(.parameterListLengthError) }
        guard list[start + 1] == current[1] else { return refused(1) }
        guard current.count <= list.count - start else { return .refused(.parameterListLengthError) }
        for index in 2..<current.count where list[start + index] != current[index] {
            return refused(index)
        }
        return .same(length: current.count)
    }
}

extension ModePages.Page {
    /// The length of the whole page in bytes.
    var length: Int {
        switch self {
        case .readWriteErrorRecovery, .control: 12
        case .caching: 20
        }
    }
}
