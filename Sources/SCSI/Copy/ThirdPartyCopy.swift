/// What the third-party copy VPD page (8Fh) tells of EXTENDED COPY (SPC-4 7.8.17): limits that RECEIVE COPY OPERATING
/// PARAMETERS has to agree with.
public struct ThirdPartyCopy: Sendable, Equatable {
    /// MAXIMUM CSCD DESCRIPTOR COUNT.
    public var maximumCSCDDescriptors: UInt16
    /// MAXIMUM SEGMENT DESCRIPTOR COUNT.
    public var maximumSegmentDescriptors: UInt16
    /// MAXIMUM DESCRIPTOR LIST LENGTH, in bytes: CSCD and segment descriptors together.
    public var maximumDescriptorListBytes: UInt32
    /// MAXIMUM INLINE DATA LENGTH, in bytes.
    public var maximumInlineDataBytes: UInt32
    /// Codes of the CSCD and segment descriptors that are understood (SPC-4 6.4.5), e.g. 02h (block to block) and
    /// E4h (identification descriptor).
    public var descriptorTypes: [UInt8]
    /// CSCD descriptor ids that need no descriptor of their own, e.g. FFFFh for the unit itself.
    public var wellKnownCSCDs: [UInt16]
    /// TOTAL CONCURRENT COPIES.
    public var totalConcurrentCopies: UInt32
    /// MAXIMUM IDENTIFIED CONCURRENT COPIES: those with a list identifier; 255 where there is no limit of ours, since
    /// LID1 has one byte.
    public var maximumIdentifiedCopies: UInt32
    /// MAXIMUM SEGMENT LENGTH, in bytes; 0 is no limit.
    public var maximumSegmentBytes: UInt32
    /// DATA SEGMENT GRANULARITY: a segment is a multiple of `2^granularity` bytes.
    public var segmentGranularity: UInt8

    public init(
        maximumCSCDDescriptors: UInt16, maximumSegmentDescriptors: UInt16, maximumDescriptorListBytes: UInt32,
        maximumInlineDataBytes: UInt32 = 0, descriptorTypes: [UInt8], wellKnownCSCDs: [UInt16] = [],
        totalConcurrentCopies: UInt32 = 1, maximumIdentifiedCopies: UInt32 = 1, maximumSegmentBytes: UInt32 = 0,
        segmentGranularity: UInt8 = 9
    ) {
        self.maximumCSCDDescriptors = maximumCSCDDescriptors
        self.maximumSegmentDescriptors = maximumSegmentDescriptors
        self.maximumDescriptorListBytes = maximumDescriptorListBytes
        self.maximumInlineDataBytes = maximumInlineDataBytes
        self.descriptorTypes = descriptorTypes
        self.wellKnownCSCDs = wellKnownCSCDs
        self.totalConcurrentCopies = totalConcurrentCopies
        self.maximumIdentifiedCopies = maximumIdentifiedCopies
        self.maximumSegmentBytes = maximumSegmentBytes
        self.segmentGranularity = segmentGranularity
    }
}

extension ThirdPartyCopy {
    /// The types of third-party copy descriptors that SPC-4 7.8.17.3 asks of every copy manager.
    private enum DescriptorType: UInt16 {
        case supportedCommands = 0x0001
        case parameterData = 0x0004
        case supportedDescriptors = 0x0008
        case supportedCSCDs = 0x000C
        case generalCopyOperations = 0x8001
    }

    /// Page 8Fh after its header: descriptors in ascending order of type, each a multiple of four bytes long.
    var descriptors: [UInt8] {
        Self.descriptor(.supportedCommands, supportedCommands)
            + Self.descriptor(.parameterData, parameterData)
            + Self.descriptor(.supportedDescriptors, Self.counted(descriptorTypes.sorted()))
            + Self.descriptor(.supportedCSCDs, supportedCSCDs)
            + Self.descriptor(.generalCopyOperations, generalCopyOperations)
    }

    /// Type, length, and content filled with zeros to a multiple of four bytes.
    private static func descriptor(_ type: DescriptorType, _ content: [UInt8]) -> [UInt8] {
        let padding = (4 - content.count % 4) % 4
        var data: [UInt8] = []
        data.append(bigEndian: type.rawValue)
        data.append(bigEndian: UInt16(clamping: content.count + padding))
        return data + content + .zeros(padding)
    }

    /// A list of one-byte codes behind its length. Bound: the length is one byte, and so is each code.
    private static func counted(_ codes: [UInt8]) -> [UInt8] {
        let list = codes.prefix(255)
        return [UInt8(list.count)] + list
    }

    /// The commands themselves, out of the table that the decoder goes by.
    private var supportedCommands: [UInt8] {
        func support(_ code: OperationCode, _ actions: [UInt16]) -> [UInt8] {
            [code.rawValue] + Self.counted(actions.map { UInt8(truncatingIfNeeded: $0) })
        }
        return Self.counted(
            support(.thirdPartyCopyOut, ThirdPartyCopyOut.allCases.map(\.rawValue))
                + support(.thirdPartyCopyIn, ThirdPartyCopyIn.allCases.map(\.rawValue)))
    }

    private var parameterData: [UInt8] {
        var content = [UInt8].zeros(28)
        content.store(maximumCSCDDescriptors, at: 8 - 4)
        content.store(maximumSegmentDescriptors, at: 10 - 4)
        content.store(maximumDescriptorListBytes, at: 12 - 4)
        content.store(maximumInlineDataBytes, at: 16 - 4)
        return content
    }

    private var supportedCSCDs: [UInt8] {
        let list = wellKnownCSCDs.sorted().prefix(1024)
        var content: [UInt8] = []
        content.append(bigEndian: UInt16(2 * list.count))
        for identifier in list { content.append(bigEndian: identifier) }
        return content
    }

    private var generalCopyOperations: [UInt8] {
        var content = [UInt8].zeros(32)
        content.store(totalConcurrentCopies, at: 4 - 4)
        content.store(maximumIdentifiedCopies, at: 8 - 4)
        content.store(maximumSegmentBytes, at: 12 - 4)
        content[16 - 4] = segmentGranularity
        return content
    }
}
