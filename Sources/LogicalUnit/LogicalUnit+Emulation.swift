internal import BlockBackend
internal import SCSI
internal import TCMURing

/// Commands that are answered from what is known about the unit.
extension LogicalUnit where Backend: ~Copyable {
    /// Commands whose answer needs nothing but the profile.
    mutating func answerFromProfile(_ command: consuming PendingCommand, _ decoded: Command) {
        switch decoded {
        case .requestSense(let request):
            send(
                command, request.response(condition.pendingSense()),
                allocationLength: UInt32(request.allocationLength))
        case .readCapacity10: send(command, profile.capacity.readCapacity10, allocationLength: 8)
        case .readCapacity16(let allocationLength):
            send(
                command, profile.capacity.readCapacity16(provisioning: advertisement.provisioning),
                allocationLength: allocationLength)
        case .modeSense(let sense):
            do throws(Sense) {
                let data = try modes.response(to: sense)
                send(command, data, allocationLength: UInt32(sense.allocationLength))
            } catch {
                finish(command, .check(error))
            }
        case .readDefectData(let defects):
            send(command, defects.response, allocationLength: defects.allocationLength)
        case .reportSupportedOperationCodes(let report):
            do throws(Sense) {
                // Before configfs was read nobody knows, and every kernel sets up a port first.
                let hasPort = facts.map { !$0.targetPortGroups.isEmpty } ?? true
                let data = try report.response(
                    advertisement.commands, targetPortGroups: hasPort,
                    setTargetPortGroups: facts.map { $0.port != nil && $0.targetPortGroupSupport.isExplicit }
                        ?? false)
                send(command, data, allocationLength: report.allocationLength)
            } catch {
                finish(command, .check(error))
            }
        case .reportSupportedTaskManagementFunctions(let report):
            send(command, report.response, allocationLength: report.allocationLength)
        default: preconditionFailure("\(decoded) is not answered from the profile")
        }
    }

    /// MODE SELECT: takes what may be changed, and refuses a list that would change anything else.
    ///
    /// The daemon does not learn which initiator a command came from, so that there is no unit attention for the
    /// others.
    mutating func modeSelect(_ command: consuming PendingCommand, _ select: ModeSelect) {
        let list = parameterList(command.slot, length: Int(select.parameterListLength))
        let wasCached = modes.writeCacheEnabled
        let sense = list.withUnsafeBytes { modes.select(select, delivered: $0) }
        isWriteProtected = modes.isWriteProtected
        if let sense { return finish(command, .check(sense)) }
        guard wasCached && !modes.writeCacheEnabled else { return sendNothing(command) }
        // From now on every write is durable before its answer; so must be those answered before.
        zeroRest(command.slot, from: 0)
        slots[command.slot].pointee.stage = .flush
        settle(command, backend.flush(ticket: slots.ticket(command.slot)))
    }

    /// A copy of the parameter list in a command's data buffer, as far as it came: what is checked is what is done,
    /// though the initiator's side may still write to the buffer.
    ///
    /// - Parameter length: PARAMETER LIST LENGTH in bytes, or the longest list there can be.
    func parameterList(_ slot: Int, length: Int) -> [UInt8] {
        var list = [UInt8](repeating: 0, count: min(length, Int(slots[slot].pointee.segmentBytes)))
        list.withUnsafeMutableBytes { _ = slots.segments(slot).read(into: $0) }
        return list
    }

    /// Reads a parameter list, from a copy of it.
    func withParameterList<Value>(
        _ slot: Int, length: Int, _ read: (UnsafeRawBufferPointer) throws(Sense) -> Value
    ) throws(Sense) -> Value {
        let list = parameterList(slot, length: length)
        let bytes = list.span.bytes
        return try bytes.withUnsafeBytes { bytes throws(Sense) -> Value in try read(bytes) }
    }

    /// Commands whose answer tells identity or access states, which live in configfs.
    ///
    /// configfs is never read on the loop: an answer older than its lifetime is asked for, and the command waits
    /// until it comes.
    mutating func answerFromFacts(_ command: consuming PendingCommand, _ decoded: Command) {
        guard let facts, now &- factsAge <= Limits.identityLifetime else { return awaitFacts(command) }
        answer(command, decoded, facts)
    }

