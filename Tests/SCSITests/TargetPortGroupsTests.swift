import SCSI
import Testing

@Suite("REPORT TARGET PORT GROUPS: parameter data")
struct TargetPortGroupsTests {
    private static let groups = [
        TargetPortGroupDescription(
            preferred: true, state: 0x0, supportedStates: 0x8F, identifier: 1, status: 2,
            relativePortIdentifiers: [1, 0x0203]),
        TargetPortGroupDescription(
            preferred: false, state: 0x1, supportedStates: 0x07, identifier: 0x1234, status: 0,
            relativePortIdentifiers: []),
    ]

    private static let descriptors = """
        80        # PREF, active/optimized
        8F        # supported states
        0001      # TARGET PORT GROUP
        00        #
        02        # STATUS CODE: altered by implicit ALUA
        00        # vendor specific
        02        # TARGET PORT COUNT
        0000 0001 # RELATIVE TARGET PORT IDENTIFIER
        0000 0203 # RELATIVE TARGET PORT IDENTIFIER
        01        # active/non-optimized
        07        # supported states
        1234      # TARGET PORT GROUP
        00 00 00
        00        # TARGET PORT COUNT
        """

    @Test("length-only header")
    func plain() {
        let data = ReportTargetPortGroups(allocationLength: 1024).response(
            Self.groups, implicitTransitionSeconds: 45)
        #expect(hexText(data) == hexText(hex("00000018") + hex(Self.descriptors)))
    }

    @Test("extended header, counted in RETURN DATA LENGTH")
    func extended() {
        let data = ReportTargetPortGroups(extendedHeader: true, allocationLength: 1024)
            .response(Self.groups, implicitTransitionSeconds: 45)
        let header = hex(
            """
            0000001C  # RETURN DATA LENGTH: 4 + 16 + 8
            10        # RETURN DATA FORMAT TYPE 001b
            2D        # IMPLICIT TRANSITION TIME
            0000
            """)
        #expect(hexText(data) == hexText(header + hex(Self.descriptors)))
    }

    @Test("no group")
    func none() {
        #expect(ReportTargetPortGroups(allocationLength: 4).response([]) == zeros(4))
    }

    @Test("a state or port count too large for its field does not reach its neighbours")
    func oversized() {
        let group = TargetPortGroupDescription(
            preferred: false, state: 0xFF, supportedStates: 0, identifier: 0, status: 0,
            relativePortIdentifiers: [UInt16](repeating: 1, count: 300))
        let data = ReportTargetPortGroups(allocationLength: 8192).response([group])
        #expect(data[4] == 0x0F)
        #expect(data[11] == 255)
        #expect(data.count == 4 + 8 + 255 * 4)
    }
}
