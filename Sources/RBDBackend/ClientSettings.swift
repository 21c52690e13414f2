internal import BlockBackend

extension RadosCluster {
    /// Everything that is set before connecting: ceph.conf, the unit's own settings, the bounds on waiting.
    ///
    /// - Returns: lines for the log.
    func configure(_ options: RBDOptions) throws(BackendError) -> [String] {
        var notes: [String] = []
        let waits = ["client_mount_timeout", "rados_mon_op_timeout"]
        let defaults = waits.map { setting($0) }
        if let note = try readConfiguration(options.confPath) { notes.append(note) }
        for (name, before) in zip(waits, defaults) where setting(name) == before {
            // Stock values are 300 s and no limit. A conf that writes exactly those down is not told apart.
            try set(name, String(options.connectTimeoutSeconds))
        }
        for entry in options.settings { try set(entry.name, entry.value) }
        // The unit advertises no volatile cache, and zero-copy writes need the cache off.
        try set("rbd_cache", "false")

        let timeout = OperationTimeout(
            configured: options.osdOperationTimeoutSeconds,
            cluster: seconds("rados_osd_op_timeout"),
            heartbeatGrace: seconds("osd_heartbeat_grace") ?? 20,
            heartbeatInterval: seconds("osd_heartbeat_interval") ?? 6)
        try set("rados_osd_op_timeout", String(timeout.seconds))
        if let note = timeout.note { notes.append(note) }
        return notes
    }

    private func seconds(_ name: String) -> Int? {
        setting(name).flatMap(leadingNumber).map(Int.init(clamping:))
    }
}
