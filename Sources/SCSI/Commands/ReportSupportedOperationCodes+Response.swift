extension ReportSupportedOperationCodes {
    /// The whole parameter data (SPC-4 6.35.2 and 6.35.3), made of the table that the decoder goes by, so that the two
    /// cannot disagree. Every command served is told as "in conformance with a standard" (SUPPORT = 011b).
    ///
    /// - Parameters:
    ///   - commands: what the unit serves.
    ///   - surroundings: what configfs makes of it.
    /// - Throws: INVALID FIELD IN CDB where 001b asks for an operation code that has service actions, or 010b for one
    ///   that has none.
    public func response(
        _ commands: CommandSet, surroundings: Surroundings = Surroundings()
    ) throws(Sense) -> [UInt8] {
        let served = Self.served(commands, surroundings)
        guard options != .all else { return allCommands(served) }

        let candidates = served.filter { $0.operationCode == operationCode }
        let hasServiceActions = candidates.contains { $0.serviceAction != nil }
        switch options {
        case .all, .either: break
        case .operationCode:
            guard !hasServiceActions else { throw .invalidFieldInCDB(byte: 2, bit: 2) }
            return oneCommand(candidates.first)
        case .serviceAction:
            guard hasServiceActions || candidates.isEmpty else { throw .invalidFieldInCDB(byte: 2, bit: 2) }
        }
        // An operation code without service actions goes with a requested service action of zero.
        return oneCommand(candidates.first { $0.serviceAction ?? 0 == serviceAction })
    }

    /// What decides about commands besides the backend: what configfs says of the device.
    public struct Surroundings: Sendable {
        /// REPORT TARGET PORT GROUPS is answered, which it is where a group has a port.
        public var targetPortGroups: Bool
        /// SET TARGET PORT GROUPS is answered, which it is where the ports' group has an explicit access type.
        public var setTargetPortGroups: Bool
        /// The kernel serves PERSISTENT RESERVE, RESERVE and RELEASE: `emulate_pr`.
        public var reservations: Bool
        /// EXTENDED COPY and RECEIVE COPY RESULTS are answered: the unit has a name that a copy's list can give.
        public var thirdPartyCopy: Bool

        public init(
            targetPortGroups: Bool = true, setTargetPortGroups: Bool = true, reservations: Bool = true,
            thirdPartyCopy: Bool = true
        ) {
            self.targetPortGroups = targetPortGroups
            self.setTargetPortGroups = setTargetPortGroups
            self.reservations = reservations
            self.thirdPartyCopy = thirdPartyCopy
        }

        fileprivate func allow(_ usage: CommandUsage) -> Bool {
            switch usage.condition {
            case .none: true
            case .targetPortGroups: targetPortGroups
            case .setTargetPortGroups: setTargetPortGroups
            case .thirdPartyCopy: thirdPartyCopy
            }
        }
    }

    private static func served(_ commands: CommandSet, _ surroundings: Surroundings) -> [CommandUsage] {
        let own = CommandUsage.all(commands).filter { surroundings.allow($0) }
        let kernel = KernelCommand.allCases.filter { surroundings.reservations || !$0.isReservation }
        return (own + kernel.flatMap(\.usage)).sorted {
            ($0.operationCode, $0.serviceAction ?? 0) < ($1.operationCode, $1.serviceAction ?? 0)
        }
    }

    /// COMMAND DATA LENGTH, then a descriptor of 8 bytes for each command, 20 with its timeouts.
    private func allCommands(_ served: [CommandUsage]) -> [UInt8] {
        var data = [UInt8].zeros(4)
        for usage in served {
            data += [usage.operationCode, 0]
            data.append(bigEndian: usage.serviceAction ?? 0)
            data += [0, (timeouts ? 0x02 : 0) | (usage.serviceAction == nil ? 0 : 0x01)]  // CTDP, SERVACTV
            data.append(bigEndian: UInt16(usage.bits.count))
            if timeouts { data += usage.timeouts }
        }
        data.store(UInt32(data.count - 4), at: 0)
        return data
    }

    /// Of a command that is not served nothing follows SUPPORT = 001b.
    private func oneCommand(_ usage: CommandUsage?) -> [UInt8] {
        guard let usage else { return [0x00, 0x01, 0x00, 0x00] }
        var data: [UInt8] = [0x00, (timeouts ? 0x80 : 0) | 0x03]  // CTDP, SUPPORT
        data.append(bigEndian: UInt16(usage.bits.count))
        data += usage.bits
        if timeouts { data += usage.timeouts }
        return data
    }
}

extension CommandUsage {
    /// The command timeouts descriptor (SPC-4 6.35.4), 12 bytes; times in seconds.
    fileprivate var timeouts: [UInt8] {
        var data: [UInt8] = [0x00, 0x0A, 0x00, 0x00]
        data.append(bigEndian: UInt32(0))  // NOMINAL COMMAND PROCESSING TIMEOUT: not told
        data.append(bigEndian: patience.rawValue)
        return data
    }
}

extension ReportSupportedTaskManagementFunctions {
    /// The whole parameter data (SPC-4 6.36): 4 bytes, 16 in the extended form, which tells no timeouts.
    ///
    /// Task management is LIO's: its core carries out ABORT TASK and LOGICAL UNIT RESET, answers ABORT TASK SET, CLEAR
    /// ACA and CLEAR TASK SET with "not supported", and rejects both target resets, whatever the fabric
    /// (`target_tmr_work` in target_core_transport.c).
    public var response: [UInt8] {
        let functions: UInt8 = 0x80 | 0x08  // ATS, LURS
        guard extended else { return [functions, 0, 0, 0] }
        return [functions, 0, 0, 0x0C] + .zeros(12)
    }
}
