import ALUA
import Testing

@Suite("Access states as SPC-4 numbers them")
struct AccessStateTests {
    @Test(
        "the number of each state (SPC-4 table 309)",
        arguments: zip(AccessState.allCases, [0x0, 0x1, 0x2, 0x3, 0x4, 0xE, 0xF] as [UInt8]))
    func numbers(state: AccessState, number: UInt8) {
        #expect(state.rawValue == number)
        #expect(AccessState(rawValue: number) == state)
    }

    @Test("numbers between them are no states", arguments: 0x5...0xD as ClosedRange<UInt8>)
    func gaps(number: UInt8) {
        #expect(AccessState(rawValue: number) == nil)
    }

    @Test("the flags are the bits of a descriptor's byte 1 (SPC-4 table 323)")
    func flags() {
        let reported: SupportedStates = [.activeOptimized, .activeNonOptimized, .standby, .transitioning]
        #expect(reported.rawValue == 0x87)
        let all: SupportedStates = [
            .activeOptimized, .activeNonOptimized, .standby, .unavailable, .logicalBlockDependent, .offline,
            .transitioning,
        ]
        #expect(all.rawValue == 0xDF)
    }
}
