import Testing

@testable import SCSI

@Suite("REPORT SUPPORTED OPERATION CODES: the answer")
struct SupportedCommandsTests {
    private static func request(
        _ options: ReportSupportedOperationCodes.Options, _ code: UInt8 = 0, _ action: UInt16 = 0,
        timeouts: Bool = false
    ) -> ReportSupportedOperationCodes {
        ReportSupportedOperationCodes(
            options: options, timeouts: timeouts, operationCode: code, serviceAction: action,
            allocationLength: 65_535)
    }

    struct Row: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let request: ReportSupportedOperationCodes
        let data: [UInt8]

        init(_ title: String, _ request: ReportSupportedOperationCodes, _ data: String) {
            (testDescription, self.request, self.data) = (title, request, hex(data))
        }
    }

    private static let unsupported = "00 01 0000"

    @Test(
        "one command",
        arguments: [
            Row("READ(10): DPO and FUA", request(.operationCode, 0x28), "00 03 000A 28 18 FFFFFFFF 00 FFFF 04"),
            Row(
                "VERIFY(16) with its time limit: DPO and BYTCHK", request(.operationCode, 0x8F, timeouts: true),
                """
                00 83 0010                                   # CTDP, SUPPORT 011b, CDB SIZE
                8F 16 FFFFFFFFFFFFFFFF FFFFFFFF 00 04        # CDB USAGE DATA
                000A 00 00 00000000 00000258                 # command timeouts descriptor
                """),
            Row(
                "SANITIZE, BLOCK ERASE: a day", request(.serviceAction, 0x48, 2, timeouts: true),
                "00 83 000A 48 A2 0000000000 0000 04 000A 00 00 00000000 00015180"),
            Row(
                "WRITE SAME(16): UNMAP and NDOB", request(.operationCode, 0x93),
                "00 03 0010 93 09 FFFFFFFFFFFFFFFF FFFFFFFF 00 04"),
            Row(
                "itself", request(.serviceAction, 0xA3, 0x0C), "00 03 000C A3 0C 87 FF FFFF FFFFFFFF 00 04"),
            Row(
                "a service action of the kernel's", request(.serviceAction, 0x5F, 6),
                "00 03 000A 5F 06 FF 0000 FFFFFFFF 00"),
            Row(
                "a command of the kernel's", request(.operationCode, 0xA0),
                "00 03 000C A0 00 00000000 FFFFFFFF 00 00"),
            Row("001b, not served", request(.operationCode, 0xC9), unsupported),
            Row("001b, not served, timeouts", request(.operationCode, 0xC9, timeouts: true), unsupported),
            Row("010b, service action not served", request(.serviceAction, 0x9E, 0x11), unsupported),
            Row("010b, operation code not served", request(.serviceAction, 0xC9, 1), unsupported),
            Row("011b, no service actions", request(.either, 0x12), "00 03 0006 12 01 FF FFFF 04"),
            Row("011b, no service actions but one asked for", request(.either, 0x12, 1), unsupported),
            Row(
                "011b, service action", request(.either, 0x9E, 0x10),
                "00 03 0010 9E 10 0000000000000000 FFFFFFFF 00 04"),
            Row("011b, service action not served", request(.either, 0x9E, 0x11), unsupported),
            Row("011b, not served", request(.either, 0xC9), unsupported),
        ])
    func one(_ row: Row) throws {
        #expect(hexText(try row.request.response(.all)) == hexText(row.data))
    }

    @Test("an option that does not go with the operation code is a wrong field")
    func wrongOption() {
        let sense = Sense.invalidFieldInCDB(byte: 2, bit: 2)
        for code in [0x48, 0x5E, 0x5F, 0x83, 0x84, 0x9E, 0xA3, 0xA4] as [UInt8] {
            #expect(throws: sense) { try Self.request(.operationCode, code).response(.all) }
        }
        for code in [0x00, 0x12, 0x28, 0xA0] as [UInt8] {
            #expect(throws: sense) { try Self.request(.serviceAction, code).response(.all) }
        }
    }

    /// The descriptors of the list of all commands.
    private func list(
        _ commands: CommandSet, timeouts: Bool = false, targetPortGroups: Bool = true,
        setTargetPortGroups: Bool = true, reservations: Bool = true
    ) throws -> [(code: UInt8, action: UInt16, flags: UInt8, length: Int, rest: ArraySlice<UInt8>)] {
        let data = try Self.request(.all, timeouts: timeouts).response(
            commands,
            surroundings: ReportSupportedOperationCodes.Surroundings(
                targetPortGroups: targetPortGroups, setTargetPortGroups: setTargetPortGroups,
                reservations: reservations))
        let size = timeouts ? 20 : 8
        let length = data.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        try #require(length == data.count - 4 && length.isMultiple(of: size))
        return stride(from: 4, to: data.count, by: size).map {
            (
                data[$0], UInt16(data[$0 + 2]) << 8 | UInt16(data[$0 + 3]), data[$0 + 5],
                Int(data[$0 + 6]) << 8 | Int(data[$0 + 7]), data[($0 + 8)..<($0 + size)]
            )
        }
    }

    @Test("the list is in order, and asking for each of it one by one agrees", arguments: [false, true])
    func all(_ timeouts: Bool) throws {
        let descriptors = try list(.all, timeouts: timeouts)
        let keys = descriptors.map { UInt32($0.code) << 16 | UInt32($0.action) }
        #expect(keys == keys.sorted() && Set(keys).count == keys.count)
        for (code, action, flags, length, rest) in descriptors {
            #expect(flags & 0x02 == (timeouts ? 0x02 : 0x00))
            let hasActions = flags & 0x01 != 0
            #expect(hasActions || action == 0)
            let options: ReportSupportedOperationCodes.Options = hasActions ? .serviceAction : .operationCode
            for option in [options, .either] {
                let one = try Self.request(option, code, action, timeouts: timeouts).response(.all)
                #expect(one[1] == (timeouts ? 0x83 : 0x03))
                #expect(Int(one[2]) << 8 | Int(one[3]) == length)
                #expect(one[4] == code)
                #expect(one[(4 + length)...] == rest)
                #expect(one.count == 4 + length + rest.count)
                #expect(CDB([UInt8](one[4..<(4 + length)])).expectedLength == length)
                if timeouts { #expect(rest.prefix(4) == [0x00, 0x0A, 0x00, 0x00]) }
            }
        }
    }

    @Test("what the kernel answers is listed while it does")
    func kernel() throws {
        func has(_ code: UInt8, reservations: Bool) throws -> Bool {
            try list(.all, reservations: reservations).contains { $0.code == code }
        }
        for code in [0x16, 0x17, 0x56, 0x57, 0x5E, 0x5F] as [UInt8] {
            #expect(try has(code, reservations: true))
            #expect(try !has(code, reservations: false))
        }
        #expect(try has(0xA0, reservations: false))
    }

    @Test("REPORT TARGET PORT GROUPS is listed where it is answered", arguments: [false, true])
    func targetPortGroups(_ answered: Bool) throws {
        let actions = try list(.all, targetPortGroups: answered).filter { $0.code == 0xA3 }.map(\.action)
        #expect(actions == (answered ? [0x0A, 0x0C, 0x0D] : [0x0C, 0x0D]))
        let one = try Self.request(.serviceAction, 0xA3, 0x0A).response(
            .all, surroundings: .init(targetPortGroups: answered))
        #expect(one[1] == (answered ? 0x03 : 0x01))
    }

    @Test("SET TARGET PORT GROUPS is listed where it is answered", arguments: [false, true])
    func setTargetPortGroups(_ answered: Bool) throws {
        let actions = try list(.all, setTargetPortGroups: answered).filter { $0.code == 0xA4 }.map(\.action)
        #expect(actions == (answered ? [0x0A] : []))
        let one = try Self.request(.serviceAction, 0xA4, 0x0A).response(
            .all, surroundings: .init(setTargetPortGroups: answered))
        #expect(
            hexText(one) == hexText(hex(answered ? "00 03 000C A4 0A 00000000 FFFFFFFF 00 04" : Self.unsupported)))
    }

    static let everySet = (0..<64).map {
        CommandSet(
            unmap: $0 & 1 != 0, writeAtomic: $0 & 2 != 0, blockErase: $0 & 4 != 0, cryptographicErase: $0 & 8 != 0,
            compareAndWrite: $0 & 16 != 0, orWrite: $0 & 32 != 0)
    }

    @Test("what is listed is decoded, and what is not is unknown", arguments: everySet)
    func agreesWithDecoder(_ commands: CommandSet) throws {
        let kernel = Set(KernelCommand.allCases.map(\.rawValue))
        let own = try list(commands).filter { !kernel.contains($0.code) }
        let listed = Set(own.map { UInt16($0.code) << 5 | $0.action })
        let withActions = Set(own.filter { $0.flags & 0x01 != 0 }.map(\.code))
        for code in UInt8.min...UInt8.max {
            for action in UInt8(0)...0x1F {
                let decoded = CommandDecoder.decode(CDB([code, action] + zeros(14)), serving: commands)
                let isUnknown =
                    decoded == .refused(.invalidCommandOperationCode)
                    || code == 0x48 && decoded == .refused(.invalidFieldInCDB(byte: 1, bit: 4))
                let key = UInt16(code) << 5 | (withActions.contains(code) ? UInt16(action) : 0)
                #expect(isUnknown != listed.contains(key), "\(code) \(action)")
            }
        }
    }

    /// CDBs that are carried out, with the bits that may not be zero in each; all others are of zeros.
    private static func base(_ usage: CommandUsage) -> [UInt8] {
        var cdb = [UInt8](repeating: 0, count: usage.bits.count)
        cdb[0] = usage.operationCode
        cdb[1] = UInt8(usage.serviceAction ?? 0)
        switch (usage.operationCode, usage.serviceAction) {
        case (0x15, _): (cdb[1], cdb[4]) = (0x10, 0x80)  // MODE SELECT: PF, a list
        case (0x55, _): (cdb[1], cdb[8]) = (0x10, 0x80)
        case (0x1B, _): cdb[4] = 0x01  // START
        case (0x41, _): cdb[8] = 0x80  // WRITE SAME: blocks
        case (0x93, _): cdb[13] = 0x80
        case (0x48, 0x01): cdb[8] = 0x80  // SANITIZE, OVERWRITE: a pattern
        case (0xA3, 0x0A), (0xA3, 0x0D): cdb[9] = 0x80  // an allocation length of four at least
        default: break
        }
        return cdb
    }

    @Test("each bit of the usage data is looked at, and no other has an effect")
    func usageIsHonest() throws {
        // Obeyed by doing nothing: DBD and LLBAA, since there are no block descriptors.
        let hints: [UInt8: UInt8] = [0x1A: 0x08, 0x5A: 0x18]
        for usage in CommandUsage.all(.all) {
            let base = Self.base(usage)
            guard case .command(let command) = CommandDecoder.decode(CDB(base)) else {
                Issue.record("not carried out: \(hexText(base))")
                continue
            }
            for index in 1..<base.count {
                for bit in 0..<8 {
                    let mask = UInt8(1) << bit
                    if index == 1, usage.serviceAction != nil, mask <= 0x10 { continue }
                    if index == 1, hints[usage.operationCode, default: 0] & mask != 0 { continue }
                    var cdb = base
                    cdb[index] ^= mask
                    let decoded = CommandDecoder.decode(CDB(cdb))
                    let title = "byte \(index) bit \(bit) of \(hexText(usage.bits))"
                    if usage.bits[index] & mask != 0 {
                        #expect(decoded != .command(command), "\(title) is not looked at")
                    } else if case .command(let other) = decoded {
                        #expect(other == command, "\(title) has an effect")
                    }
                }
            }
        }
    }

    @Test("UNMAP of WRITE SAME is told where the unit can unmap", arguments: [false, true])
    func writeSame(_ unmap: Bool) throws {
        var commands = CommandSet.common
        commands.unmap = unmap
        #expect(try Self.request(.operationCode, 0x41).response(commands)[5] == (unmap ? 0x08 : 0x00))
        #expect(try Self.request(.operationCode, 0x93).response(commands)[5] == (unmap ? 0x09 : 0x01))
    }

    @Test("task management: ABORT TASK and LOGICAL UNIT RESET, as LIO has it")
    func taskManagement() {
        let short = ReportSupportedTaskManagementFunctions(allocationLength: 4)
        #expect(short.response == hex("88 00 00 00"))
        let extended = ReportSupportedTaskManagementFunctions(extended: true, allocationLength: 16)
        #expect(extended.response == hex("88 00 00 0C") + zeros(12))
    }
}
