internal import ALUA
internal import BlockBackend
internal import Configuration
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor

/// Changes of access states, which are configfs's, and of portal groups.
extension Device {
    /// Carries out what the unit asks for, and tells it how that went and what configfs says since.
    func changeAccessStates(_ plan: AccessStatePlan) async {
        guard let unit, let loop else { return }
        var succeeded = false
        var facts: BackstoreFacts?
        // Not while the device is being removed: configfs would hold the writer.
        if life.state == .serving {
            let writer = AccessStateWriter(backstore: backstore)
            let reader = FactsReader(tree: environment.tree, backstore: backstore)
            let result = await BlockingCall.run("alua-\(node.nodeName)") { () -> AccessStateChangeResult in
                var result = AccessStateChangeResult()
                do throws(KernelFileError) { try writer.carryOut(plan) } catch {
                    result.failure = error.description
                }
                // Also after a failure: some states may have changed.
                do throws(KernelFileError) { result.facts = try reader.read().facts } catch {
                    result.failure = result.failure ?? error.description
                }
                return result
            }
            facts = result?.facts
            if let failure = result.map(\.failure) ?? "no thread left" {
                say(.accessStates) { logger.error("\(label): \(plan.line), but that failed: \(failure)") }
            } else {
                succeeded = true
                say(.accessStates) { logger.notice("\(label): \(plan.line)") }
            }
        }
        loop.post(unit) { [succeeded, facts] in unit.accessStatesChanged(succeeded, facts) }
    }
}

extension Device {
    /// Off while the storage is away, on again with it, where that is asked for.
    func switchPortalGroups(_ availability: BackendAvailability) {
        guard let portalGroups = switchWanted else { return }
        let (unit, backstore) = (switchedUnit, backstore)
        Task(executorPreference: ControlThread.shared) {
            if case .recovering = availability {
                await portalGroups.lost(unit, backstore)
            } else {
                await portalGroups.found(unit)
            }
        }
    }

    /// The unit serves nobody any longer: its portal groups are no longer its concern.
    func leavePortalGroups() {
        guard let portalGroups = switchWanted else { return }
        let unit = switchedUnit
        // Not waited for: what this daemon does not get done, the journal tells the next one.
        Task(executorPreference: ControlThread.shared) { await portalGroups.found(unit) }
    }

    /// The switch, if the daemon or the unit is set to use it.
    private var switchWanted: PortalGroupSwitch? {
        guard environment.service.disablesPortalGroupOnLoss || settings.disablesPortalGroup else { return nil }
        return environment.portalGroups
    }

    /// Tells units apart: names come again.
    private var switchedUnit: String { "\(label) (uio\(node.minor))" }
}

/// How a change went.
private struct AccessStateChangeResult: Sendable {
    var failure: String?
    var facts: BackstoreFacts?
}

extension AccessStatePlan {
    /// What happens and why, for the log.
    fileprivate var line: String {
        let states = changes.map { "group \($0.group) becomes \($0.state.words)" }.joined(separator: ", ")
        return switch cause {
        case .initiator: "SET TARGET PORT GROUPS: \(states)"
        case .otherGateway: "another gateway has taken over the writing: \(states)"
        case .target: states
        }
    }
}

extension AccessState {
    /// The state's name in SPC-4.
    fileprivate var words: String {
        switch self {
        case .activeOptimized: "active/optimized"
        case .activeNonOptimized: "active/non-optimized"
        case .standby: "standby"
        case .unavailable: "unavailable"
        case .logicalBlockDependent: "logical block dependent"
        case .offline: "offline"
        case .transitioning: "transitioning"
        }
    }
}
