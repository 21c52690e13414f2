import SystemPackage

extension Backstore {
    /// Names of the device's target port groups in byte order, without `default_tg_pt_gp`: the kernel makes that one
    /// for every device and puts LUNs in it that nobody has grouped; the original leaves it out as well.
    public func targetPortGroupNames() throws(KernelFileError) -> [String] {
        try directoryEntries(directory.appending("alua")).filter { $0 != "default_tg_pt_gp" }
    }

    /// All attributes of one group. Every one must be readable, as the original wants it: a group without a number
    /// has not been set up yet and fails here.
    public func targetPortGroup(_ name: String) throws(KernelFileError) -> TargetPortGroupAttributes {
        guard let directory = directory.appending("alua").adding(name) else {
            throw KernelFileError(
                path: directory.appending("alua").string,
                reason: .malformed(value: name, expected: "a group's name without /"))
        }
        let group = GroupDirectory(path: directory)
        return TargetPortGroupAttributes(
            name: name,
            id: try group.file("tg_pt_gp_id").number(in: 0...UInt16.max),
            accessState: try group.file("alua_access_state").number(in: 0...15),
            accessStatus: try group.word(
                "alua_access_status", TargetPortGroupAttributes.AccessStatus.allCases, \.words),
            accessType: try group.word(
                "alua_access_type", TargetPortGroupAttributes.AccessType.allCases, \.rawValue),
            supportedStates: try group.supportedStates(),
            isPreferred: try group.file("preferred").flag(),
            implicitTransitionSeconds: try group.count("implicit_trans_secs"),
            nonOptimizedDelayMilliseconds: try group.count("nonop_delay_msecs"),
            transitionDelayMilliseconds: try group.count("trans_delay_msecs"),
            members: try group.members())
    }

    /// Puts a group into an access state, and says why (`alua_access_state`, `alua_access_status`).
    ///
    /// The kernel takes a state here only of groups that the target may change (access types implicit, and both); one
    /// that is explicit alone is made both for the moment. It gives initiators on the group's ports a unit attention, and
    /// serves or refuses their commands by the new state.
    ///
    /// - Throws: EINVAL where the group does not support the state.
    public func setAccessState(
        _ state: UInt8, _ status: TargetPortGroupAttributes.AccessStatus, of group: TargetPortGroupAttributes
    ) throws(KernelFileError) {
        guard let path = directory.appending("alua").adding(group.name) else { return }
        let files = GroupDirectory(path: path)
        guard group.accessType == .explicit else { return try files.set(state, status) }
        try files.file("alua_access_type").write("3")
        let failure: KernelFileError?
        do throws(KernelFileError) {
            try files.set(state, status)
            failure = nil
        } catch {
            failure = error
        }
        try files.file("alua_access_type").write("2")
        if let failure { throw failure }
    }

    /// Every portal group that offers the device, in whatever group of ports: also in `default_tg_pt_gp`, where those are
    /// that nobody has grouped.
    public func portalGroups() throws(KernelFileError) -> [PortalGroup] {
        var groups: [PortalGroup] = []
        let alua = directory.appending("alua")
        for name in try directoryEntries(alua) {
            guard let path = alua.adding(name) else { continue }
            for member in try GroupDirectory(path: path).members() {
                let group = PortalGroup(of: member)
                if !groups.contains(group) { groups.append(group) }
            }
        }
        return groups
    }
}

/// The directory `alua/<group>` of a device.
private struct GroupDirectory {
    let path: FilePath

    func file(_ name: String) -> AttributeFile { AttributeFile(path: path.appending(name)) }

    func count(_ name: String) throws(KernelFileError) -> UInt32 {
        try file(name).number(in: 0...UInt32(Int32.max))
    }

    /// The value whose words the kernel shows in `name`.
    func word<Value: Sendable>(
        _ name: String, _ values: [Value], _ words: KeyPath<Value, String>
    ) throws(KernelFileError) -> Value {
        let text = try file(name).text()
        guard let value = values.first(where: { $0[keyPath: words] == text }) else {
            let expected = values.map { $0[keyPath: words].debugDescription }.joined(separator: ", ")
            throw file(name).malformed(text, expected: "one of \(expected)")
        }
        return value
    }

    func supportedStates() throws(KernelFileError) -> TargetPortGroupAttributes.SupportedStates {
        var states = TargetPortGroupAttributes.SupportedStates()
        states.activeOptimized = try file("alua_support_active_optimized").flag()
        states.activeNonOptimized = try file("alua_support_active_nonoptimized").flag()
        states.standby = try file("alua_support_standby").flag()
        states.unavailable = try file("alua_support_unavailable").flag()
        states.offline = try file("alua_support_offline").flag()
        states.transitioning = try file("alua_support_transitioning").flag()
        states.lbaDependent = try file("alua_support_lba_dependent").flag()
        return states
    }

    func set(
        _ state: UInt8, _ status: TargetPortGroupAttributes.AccessStatus
    ) throws(KernelFileError) {
        try file("alua_access_state").write("\(state)")
        try file("alua_access_status").write("\(status.rawValue)")
    }

    func members() throws(KernelFileError) -> [TargetPortGroupMember] {
        let file = file("members")
        do {
            return try TargetPortGroupMember.list(file.bytes())
        } catch let error as TargetPortGroupMember.MalformedMember {
            throw file.malformed(error.line, expected: "<fabric>/<wwn>/tpgt_<tag>/<lun>")
        } catch let error as KernelFileError {
            throw error
        } catch {
            throw KernelFileError(path: path.string, reason: .unreadable(.ioError))
        }
    }
}
