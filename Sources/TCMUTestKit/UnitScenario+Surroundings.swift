internal import LogicalUnit
internal import SCSI
internal import TCMURing

// What surrounds the unit of a scenario, and what any of its answers must look like.
extension UnitScenario {
    /// A ring so short that it wraps after a dozen commands, and a data area of twice the medium's size.
    ///
    /// Bound: an entry may take half of the ring, and a command's data be in a piece per block.
    var geometry: RingGeometry {
        var geometry = RingGeometry(pages: 1, dataBlocks: 16, blockSize: 4096)
        geometry.ringBytes = 1920
        geometry.flags = RingGeometry.allFlags
        if !saysLength { geometry.flags &= ~RingFeatures.readLength.rawValue }
        if !offersTaskManagement {
            geometry.flags &= ~(RingFeatures.taskManagement.rawValue | RingFeatures.keepBuffer.rawValue)
        }
        return geometry
    }

    /// A unit of 48 blocks of 512 bytes, or 6 of 4096, that takes most of it in one transfer.
    var profile: UnitProfile {
        let blocks = Self.mediumBytes / blockSize
        var profile = UnitProfile(
            name: "test/scenario",
            capacity: Capacity(blocks: UInt64(blocks), blockSize: UInt32(blockSize)),
            maximumTransferBlocks: UInt32(blocks - blocks / 6), configString: "test/scenario",
            commandTimeout: hasTimeLimit ? 5000 : nil)
        // The medium is small: with the first write.
        profile.bytesBeforeSpaceLook = 0
        profile.isHeldToExclusion = facts == .withPort
        return profile
    }

    /// What configfs says.
    var backstoreFacts: BackstoreFacts {
        var facts = BackstoreFacts(serial: "0123456789abcdef", exclusion: .nobody)
        if self.facts == .withPort {
            facts.port = UnitIdentity.Port(
                relativeIdentifier: 1, protocolIdentifier: 5, targetPortGroup: 16,
                targetName: "iqn.2003-01.org.example:fuzz", portalGroupTag: 1)
            facts.targetPortGroupSupport = .implicitAndExplicit
            facts.targetPortGroups = [
                TargetPortGroupDescription(
                    preferred: true, state: 0, supportedStates: 0x4F, identifier: 16, status: 0,
                    relativePortIdentifiers: [1]),
                TargetPortGroupDescription(
                    preferred: false, state: 2, supportedStates: 0x85, identifier: 17, status: 0,
                    relativePortIdentifiers: [2]),
            ]
            facts.implicitTransitionSeconds = 3
        }
        return facts
    }
}

extension RingCompletion {
    /// Stops the process if this is no answer that an initiator could make sense of.
    func check(ofUnknownOperation: Bool) {
        require(isUnknownOpcode == ofUnknownOperation, "command \(id): UNKNOWN_OP is \(isUnknownOpcode)")
        guard let status = Status(rawValue: status) else { fatalError("command \(id): status \(status)") }
        guard status == .checkCondition, !ofUnknownOperation else { return }
        let length: Int
        switch sense[0] & 0x7F {
        case 0x70: length = 8 + Int(sense[7])
        case 0x72: length = 8 + Int(sense[7])
        default: fatalError("command \(id): sense of response code \(sense[0])")
        }
        require(length <= sense.count, "command \(id): \(length) bytes of sense")
        require(sense[length...].allSatisfy { $0 == 0 }, "command \(id): bytes behind the sense: \(sense)")
        guard let triple = senseTriple else { fatalError("command \(id): sense \(sense)") }
        // 0 is no error, 9 and C vendor specific or obsolete, F reserved.
        require(![0x0, 0x9, 0xC, 0xF].contains(triple.key), "command \(id): sense key \(triple.key)")
        require(triple.asc != 0 || triple.ascq != 0, "command \(id): sense key \(triple.key) and no code")
        if sense[0] & 0x7F == 0x70, triple.key == 5, sense[15] & 0xC0 == 0xC0 {
            let byte = Int(sense[16]) << 8 | Int(sense[17])
            require(byte <= 32, "command \(id): byte \(byte) of the CDB is said to be wrong")
        }
    }
}
