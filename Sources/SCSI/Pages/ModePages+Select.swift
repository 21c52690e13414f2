extension ModePages {
    /// Carries out a MODE SELECT: takes over what its parameter list changes, or nothing at all where any of it is
    /// wrong.
    ///
    /// Pages may come in any order. Of each, bits that cannot be changed have to be as MODE SENSE shows them, so that
    /// an initiator can send back what it was given; PS is not looked at. The page code is that of the list; the
    /// original looks for it in the CDB, where it is not.
    ///
    /// A block descriptor has to name what is so (``ModeBlockDescriptor``).
    ///
    /// - Parameters:
    ///   - delivered: the data-out bytes; those beyond PARAMETER LIST LENGTH are not looked at.
    ///   - capacity: of the unit.
    /// - Returns: `nil` for GOOD; PARAMETER LIST LENGTH ERROR where the header or a page is cut or fewer bytes
    ///   were delivered than the CDB says; INVALID FIELD IN PARAMETER LIST, with a pointer, for anything that
    ///   would change and cannot.
    public mutating func select(
        _ command: ModeSelect, delivered: UnsafeRawBufferPointer, capacity: Capacity
    ) -> Sense? {
        let length = Int(command.parameterListLength)
        guard length > 0 else { return nil }
        guard delivered.count >= length else { return .parameterListLengthError }
        do throws(Sense) {
            self = try changed(by: UnsafeRawBufferPointer(rebasing: delivered[..<length]), command.form, capacity)
            return nil
        } catch {
            return error
        }
    }

    private func changed(
        by list: UnsafeRawBufferPointer, _ form: CDBForm, _ capacity: Capacity
    ) throws(Sense) -> ModePages {
        var result = self
        var offset = try Self.pagesOffset(list, form, capacity)
        while offset < list.count {
            let page = try page(at: offset, in: list)
            result.adopt(page, at: offset, in: list)
            offset += page.length
        }
        return result
    }

    /// Where the pages of a list begin, behind header and block descriptor.
    ///
    /// MEDIUM TYPE must be that of a disk, and BLOCK DESCRIPTOR LENGTH none or one. MODE DATA LENGTH and the
    /// device-specific byte are reserved in a MODE SELECT and initiators send back what MODE SENSE gave them.
    private static func pagesOffset(
        _ list: UnsafeRawBufferPointer, _ form: CDBForm, _ capacity: Capacity
    ) throws(Sense) -> Int {
        let start = form.modeHeaderLength
        guard list.count >= start else { throw .parameterListLengthError }
        let (mediumType, lengthField) = form == .six ? (1, 3) : (2, 6)
        guard list[mediumType] == 0 else { throw .invalidFieldInParameterList(byte: UInt16(mediumType)) }
        let length = form == .six ? Int(list[3]) : Int(list[6]) << 8 | Int(list[7])
        if length == 0 { return start }
        let descriptor: ModeBlockDescriptor = form == .ten && list[4] & 0x01 != 0 ? .long : .short
        guard length == descriptor.length else { throw .invalidFieldInParameterList(byte: UInt16(lengthField)) }
        guard length <= list.count - start else { throw .parameterListLengthError }
        if let wrong = descriptor.firstDifference(list[start..<start + length], capacity) {
            throw .invalidFieldInParameterList(byte: UInt16(start + wrong))
        }
        return start + length
    }

    /// The page that begins at `start`, whole and with nothing in it that cannot be changed.
    private func page(at start: Int, in list: UnsafeRawBufferPointer) throws(Sense) -> Page {
        func refusal(_ index: Int, bit: UInt8? = nil) -> Sense {
            .invalidFieldInParameterList(byte: UInt16(clamping: start + index), bit: bit)
        }
        let code = list[start] & 0x3F
        guard pages.contains(where: { $0.code == code }) else { throw refusal(0, bit: 5) }
        let isSubpageFormat = list[start] & 0x40 != 0
        let headerLength = isSubpageFormat ? 4 : 2
        guard headerLength <= list.count - start else { throw .parameterListLengthError }

        let subpage = isSubpageFormat ? list[start + 1] : 0
        guard let page = pages.first(where: { $0.code == code && $0.subpage == subpage }),
            page.isSubpageFormat == isSubpageFormat
        else {
            // Without SPF, or with a subpage code of zero, the fault is in SPF.
            throw subpage == 0 ? refusal(0, bit: 6) : refusal(1)
        }
        let current = bytes(of: page)
        let mask = bytes(of: page, .changeable)
        let lengthField = isSubpageFormat ? 2..<4 : 1..<2
        guard lengthField.allSatisfy({ list[start + $0] == current[$0] }) else {
            throw refusal(lengthField.lowerBound)
        }
        guard current.count <= list.count - start else { throw .parameterListLengthError }
        for index in headerLength..<current.count {
            let wrong = (list[start + index] ^ current[index]) & ~mask[index]
            if wrong != 0 { throw refusal(index, bit: UInt8(7 - wrong.leadingZeroBitCount)) }
        }
        return page
    }
}
