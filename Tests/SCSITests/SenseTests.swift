import SCSI
import Testing

@Suite("Sense: codes and both formats")
struct SenseTests {
    struct CodeRow: Sendable, CustomTestStringConvertible {
        let sense: Sense
        let code: String
        var testDescription: String { code }

        init(_ sense: Sense, _ code: String) {
            (self.sense, self.code) = (sense, code)
        }
    }

    @Test(
        "each situation has the code of the original",
        arguments: [
            CodeRow(.none, "0/0000"),
            CodeRow(.formatInProgress(1), "2/0404"),
            CodeRow(.targetPortInStandbyState, "2/040B"),
            CodeRow(.sanitizeInProgress(1), "2/041B"),
            CodeRow(.writeError, "3/0C00"),
            CodeRow(.unrecoveredReadError, "3/1100"),
            CodeRow(.formatCommandFailed, "3/3101"),
            CodeRow(.sanitizeCommandFailed, "3/3103"),
            CodeRow(.internalTargetFailure, "4/4400"),
            CodeRow(.setTargetPortGroupsCommandFailed, "4/670A"),
            CodeRow(.parameterListLengthError, "5/1A00"),
            CodeRow(.invalidCommandOperationCode, "5/2000"),
            CodeRow(.logicalBlockAddressOutOfRange, "5/2100"),
            CodeRow(.invalidFieldInCDB, "5/2400"),
            CodeRow(.invalidFieldInCDB(byte: 1, bit: 7), "5/2400"),
            CodeRow(.invalidFieldInParameterList, "5/2600"),
            CodeRow(.invalidFieldInParameterList(byte: 9), "5/2600"),
            CodeRow(.tooManyTargetDescriptors, "5/2606"),
            CodeRow(.unsupportedTargetDescriptorTypeCode, "5/2607"),
            CodeRow(.tooManySegmentDescriptors, "5/2608"),
            CodeRow(.unsupportedSegmentDescriptorTypeCode, "5/2609"),
            CodeRow(.savingParametersNotSupported, "5/3900"),
            CodeRow(.thinProvisioningSoftThresholdReached, "6/3807"),
            CodeRow(.capacityDataHasChanged, "6/2A09"),
            CodeRow(.writeProtected, "7/2700"),
            CodeRow(.spaceAllocationFailedWriteProtect, "7/2707"),
            CodeRow(.copyTargetDeviceNotReachable, "A/0D02"),
            CodeRow(.incorrectCopyTargetDeviceType, "A/0D03"),
            CodeRow(.miscompareDuringVerify(at: 0), "E/1D00"),
        ])
    func codes(_ row: CodeRow) {
        #expect(row.sense.description == row.code)
    }

    struct FormatRow: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let sense: Sense
        let fixed: [UInt8]
        let descriptor: [UInt8]

