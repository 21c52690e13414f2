internal import ALUA
internal import BlockBackend
internal import SCSI

/// A change of access states that the control plane is at.
struct AccessStateChange {
    /// The SET TARGET PORT GROUPS command that waits for it; nil where none does (any longer).
    var slot: Int?
    /// The local group becomes active/optimized.
    let optimizes: Bool
    /// `BlockBackend.takeovers` when the right to write was there.
    let takeovers: UInt64
}

/// REPORT and SET TARGET PORT GROUPS.
///
/// The states are configfs's, whose kernel refuses commands on ports that are standby, so what a command changes is
/// written there, off the loop.
extension LogicalUnit where Backend: ~Copyable {
    /// REPORT TARGET PORT GROUPS.
    mutating func reportTargetPortGroups(
        _ command: consuming PendingCommand, _ report: ReportTargetPortGroups, _ known: KnownFacts
    ) {
        guard known.areFresh else { return finish(command, .status(.busy)) }
        let facts = known.facts
        guard !facts.targetPortGroups.isEmpty else {
            // As the original without an enabled port.
            return finish(command, .check(.invalidCommandOperationCode))
        }
        let data = report.response(
            statesNow(facts), implicitTransitionSeconds: facts.implicitTransitionSeconds)
        send(command, data, allocationLength: report.allocationLength)
    }

    /// SET TARGET PORT GROUPS. For active/optimized the right to write is taken first: until it is there, initiators
    /// get BUSY and come again.
    mutating func setTargetPortGroups(
        _ command: consuming PendingCommand, _ set: SetTargetPortGroups, _ known: KnownFacts
    ) {
        guard known.areFresh else { return finish(command, .status(.busy)) }
        let facts = known.facts
        guard facts.targetPortGroupSupport.isExplicit, let access = facts.explicitAccess else {
            return finish(command, .check(.invalidCommandOperationCode))
        }
        let (optimizes, plan): (Bool, AccessStatePlan)
        do throws(Sense) {
            // Bound: of a longer list no more is looked at than shows that it is too long.
            let length = min(Int(clamping: set.parameterListLength), TargetPortGroupRequests.maximumLength)
            let requests = try withParameterList(command.slot, length: length) {
                bytes throws(Sense) -> TargetPortGroupRequests in try TargetPortGroupRequests(bytes, for: set)
            }
            (optimizes, plan) = (access.asksForOptimized(requests), try access.plan(for: requests))
        } catch {
            return finish(command, .check(error))
        }
        if optimizes && !isWriteProtected {
            let claim = backend.claimWriting()
            guard claim.isSuccess else { return awaitRight(command, claim) }
        }
        guard !plan.changes.isEmpty else {
            if optimizes { optimizedAt = backend.takeovers }
            return sendNothing(command)
        }
        // One at a time; the next one finds states that it can be judged by.
        guard accessStateChange == nil else { return finish(command, .status(.busy)) }
        accessStateChange = AccessStateChange(
            slot: command.slot, optimizes: optimizes, takeovers: backend.takeovers)
        slots[command.slot].pointee.deadline = now &+ profile.factsPatience
        slots.park(command, as: .awaitingIdentity)
        report(.accessStatesWanted(plan))
    }

    /// The control plane has carried out a change, or has failed to; `fresh` is what configfs says since.
    mutating func accessStatesChanged(_ succeeded: Bool, _ fresh: BackstoreFacts?, now: Int64) {
        guard let change = accessStateChange else { return }
        accessStateChange = nil
        if succeeded && change.optimizes { optimizedAt = change.takeovers }
        // Read for no command that waits: it may have begun before they arrived.
        self.now = now
        take(fresh)
        guard let slot = change.slot else { return }
        let command = slots.resume(slot, from: .awaitingIdentity)
        if succeeded { sendNothing(command) } else { finish(command, .check(.setTargetPortGroupsCommandFailed)) }
    }

    /// A change that takes long: its initiator comes again, and finds the states changed by then.
    mutating func stopAwaitingAccessStates() {
        guard let slot = accessStateChange?.slot, slots[slot].pointee.deadline <= now else { return }
        accessStateChange?.slot = nil
        finish(slots.resume(slot, from: .awaitingIdentity), .status(.busy))
    }

    // MARK: - What the backend knows better

    /// Notes under which right to write the local group is active/optimized; configfs was just read.
    mutating func noteOptimized(_ facts: BackstoreFacts) {
        guard facts.targetPortGroupSupport.isExplicit, let access = facts.explicitAccess, access.isOptimized else {
            optimizedAt = nil
            return
        }
        optimizedAt = optimizedAt ?? backend.takeovers
    }

    /// The groups as they are: where another gateway has taken the right to write since the local group became
    /// active/optimized, that gateway's initiators have made its group so. Told at once, and written to configfs. A
    /// connection that was lost and came back is no reason: nobody else would be active/optimized.
    ///
    /// Ports of an image that is not its mirror's primary one answer as standby, and so are told as that.
    private mutating func statesNow(_ facts: BackstoreFacts) -> [TargetPortGroupDescription] {
        if condition.storage == .standby, let port = facts.port {
            let change = AccessStatePlan.Change(group: port.targetPortGroup, state: .standby)
            return AccessStatePlan([change], because: .target).applied(to: facts.targetPortGroups)
        }
        guard let optimizedAt, optimizedAt != backend.takeovers, let access = facts.explicitAccess,
            let plan = access.afterLoss
        else { return facts.targetPortGroups }
        if accessStateChange == nil {
            accessStateChange = AccessStateChange(
                slot: nil, optimizes: false, takeovers: backend.takeovers)
            report(.accessStatesWanted(plan))
        }
        return plan.applied(to: facts.targetPortGroups)
    }
}

extension BackstoreFacts {
    /// The rules for states that initiators set; nil without an enabled port.
    var explicitAccess: ExplicitAccess? {
        port.map { ExplicitAccess(groups: targetPortGroups, local: $0.targetPortGroup) }
    }
}
