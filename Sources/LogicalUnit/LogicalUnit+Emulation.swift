internal import BlockBackend
internal import SCSI
internal import TCMURing

/// Commands that are answered from what is known about the unit.
extension LogicalUnit where Backend: ~Copyable {
    /// REQUEST SENSE.
    mutating func requestSense(_ command: consuming PendingCommand, _ request: RequestSense) {
        send(
            command, request.response(condition.pendingSense()), allocationLength: UInt32(request.allocationLength))
    }

    /// READ CAPACITY(16).
    mutating func readCapacity16(_ command: consuming PendingCommand, _ allocationLength: UInt32) {
        send(
            command, profile.capacity.readCapacity16(provisioning: advertisement.provisioning),
            allocationLength: allocationLength)
    }

    /// MODE SENSE, 6 and 10.
    mutating func modeSense(_ command: consuming PendingCommand, _ sense: ModeSense) {
        do throws(Sense) {
            let data = try modes.response(to: sense, capacity: profile.capacity)
            send(command, data, allocationLength: UInt32(sense.allocationLength))
        } catch {
            finish(command, .check(error))
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

    /// INQUIRY: standard data or a page.
    mutating func inquiry(_ command: consuming PendingCommand, _ inquiry: Inquiry, _ known: KnownFacts) {
        let facts = known.facts
        // TPGS and target port groups.
        let tellsAccessStates = inquiry.vitalProductPage == nil || inquiry.vitalProductPage == 0x83
        guard known.areFresh || !tellsAccessStates else { return finish(command, .status(.busy)) }
        guard let code = inquiry.vitalProductPage else {
            let standard = StandardInquiry(
                targetPortGroupSupport: facts.targetPortGroupSupport, thirdPartyCopy: facts.isNamed)
            return send(command, standard.bytes, allocationLength: UInt32(inquiry.allocationLength))
        }
        let identity = UnitIdentity(serial: facts.serial, configString: profile.configString, port: facts.port)
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
    }

    /// REPORT SUPPORTED OPERATION CODES.
    mutating func reportOperationCodes(
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
