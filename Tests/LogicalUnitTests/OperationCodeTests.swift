import BlockBackend
import LogicalUnit
import SCSI
import TCMUTestKit
import Testing

@Suite("What REPORT SUPPORTED OPERATION CODES lists is served, and nothing else")
struct OperationCodeTests {
    /// An operation code, with a service action if it is listed with one.
    struct Listed: Hashable {
        let code: UInt8
        let action: UInt16?
    }

    /// Operation codes that are told apart by a service action in byte 1 (SPC-4, SBC-4).
    static let withActions: Set<UInt8> = [0x48, 0x83, 0x84, 0x9E, 0xA3, 0xA4]

    /// Commands that the kernel answers, so that they never come through the ring (SPC-4 6.35 has them listed).
    static let kernels: Set<UInt8> = [0x16, 0x17, 0x56, 0x57, 0x5E, 0x5F, 0xA0]

    /// The commands that the unit says it serves.
    static func listed(_ rig: borrowing UnitRig<ScriptedBackend>) throws -> Set<Listed> {
        let data = try rig.run(InitiatorCDB.reportSupportedOperationCodes, dataInLength: 8192).dataIn
        let length = data[..<4].reduce(0) { $0 << 8 | Int($1) }
        try #require(length == data.count - 4)
        return Set(
            stride(from: 4, to: data.count, by: 8).map { at in
                let action = UInt16(data[at + 2]) << 8 | UInt16(data[at + 3])
                return Listed(code: data[at], action: data[at + 5] & 0x01 == 0 ? nil : action)
            })
    }

    /// A CDB of the length that the operation code's group has, zeros but for code and service action.
    static func cdb(_ code: UInt8, _ action: UInt16) -> [UInt8] {
        let length =
            switch code >> 5 {
            case 0: 6
            case 4: 16
            case 5: 12
            default: 10
            }
        var cdb = [UInt8](repeating: 0, count: length)
        cdb[0] = code
        cdb[1] = UInt8(action)
        // Those of MAINTENANCE IN refuse an ALLOCATION LENGTH of zero before they look further.
        if code == 0xA3 { cdb[9] = 64 }
        return cdb
    }

    static let group = TargetPortGroupDescription(
        preferred: false, state: 0, supportedStates: 0x01, identifier: 0, status: 0, relativePortIdentifiers: [1])

    struct Unit: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let capabilities: BackendCapabilities
        let hasPort: Bool
        var isExplicit = false
        var isNamed = true
        var servesReservations = true

