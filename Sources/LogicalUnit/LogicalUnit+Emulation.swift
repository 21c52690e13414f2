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
                let data = try modes.response(to: sense, capacity: profile.capacity)
                send(command, data, allocationLength: UInt32(sense.allocationLength))
            } catch {
                finish(command, .check(error))
            }
        case .readDefectData(let defects):
            send(command, defects.response, allocationLength: defects.allocationLength)
        case .reportSupportedTaskManagementFunctions(let report):
            send(command, report.response, allocationLength: report.allocationLength)
        default: preconditionFailure("\(decoded) is not answered from the profile")
        }
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

    /// Commands whose answer tells identity or access states, with `facts` that are as fresh as they must be.
    mutating func answerFromFacts(
        _ command: consuming PendingCommand, _ decoded: Command, _ facts: BackstoreFacts
    ) {
        // A unit without a name cannot be told from others in a copy's parameter list; INQUIRY says so, too (3PC).
        if decoded.isThirdPartyCopy, !facts.isNamed {
            return finish(command, .check(.invalidCommandOperationCode))
        }
        switch decoded {
        case .inquiry(let inquiry):
            guard let code = inquiry.vitalProductPage else {
                let standard = StandardInquiry(
                    targetPortGroupSupport: facts.targetPortGroupSupport, thirdPartyCopy: facts.isNamed)
                return send(command, standard.bytes, allocationLength: UInt32(inquiry.allocationLength))
            }
            let identity = UnitIdentity(
                serial: facts.serial, configString: profile.configString, port: facts.port)
            let vital = VitalProductData(
                identity: identity, limits: advertisement.limits, provisioning: advertisement.provisioning,
                mediumRotationRate: advertisement.mediumRotationRate, commands: advertisement.commands,
                thresholdExponent: advertisement.thresholdExponent,
                thirdPartyCopy: facts.isNamed
                    ? ThirdPartyCopy(.served(blockSize: profile.capacity.blockSize)) : nil)
            guard let page = vital.page(code) else {
                return finish(command, .check(VitalProductData.unsupportedPage))
            }
            send(command, page, allocationLength: UInt32(inquiry.allocationLength))
        case .reportTargetPortGroups(let report):
            reportTargetPortGroups(command, report, facts)
        case .setTargetPortGroups(let set): setTargetPortGroups(command, set, facts)
        case .extendedCopy(let copy): extendedCopy(command, copy, facts)
        case .receiveCopyResults(let receive): receiveCopyResults(command, receive)
        case .reportSupportedOperationCodes(let report): reportOperationCodes(command, report, facts)
        default: preconditionFailure("\(decoded) is not answered from configfs")
        }
    }

    private mutating func reportOperationCodes(
        _ command: consuming PendingCommand, _ report: ReportSupportedOperationCodes, _ facts: BackstoreFacts
    ) {
        do throws(Sense) {
            let data = try report.response(
                advertisement.commands,
                surroundings: ReportSupportedOperationCodes.Surroundings(
                    targetPortGroups: !facts.targetPortGroups.isEmpty,
                    setTargetPortGroups: facts.port != nil && facts.targetPortGroupSupport.isExplicit,
                    reservations: facts.servesReservations, thirdPartyCopy: facts.isNamed))
            send(command, data, allocationLength: report.allocationLength)
        } catch {
            finish(command, .check(error))
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
    fileprivate var isThirdPartyCopy: Bool {
        switch self {
        case .extendedCopy, .receiveCopyResults: true
        default: false
        }
    }
}