    private mutating func answer(
        _ command: consuming PendingCommand, _ decoded: Command, _ facts: BackstoreFacts
    ) {
        switch decoded {
        case .inquiry(let inquiry):
            guard let code = inquiry.vitalProductPage else {
                let standard = StandardInquiry(targetPortGroupSupport: facts.targetPortGroupSupport)
                return send(command, standard.bytes, allocationLength: UInt32(inquiry.allocationLength))
            }
            let identity = UnitIdentity(
                serial: facts.serial, configString: profile.configString, port: facts.port)
            let vital = VitalProductData(
                identity: identity, limits: advertisement.limits, provisioning: advertisement.provisioning,
                mediumRotationRate: advertisement.mediumRotationRate, commands: advertisement.commands,
                thresholdExponent: advertisement.thresholdExponent,
                thirdPartyCopy: ThirdPartyCopy(.served(blockSize: profile.capacity.blockSize)))
            guard let page = vital.page(code) else {
                return finish(command, .check(VitalProductData.unsupportedPage))
            }
            send(command, page, allocationLength: UInt32(inquiry.allocationLength))
        case .reportTargetPortGroups(let report):
            reportTargetPortGroups(command, report, facts)
        case .setTargetPortGroups(let set): setTargetPortGroups(command, set, facts)
        case .extendedCopy(let copy): extendedCopy(command, copy, facts)
        default: preconditionFailure("\(decoded) is not answered from configfs")
        }
    }

    // MARK: - Facts from configfs

    private mutating func awaitFacts(_ command: consuming PendingCommand) {
        awaitingFacts.append(command.slot)
        slots[command.slot].pointee.deadline = now &+ Limits.identityPatience
        slots.park(command, as: .awaitingIdentity)
        guard now &- factsRequested > Limits.identityPatience || factsRequested == .min else { return }
        factsRequested = now
        report(.factsNeeded)
    }

    /// Takes what configfs says now, or nil if it could not be read, and answers those who waited.
    mutating func deliver(_ fresh: BackstoreFacts?, now: Int64) {
        self.now = now
        factsRequested = .min
        if let fresh {
            facts = fresh
            factsAge = now
            noteOptimized(fresh)
            profile.copyGroup?.announce(
                profile.copyIdentity, designator: UnitIdentity.nameDesignator(serial: fresh.serial))
        }
        // Unreadable: as the original with an unreadable serial.
        answerAwaiting(otherwise: .check(.internalTargetFailure))
    }

    /// Answers every command that waits for facts with what there is, or with `otherwise` if nothing was ever read.
    mutating func answerAwaiting(otherwise: CommandOutcome) {
        let waiting = awaitingFacts
        awaitingFacts.removeAll(keepingCapacity: true)
        for slot in waiting {
            let command = slots.resume(slot, from: .awaitingIdentity)
            guard let facts, case .command(let decoded) = decode(slot) else {
                finish(command, otherwise)
                continue
            }
            // An erasure may have begun meanwhile, and an EXTENDED COPY must not follow it.
            if !condition.isClear, let outcome = refusal(of: decoded) {
                finish(command, outcome)
                continue
            }
            // Identity does not change, but access states do: better none than old ones.
            if decoded.needsAccessStates, now &- factsAge > Limits.accessStateLifetime {
                finish(command, .status(.busy))
                continue
            }
            answer(command, decoded, facts)
        }
    }

    // MARK: - Data-In

    /// Answers with parameter data, cut to the allocation length and to the buffer. The initiator learns the
    /// valid length through READ_LEN; where that cannot be said the rest of the buffer is zeroed, so that no
    /// byte of an earlier command leaks.
    mutating func send(_ command: consuming PendingCommand, _ data: [UInt8], allocationLength: UInt32) {
        let slot = command.slot
        let buffer = Int(slots[slot].pointee.segmentBytes)
        let count = min(data.count, Int(allocationLength), buffer)
        data.withUnsafeBytes { bytes in
            _ = slots.segments(slot).write(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
        // A READ_LEN of 0 is not looked at (K:tcmu_handle_completion).
        if count == 0 || !saysLength { zeroRest(slot, from: UInt64(count)) }
        finish(command, .data(UInt32(truncatingIfNeeded: count)))
    }

    /// Answers GOOD without Data-In, whatever buffer the initiator sent along.
    mutating func sendNothing(_ command: consuming PendingCommand) {
        zeroRest(command.slot, from: 0)
        finish(command, .good)
    }

    /// Zeroes the data buffer from byte `count` on: the kernel hands out all of it, and the data area holds what
    /// earlier commands left there.
    func zeroRest(_ slot: Int, from count: UInt64) {
        let buffer = slots[slot].pointee.segmentBytes
        if buffer > count { slots.segments(slot).zero(from: Int(count), length: Int(buffer - count)) }
    }
}

extension Command {
    /// It tells or changes access states of target port groups.
    fileprivate var needsAccessStates: Bool {
        switch self {
        case .reportTargetPortGroups, .setTargetPortGroups: true
        default: false
        }
    }
}