        /// What configfs says of it.
        var facts: BackstoreFacts {
            var facts = BackstoreFacts(
                serial: isNamed ? "0123" : "",
                targetPortGroupSupport: isExplicit ? .explicit : hasPort ? .implicit : .none,
                targetPortGroups: hasPort ? [OperationCodeTests.group] : [])
            facts.servesReservations = servesReservations
            if hasPort {
                facts.port = UnitIdentity.Port(
                    relativeIdentifier: 1, protocolIdentifier: 5, targetPortGroup: 0, targetName: "iqn.example:t",
                    portalGroupTag: 1)
            }
            return facts
        }
    }

    static var units: [Unit] {
        var nothing = BackendCapabilities()
        nothing.readOnly = true
        var (shared, sharedInSteps) = (Backends.capable(), BackendCapabilities())
        (shared.hasOtherWriters, sharedInSteps.hasOtherWriters) = (true, true)
        return [
            Unit(testDescription: "a backend with everything", capabilities: Backends.capable(), hasPort: true),
            Unit(testDescription: "a backend with nothing, read-only", capabilities: nothing, hasPort: false),
            Unit(testDescription: "a backend with nothing", capabilities: BackendCapabilities(), hasPort: true),
            Unit(
                testDescription: "access states set by initiators", capabilities: Backends.capable(), hasPort: true,
                isExplicit: true),
            Unit(
                testDescription: "no serial number", capabilities: Backends.capable(), hasPort: true, isNamed: false
            ),
            Unit(
                testDescription: "reservations switched off in the kernel", capabilities: Backends.capable(),
                hasPort: true, servesReservations: false),
            Unit(testDescription: "others write the medium, too", capabilities: shared, hasPort: true),
            Unit(
                testDescription: "others write the medium, too, and the backend compares nothing",
                capabilities: sharedInSteps, hasPort: true),
        ]
    }

    @Test("All 256 operation codes, all service actions", arguments: units)
    func all(_ unit: Unit) async throws {
        let script = BackendScript(size: 1 << 20, capabilities: unit.capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script), facts: unit.facts)
        script.answerSurveys(.init(availableBytes: 1 << 20))
        // So that the unit knows its groups.
        #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
        let listed = try Self.listed(rig)
        for code in UInt8.min...UInt8.max where !Self.kernels.contains(code) {
            let actions: ClosedRange<UInt16> = Self.withActions.contains(code) ? 0...31 : 0...0
            for action in actions {
                let row = Listed(code: code, action: Self.withActions.contains(code) ? action : nil)
                let done = try rig.run(Self.cdb(code, action), dataInLength: 256)
                // SANITIZE's service actions are fields of its CDB (SBC-3 5.24.1).
                let isUnknown =
                    done.codes == Codes.unknown
                    || code == 0x48 && done.codes == Codes.invalidField
                        && Array(done.sense[15...17]) == [0xCC, 0, 1]
                let name = String(code, radix: 16) + "h/" + String(action, radix: 16) + "h"
                #expect(isUnknown != listed.contains(row), "\(name) ended with \(done.status), \(done.codes ?? [])")
            }
        }
        let codes = Set(listed.map(\.code))
        #expect(Self.kernels.intersection(codes) == (unit.servesReservations ? Self.kernels : [0xA0]))
        #expect(rig.kernel.violations.isEmpty)
        await rig.stop()
    }

    @Test("The optional ones are listed where the backend has them")
    func optional() async throws {
        let optional: [Listed] = [
            Listed(code: 0x42, action: nil), Listed(code: 0x9C, action: nil), Listed(code: 0x48, action: 2),
            Listed(code: 0xA3, action: 0x0A),
        ]
        for unit in Self.units.prefix(2) {
            let script = BackendScript(size: 1 << 20, capabilities: unit.capabilities)
            let rig = try await UnitRig.start(ScriptedBackend(script), facts: unit.facts)
            #expect(try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).status == 0)
            let listed = try Self.listed(rig)
            for row in optional { #expect(listed.contains(row) == !unit.capabilities.readOnly, "\(row)") }
            await rig.stop()
        }
    }

    @Test("INQUIRY, its pages and READ CAPACITY say the same as the list", arguments: units)
    func advertisement(_ unit: Unit) async throws {
        let script = BackendScript(size: 1 << 20, capabilities: unit.capabilities)
        let rig = try await UnitRig.start(ScriptedBackend(script), facts: unit.facts)
        func page(_ code: UInt8) throws -> [UInt8] {
            try rig.run(InitiatorCDB.inquiry(page: code), dataInLength: 255).dataIn
        }
        let standard = try rig.run(InitiatorCDB.inquiry(), dataInLength: 255).dataIn
        let (limits, medium, provisioning) = (try page(0xB0), try page(0xB1), try page(0xB2))
        let capacity = try rig.run(InitiatorCDB.readCapacity16, dataInLength: 32).dataIn
        let listed = try Self.listed(rig)

        #expect((standard[5] & 0x08 != 0) == listed.contains(Listed(code: 0x83, action: 0)), "3PC")
        #expect((standard[5] & 0x30 != 0) == listed.contains(Listed(code: 0xA3, action: 0x0A)), "TPGS")
        #expect((standard[5] & 0x20 != 0) == listed.contains(Listed(code: 0xA4, action: 0x0A)), "TPGS, explicit")
        #expect(try page(0x00).contains(0x8F) == listed.contains(Listed(code: 0x84, action: 3)))
        let unmaps = listed.contains(Listed(code: 0x42, action: nil))
        #expect((provisioning[5] & 0x80 != 0) == unmaps, "LBPU")
        #expect((limits[20..<24].contains { $0 != 0 }) == unmaps, "MAXIMUM UNMAP LBA COUNT")
        #expect((capacity[14] & 0x80 != 0) == unmaps, "LBPME")
        let atomic = listed.contains(Listed(code: 0x9C, action: nil))
        #expect((limits[44..<48].contains { $0 != 0 }) == atomic, "MAXIMUM ATOMIC TRANSFER LENGTH")
        #expect(
            (limits[5] != 0) == listed.contains(Listed(code: 0x89, action: nil)), "MAXIMUM COMPARE AND WRITE LENGTH"
        )
        #expect((medium[7] & 0xC0 != 0) == listed.contains(Listed(code: 0x48, action: 2)), "WABEREQ")
        #expect((medium[7] & 0x30 != 0) == listed.contains(Listed(code: 0x48, action: 3)), "WACEREQ")
        await rig.stop()
    }
}
