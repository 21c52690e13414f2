internal import BlockBackend
internal import SCSI

/// A question to the backend, and what its answer is for.
struct AskedSurvey {
    enum Purpose {
        case lbaStatus(GetLBAStatus)
        case logPage(LogSense)
        /// The unit's own look at the space that is left, without any initiator's command.
        case spaceCheck
    }

    let purpose: Purpose
    let survey: Survey
}

/// Commands that ask the backend about space. It may block over that, so it answers from elsewhere.
extension LogicalUnit where Backend: ~Copyable {
    /// GET LBA STATUS (SBC-3 5.4).
    mutating func getLBAStatus(_ command: consuming PendingCommand, _ status: GetLBAStatus) {
        guard status.lba < profile.capacity.blocks else {
            return finish(command, .check(.logicalBlockAddressOutOfRange))
        }
        let range = BlockRange(lba: status.lba, blocks: profile.capacity.blocks - status.lba)
        if let outcome = refusal(of: range, modifies: false) { return finish(command, outcome) }
        guard backend.capabilities.reportsAllocation else {
            let whole = GetLBAStatus.Descriptor(range: range, isMapped: true)
            return send(command, status.response([whole]), allocationLength: status.allocationLength)
        }
        ask(command, .allocation(extent(of: range), limit: status.wantedDescriptors), for: .lbaStatus(status))
    }

    /// LOG SENSE (SPC-4 6.8).
    mutating func logSense(_ command: consuming PendingCommand, _ log: LogSense) {
        // Only page 0Ch tells figures; the list of pages says no more than that there is such a page.
        guard backend.capabilities.reportsSpace, log.pageCode == 0x0C else {
            let listed = Survey(.space)
            if backend.capabilities.reportsSpace { listed.availableBytes = 0 }
            return answer(command, log, listed)
        }
        ask(command, .space, for: .logPage(log))
    }

    /// Puts the question to the backend; the answer comes to ``answerSurvey(_:)``.
    private mutating func ask(
        _ command: consuming PendingCommand, _ question: Survey.Question, for purpose: AskedSurvey.Purpose
    ) {
        let slot = command.slot
        let survey = Survey(question)
        let extras = CommandExtras()
        extras.survey = AskedSurvey(purpose: purpose, survey: survey)
        slots[slot].pointee.extras = extras
        slots[slot].pointee.stage = .survey
        settle(command, backend.survey(survey, ticket: slots.ticket(slot)))
    }

    /// The backend has answered.
    mutating func answerSurvey(_ command: consuming PendingCommand) {
        guard let asked = slots[command.slot].pointee.extras?.survey else {
            preconditionFailure("an answer to no question")
        }
        switch asked.purpose {
        case .lbaStatus(let status):
            send(
                command, status.response(descriptors(of: asked.survey.runs, from: status.lba)),
                allocationLength: status.allocationLength)
        case .logPage(let log): answer(command, log, asked.survey)
        case .spaceCheck: judgeSpace(command, asked.survey)
        }
    }

    private mutating func answer(_ command: consuming PendingCommand, _ log: LogSense, _ survey: Survey?) {
        let blockSize = UInt64(profile.capacity.blockSize)
        let space = survey.map {
            ProvisioningSpace(
                availableBlocks: $0.availableBytes.map { $0 / blockSize },
                usedBlocks: $0.usedBytes.map { $0 / blockSize },
                thresholdExponent: advertisement.thresholdExponent)
        }
        do throws(Sense) {
            let data = try log.response(space: space)
            send(command, data, allocationLength: UInt32(log.allocationLength))
        } catch {
            finish(command, .check(error))
        }
    }

    /// Bytes to blocks: a block of which any byte is allocated counts as mapped.
    private func descriptors(of runs: [AllocationRun], from lba: UInt64) -> [GetLBAStatus.Descriptor] {
        let blockSize = UInt64(profile.capacity.blockSize)
        var list: [GetLBAStatus.Descriptor] = []
        var next = lba
        for run in runs {
            let last = run.extent.offset + run.extent.length
            let end = run.isMapped ? (last + blockSize - 1) / blockSize : last / blockSize
            guard end > next else { continue }
            if let previous = list.last, previous.isMapped == run.isMapped {
                list[list.count - 1].range.blocks += end - next
            } else {
                list.append(.init(range: BlockRange(lba: next, blocks: end - next), isMapped: run.isMapped))
            }
            next = end
        }
        // The limit on runs fell within the first block: an answer has one descriptor at least.
        if list.isEmpty { list.append(.init(range: BlockRange(lba: lba, blocks: 1), isMapped: true)) }
        return list
    }

    // MARK: - Thin provisioning

    /// Bytes written between two looks at the space that is left.
    private var spaceCheckInterval: Int64 { 256 << 20 }

    /// So much has been written: now and then it is looked at what is left.
    mutating func noteSpaceUsed(_ bytes: UInt64) {
        bytesUntilSpaceCheck &-= Int64(truncatingIfNeeded: bytes)
        if bytesUntilSpaceCheck < 0 { checkSpace() }
    }

    /// Asks how much space there is left, without any initiator's command: so much has been written since last time.
    mutating func checkSpace() {
        bytesUntilSpaceCheck = spaceCheckInterval
        // Bound: one look at a time, however slow the cluster and fast the writer.
        guard advertisement.softThresholdBytes != nil, mode == .serving, !isCheckingSpace, now >= nextSpaceLook,
            let command = slots.acquire()
        else { return }
        nextSpaceLook = now + profile.millisecondsBetweenSpaceLooks
        isCheckingSpace = true
        let record = slots[command.slot]
        record.pointee.begin(expiry: .max)
        record.pointee.cdb = CDB(UnsafeRawBufferPointer(start: nil, count: 0))
        record.pointee.isDetached = true
        record.pointee.segmentCount = 0
        record.pointee.segmentBytes = 0
        ask(command, .space, for: .spaceCheck)
    }

    /// A look of our own has failed; told once until one succeeds. No initiator waits for it.
    mutating func spaceUnknown(_ command: consuming PendingCommand, errno: Int32) {
        if !isSpaceUnknown { report(.spaceUnknown(errno: errno)) }
        isSpaceUnknown = true
        finish(command, .good)
    }

    /// THIN PROVISIONING SOFT THRESHOLD REACHED, once for each time that the space falls below it.
    private mutating func judgeSpace(_ command: consuming PendingCommand, _ survey: Survey) {
        isSpaceUnknown = false
        if var threshold = advertisement.softThresholdBytes, let available = survey.availableBytes {
            // What is allocated already needs no more space.
            if let used = survey.usedBytes { threshold = min(threshold, mediumBytes - min(used, mediumBytes)) }
            if available > threshold || threshold == 0 {
                isShortOfSpace = false
            } else if !isShortOfSpace {
                isShortOfSpace = true
                condition.raise(.thinProvisioningSoftThresholdReached)
                report(.spaceLow(availableBytes: available, thresholdBytes: threshold))
            }
        }
        finish(command, .good)
    }
}
