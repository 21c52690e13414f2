internal import ALUA
internal import KernelFiles
internal import LogicalUnit
internal import SCSI
internal import SystemPackage

/// Reads what initiators are told about a unit and configfs alone knows: serial number, target ports and their
/// groups. Blocking; for a thread of its own, never while the device is being removed.
struct FactsReader: Sendable {
    let tree: ConfigFSTree
    let backstore: Backstore

    /// What was read, and a line about everything that was left out.
    struct Reading: Sendable {
        var facts: BackstoreFacts
        var skipped: [String] = []
    }

    /// What configfs says now, all that ``FactsRequest`` asks for. Settles the groups first (``readAndSettle()``).
    func answer(_ request: FactsRequest) throws(KernelFileError) -> Reading {
        var reading = try readAndSettle()
        guard request.wantsExclusion else { return reading }
        do throws(KernelFileError) {
            reading.facts.exclusion = try exclusion()
        } catch {
            reading.skipped.append(
                """
                whom the kernel keeps from writing is not known, so commands that change the medium without Data-Out get \
                BUSY: \(error)
                """)
        }
        return reading
    }

    /// Whom LIO keeps from the medium.
    func exclusion() throws(KernelFileError) -> Exclusion {
        let reservation: Exclusion.Reservation =
            switch try backstore.reservation() {
            case .free: .none
            case .scsi2: .scsi2
            case .writeExclusive: .writeExclusive
            case .exclusiveAccess: .exclusiveAccess
            }
        return Exclusion(
            reservation: reservation, hasReadOnlyMapping: try tree.hasReadOnlyMapping(of: backstore))
    }

    /// What configfs says now.
    ///
    /// A group that has not been set up (it has no number yet) or a port that cannot be read is left out; the
    /// original answers INQUIRY with INTERNAL TARGET FAILURE for one such group.
    ///
    /// - Throws: if the serial or the list of groups cannot be read.
    func read() throws(KernelFileError) -> Reading {
        var reading = Reading(facts: BackstoreFacts(serial: try backstore.unitSerial()))
        reading.facts.servesReservations = try backstore.servesReservations()
        if !reading.facts.isNamed {
            reading.skipped.append(
                """
                NAA and T10 designators, VPD page 80h and EXTENDED COPY, since wwn/vpd_unit_serial is not set: without a \
                serial number of its own nothing tells the LUN from others. Write one before initiators use it over \
                several paths
                """)
        }
        // The unit has to know when an initiator was told that a command is over. Nothing else depends on it.
        if let seconds = try? backstore.commandTimeout() {
            reading.facts.commandTimeoutSeconds = UInt32(clamping: seconds)
        }
        var support = TargetPortGroupSupport.none
        for name in try backstore.targetPortGroupNames() {
            let group: TargetPortGroupAttributes
            do throws(KernelFileError) {
                group = try backstore.targetPortGroup(name)
            } catch {
                reading.skipped.append(error.description)
                continue
            }
            let ports = group.members.compactMap { port(of: $0, in: group) }
            // As the original: one port group is enabled here, and its first port stands for the unit.
            if reading.facts.port == nil, let enabled = ports.first(where: \.isEnabled) {
                reading.facts.port = enabled.port
                support = Self.support(group.accessType)
                reading.facts.implicitTransitionSeconds = UInt8(clamping: group.implicitTransitionSeconds)
            }
            let identifiers = ports.map(\.port.relativeIdentifier)
            reading.facts.targetPortGroups.append(Self.description(group, ports: identifiers))
        }
        if reading.facts.port == nil { reading.facts.targetPortGroups = [] }
        reading.facts.targetPortGroups.sort { $0.identifier < $1.identifier }
        reading.facts.targetPortGroupSupport = support
        return reading
    }

    private func port(
        of member: TargetPortGroupMember, in group: TargetPortGroupAttributes
    ) -> (port: UnitIdentity.Port, isEnabled: Bool)? {
        let target = tree.targetPort(member)
        do throws(KernelFileError) {
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
        // As the original: a group without a type is told as implicit.
        case .none, .implicit: .implicit
        case .explicit: .explicit
        case .implicitAndExplicit: .implicitAndExplicit
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
