internal import BlockBackend
internal import SCSI
internal import TCMURing

/// Commands that are answered from what is known about the unit.
extension LogicalUnit where Backend: ~Copyable {
    /// Commands whose answer needs nothing but the profile.
    mutating func answerFromProfile(_ command: consuming PendingCommand, _ decoded: Command) {
        switch decoded {
        case .requestSense(let request):
            // Unit attentions travel with the command they hit (SAM-5 5.14), so nothing is ever pending here.
            send(command, request.response(.none), allocationLength: UInt32(request.allocationLength))
        case .readCapacity10: send(command, profile.capacity.readCapacity10, allocationLength: 8)
        case .readCapacity16(let allocationLength):
            send(
                command, profile.capacity.readCapacity16(provisioning: advertisement.provisioning),
                allocationLength: allocationLength)
        case .modeSense(let sense):
            do throws(Sense) {
                let data = try advertisement.modePages.response(to: sense)
                send(command, data, allocationLength: UInt32(sense.allocationLength))
            } catch {
                finish(command, .check(error))
            }
        default: preconditionFailure("\(decoded) is not answered from the profile")
        }
    }

    /// MODE SELECT: accepted if it changes nothing.
    mutating func modeSelect(_ command: consuming PendingCommand, _ select: ModeSelect) {
        let slot = command.slot
        let wanted = min(Int(select.parameterListLength), Int(slots[slot].pointee.segmentBytes))
        var list = [UInt8](repeating: 0, count: wanted)
        list.withUnsafeMutableBytes { _ = slots.segments(slot).read(into: $0) }
        let sense = list.withUnsafeBytes { advertisement.modePages.refusal(of: select, delivered: $0) }
        if let sense { finish(command, .check(sense)) } else { sendNothing(command) }
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
                mediumRotationRate: advertisement.mediumRotationRate)
            guard let page = vital.page(code) else {
                return finish(command, .check(VitalProductData.unsupportedPage))
            }
            send(command, page, allocationLength: UInt32(inquiry.allocationLength))
        case .reportTargetPortGroups(let report):
            guard !facts.targetPortGroups.isEmpty else {
                // As the original without an enabled port.
                return finish(command, .check(.invalidCommandOperationCode))
            }
            let data = report.response(
                facts.targetPortGroups, implicitTransitionSeconds: facts.implicitTransitionSeconds)
            send(command, data, allocationLength: report.allocationLength)
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
            guard let facts, case .command(let decoded) = CommandDecoder.decode(slots[slot].pointee.cdb) else {
                finish(command, otherwise)
                continue
            }
            answer(command, decoded, facts)
        }
    }

    // MARK: - Data-In

    /// Answers with parameter data, cut to the allocation length and to the buffer. The initiator learns the
    /// valid length through READ_LEN; where that cannot be said the rest of the buffer is zeroed, so that no
    /// byte of an earlier command leaks.
    private mutating func send(_ command: consuming PendingCommand, _ data: [UInt8], allocationLength: UInt32) {
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

    /// The initiator can be told how much of its buffer is valid.
    var saysLength: Bool {
        mutating get { ring?.features.contains(.readLength) ?? false }
    }

    /// Zeroes the data buffer from byte `count` on: the kernel hands out all of it, and the data area holds what
    /// earlier commands left there.
    func zeroRest(_ slot: Int, from count: UInt64) {
        let buffer = slots[slot].pointee.segmentBytes
        if buffer > count { slots.segments(slot).zero(from: Int(count), length: Int(buffer - count)) }
    }
}
