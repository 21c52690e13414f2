/// REPORT TARGET PORT GROUPS (SPC-4 6.37).
public struct ReportTargetPortGroups: Sendable, Equatable, BitwiseCopyable {
    /// PARAMETER DATA FORMAT 001b: the header is followed by the implicit transition time.
    public var extendedHeader: Bool
    /// ALLOCATION LENGTH, in bytes.
    public var allocationLength: UInt32

    public init(extendedHeader: Bool = false, allocationLength: UInt32) {
        self.extendedHeader = extendedHeader
        self.allocationLength = allocationLength
    }

    /// A format other than the two is refused, and, as by the original, an allocation length below four.
    init(_ cdb: CDB) throws(Sense) {
        let format = cdb[1] >> 5
        guard format <= 1 else { throw .invalidFieldInCDB(byte: 1, bit: 7) }
        let allocationLength = cdb.u32(at: 6)
        guard allocationLength >= 4 else { throw .invalidFieldInCDB(byte: 6) }
        self.init(extendedHeader: format == 1, allocationLength: allocationLength)
    }

    /// The whole parameter data.
    ///
    /// RETURN DATA LENGTH counts all that follows it, the extended header included; the original leaves that
    /// out.
    /// - Parameters:
    ///   - groups: the groups in ascending order of their ids.
    ///   - implicitTransitionSeconds: IMPLICIT TRANSITION TIME, told in the extended header alone.
    public func response(
        _ groups: [TargetPortGroupDescription], implicitTransitionSeconds: UInt8 = 0
    ) -> [UInt8] {
        var data = [UInt8].zeros(4)
        if extendedHeader {
            data += [0x10, implicitTransitionSeconds, 0, 0]  // RETURN DATA FORMAT TYPE 001b
        }
        for group in groups {
            group.append(to: &data)
        }
        data.store(UInt32(clamping: data.count - 4), at: 0)
        return data
    }
}

/// One target port group, as REPORT TARGET PORT GROUPS describes it.
public struct TargetPortGroupDescription: Sendable, Equatable {
    /// PREF: the preferred group.
    public var preferred: Bool
    /// ASYMMETRIC ACCESS STATE, four bits.
    public var state: UInt8
    /// The byte that says which states the group can be in: T_SUP O_SUP LBD_SUP U_SUP S_SUP AN_SUP AO_SUP.
    public var supportedStates: UInt8
    /// TARGET PORT GROUP: its id.
    public var identifier: UInt16
    /// STATUS CODE: what altered the state last.
    public var status: UInt8
    /// RELATIVE TARGET PORT IDENTIFIER of each port; 255 are described, further ones are left out.
    public var relativePortIdentifiers: [UInt16]

    public init(
        preferred: Bool, state: UInt8, supportedStates: UInt8, identifier: UInt16, status: UInt8,
        relativePortIdentifiers: [UInt16]
    ) {
        self.preferred = preferred
        self.state = state
        self.supportedStates = supportedStates
        self.identifier = identifier
        self.status = status
        self.relativePortIdentifiers = relativePortIdentifiers
    }

    fileprivate func append(to data: inout [UInt8]) {
        // Bound: TARGET PORT COUNT is one byte.
        let ports = relativePortIdentifiers.prefix(255)
        data.append((preferred ? 0x80 : 0) | state & 0x0F)
        data.append(supportedStates)
        data.append(bigEndian: identifier)
        data.append(0)
        data.append(status)
        data.append(0)
        data.append(UInt8(ports.count))
        for port in ports {
            data.append(bigEndian: UInt16(0))
            data.append(bigEndian: port)
        }
    }
}
