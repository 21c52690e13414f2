internal import ALUA
internal import ConfigFS
internal import LogicalUnit
internal import SCSI
internal import SystemPackage

/// Reads what initiators are told about a unit and configfs alone knows: serial number, target ports and their
/// groups. Blocking; for a thread of its own, never while the device is being removed.
struct FactsReader: Sendable {
    let tree: ConfigFSTree
    let backstore: Backstore

    /// What configfs says now.
    ///
    /// - Throws: if serial or groups cannot be read; one port that cannot is left out.
    func read() throws(ConfigFSError) -> BackstoreFacts {
        var facts = BackstoreFacts(serial: try backstore.unitSerial())
        var support = TargetPortGroupSupport.none
        for name in try backstore.targetPortGroupNames() {
            let group = try backstore.targetPortGroup(name)
            let ports = group.members.compactMap { port(of: $0, in: group) }
            // As the original: one port group is enabled here, and its first port stands for the unit.
            if facts.port == nil, let enabled = ports.first(where: \.isEnabled) {
                facts.port = enabled.port
                support = Self.support(group.accessType)
                facts.implicitTransitionSeconds = UInt8(clamping: group.implicitTransitionSeconds)
            }
            facts.targetPortGroups.append(Self.description(group, ports: ports.map(\.port.relativeIdentifier)))
        }
        if facts.port == nil { facts.targetPortGroups = [] }
        facts.targetPortGroups.sort { $0.identifier < $1.identifier }
        facts.targetPortGroupSupport = support
        return facts
    }

    private func port(
        of member: TargetPortGroupMember, in group: TargetPortGroupAttributes
    ) -> (port: UnitIdentity.Port, isEnabled: Bool)? {
        let target = tree.targetPort(member)
        do throws(ConfigFSError) {
            let port = UnitIdentity.Port(
                relativeIdentifier: try target.relativeIdentifier(),
                protocolIdentifier: try target.protocolIdentifier(), targetPortGroup: group.id,
                targetName: member.wwn, portalGroupTag: member.tag)
            // Fabrics without an enable file (loopback) are always on.
            return (port, try target.isEnabled() ?? true)
        } catch {
            return nil
        }
    }

    private static func support(_ type: TargetPortGroupAttributes.AccessType) -> TargetPortGroupSupport {
        switch type {
        // As the original: a group without a type is told as implicit. Explicit transitions are not served.
        case .none, .implicit, .explicit, .implicitAndExplicit: .implicit
        }
    }

    private static func description(
        _ group: TargetPortGroupAttributes, ports: [UInt16]
    ) -> TargetPortGroupDescription {
        var supported = SupportedStates()
        let states = group.supportedStates
        if states.activeOptimized { supported.insert(.activeOptimized) }
        if states.activeNonOptimized { supported.insert(.activeNonOptimized) }
        if states.standby { supported.insert(.standby) }
        if states.unavailable { supported.insert(.unavailable) }
        if states.lbaDependent { supported.insert(.logicalBlockDependent) }
        if states.offline { supported.insert(.offline) }
        if states.transitioning { supported.insert(.transitioning) }
        return TargetPortGroupDescription(
            preferred: group.isPreferred, state: group.accessState, supportedStates: supported.rawValue,
            identifier: group.id, status: group.accessStatus.rawValue, relativePortIdentifiers: ports)
    }
}
