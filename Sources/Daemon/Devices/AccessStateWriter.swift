internal import ALUA
internal import KernelFiles
internal import LogicalUnit
internal import SCSI

/// Carries out changes of access states in configfs. Blocking; for a thread of its own, never while the device is being
/// removed.
struct AccessStateWriter: Sendable {
    let backstore: Backstore

    /// Writes every change of `plan`. Groups are found by their number: a name may have changed since the plan was made.
    ///
    /// - Throws: if a group has gone, or the kernel refuses a state; changes before it are made.
    func carryOut(_ plan: AccessStatePlan) throws(KernelFileError) {
        let groups = try named()
        for change in plan.changes {
            guard let group = groups[change.group] else {
                throw KernelFileError(
                    path: "\(backstore.name)/alua",
                    reason: .malformed(
                        value: "\(groups.keys.sorted())", expected: "a group with the number \(change.group)"))
            }
            try backstore.setAccessState(change.state.rawValue, plan.cause.kernelStatus, of: group)
        }
    }

    private func named() throws(KernelFileError) -> [UInt16: TargetPortGroupAttributes] {
        var groups: [UInt16: TargetPortGroupAttributes] = [:]
        for name in try backstore.targetPortGroupNames() {
            // One that has not been set up yet has no number, and cannot be meant.
            do throws(KernelFileError) {
                let group = try backstore.targetPortGroup(name)
                groups[group.id] = groups[group.id] ?? group
            } catch {}
        }
        return groups
    }
}

extension AccessStatePlan.Cause {
    /// The same for the kernel.
    fileprivate var kernelStatus: TargetPortGroupAttributes.AccessStatus {
        switch self {
        case .initiator, .otherGateway: .alteredByExplicitSTPG
        case .target: .alteredByImplicitALUA
        }
    }
}

extension FactsReader {
    /// As ``read()``; where the groups have just been made for states that initiators set, the preferred one here becomes
    /// active/optimized first (``ALUA/ExplicitAccess/atStart``).
    func readAndSettle() throws(KernelFileError) -> Reading {
        let reading = try read()
        guard reading.facts.targetPortGroupSupport.isExplicit, let port = reading.facts.port,
            let plan = ExplicitAccess(
                groups: reading.facts.targetPortGroups, local: port.targetPortGroup
            ).atStart
        else { return reading }
        do throws(KernelFileError) {
            try AccessStateWriter(backstore: backstore).carryOut(plan)
            return try read()
        } catch {
            var reading = reading
            reading.skipped.append("the preferred group does not become active/optimized: \(error)")
            return reading
        }
    }
}