        init(_ title: String, _ sense: Sense, fixed: String, descriptor: String) {
            (testDescription, self.sense) = (title, sense)
            (self.fixed, self.descriptor) = (hex(fixed), hex(descriptor))
        }
    }

    @Test(
        "both formats, byte for byte",
        arguments: [
            FormatRow(
                "key and codes alone", .capacityDataHasChanged,
                fixed: """
                    70        # VALID 0, current, fixed
                    00
                    06        # SENSE KEY
                    00000000  # INFORMATION
                    0A        # ADDITIONAL SENSE LENGTH
                    00000000  # COMMAND-SPECIFIC INFORMATION
                    2A 09     # ASC, ASCQ
                    00        # FIELD REPLACEABLE UNIT CODE
                    000000    # SENSE KEY SPECIFIC
                    """,
                descriptor: "72 06 2A 09 000000 00"),
            FormatRow(
                "nothing pending", .none, fixed: "70 00 00 00000000 0A 00000000 00 00 00 000000",
                descriptor: "72 00 00 00 000000 00"),
            FormatRow(
                "field pointer into the CDB, with a bit", .invalidFieldInCDB(byte: 1, bit: 7),
                fixed: """
                    70 00 05 00000000 0A 00000000 24 00 00
                    CF        # SKSV, C/D, BPV, BIT POINTER 7
                    0001      # FIELD POINTER
                    """,
                descriptor: """
                    72 05 24 00 000000 08
                    02 06 0000  # sense key specific descriptor
                    CF 0001 00
                    """),
            FormatRow(
                "field pointer into the parameter list, whole byte", .invalidFieldInParameterList(byte: 0x0118),
                fixed: "70 00 05 00000000 0A 00000000 26 00 00 80 0118",
                descriptor: "72 05 26 00 000000 08 02 06 0000 80 0118 00"),
            FormatRow(
                "progress", .formatInProgress(0x8001), fixed: "70 00 02 00000000 0A 00000000 04 04 00 80 8001",
                descriptor: "72 02 04 04 000000 08 02 06 0000 80 8001 00"),
            FormatRow(
                "information", .miscompareDuringVerify(at: 511),
                fixed: "F0 00 0E 000001FF 0A 00000000 1D 00 00 000000",
                descriptor: """
                    72 0E 1D 00 000000 0C
                    00 0A 80 00       # information descriptor, VALID
                    00000000000001FF  #
                    """),
            FormatRow(
                "the widest information of the fixed format", .miscompareDuringVerify(at: 0xFFFF_FFFF),
                fixed: "F0 00 0E FFFFFFFF 0A 00000000 1D 00 00 000000",
                descriptor: "72 0E 1D 00 000000 0C 00 0A 80 00 00000000FFFFFFFF"),
            FormatRow(
                "information too wide for the fixed format", .miscompareDuringVerify(at: 0x1_0000_0000),
                fixed: "70 00 0E 00000000 0A 00000000 1D 00 00 000000",
                descriptor: "72 0E 1D 00 000000 0C 00 0A 80 00 0000000100000000"),
            FormatRow(
                "information and field pointer",
                Sense(
                    .mediumError, 0x11, 0x00, information: 7,
                    specific: .fieldPointer(inCDB: true, byte: 2, bit: nil)),
                fixed: "F0 00 03 00000007 0A 00000000 11 00 00 C0 0002",
                descriptor: """
                    72 03 11 00 000000 14
                    00 0A 80 00 0000000000000007
                    02 06 0000 C0 0002 00
                    """),
        ])
    func formats(_ row: FormatRow) {
        #expect(hexText(row.sense.fixedBytes) == hexText(row.fixed))
        #expect(hexText(row.sense.descriptorBytes) == hexText(row.descriptor))
    }

    @Test("a buffer too short takes what fits, one too long keeps its rest", arguments: 0...40)
    func shortBuffer(_ size: Int) {
        let sense = Sense(
            .mediumError, 0x11, 0x00, information: 7, specific: .fieldPointer(inCDB: true, byte: 2, bit: 3))
        for (whole, write) in [
            (sense.fixedBytes, { sense.fixed(into: $0) }),
            (sense.descriptorBytes, { sense.descriptor(into: $0) }),
        ] as [([UInt8], (UnsafeMutableRawBufferPointer) -> Int)] {
            var buffer = [UInt8](repeating: 0xEE, count: size)
            let written = buffer.withUnsafeMutableBytes { write($0) }
            #expect(written == min(size, whole.count))
            #expect(buffer == whole.prefix(size) + [UInt8](repeating: 0xEE, count: max(0, size - whole.count)))
        }
    }

    @Test("REQUEST SENSE reports in the format asked for")
    func requestSense() {
        let fixed = RequestSense(allocationLength: 252)
        let descriptor = RequestSense(descriptorFormat: true, allocationLength: 252)
        #expect(fixed.response() == Sense.none.fixedBytes)
        #expect(descriptor.response() == Sense.none.descriptorBytes)
        #expect(fixed.response(.capacityDataHasChanged) == Sense.capacityDataHasChanged.fixedBytes)
        #expect(descriptor.response(.formatInProgress(9)) == Sense.formatInProgress(9).descriptorBytes)
    }

    @Test("statuses have the numbers of SAM")
    func status() {
        #expect(Status.allCases.map(\.rawValue) == [0x00, 0x02, 0x04, 0x08, 0x18, 0x28, 0x40])
    }
}
