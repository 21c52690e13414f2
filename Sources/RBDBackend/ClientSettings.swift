internal import BlockBackend
internal import Glibc

extension RadosContext {
    /// Everything that is set before connecting: ceph.conf, the unit's own settings, the bounds on waiting.
    ///
    /// - Returns: lines for the log.
    func configure(_ profile: ClientProfile) throws(BackendError) -> [String] {
        var notes: [String] = []
        let waits = ["client_mount_timeout", "rados_mon_op_timeout"]
        let workers = "ms_async_op_threads"
        let atATime = "rbd_concurrent_management_ops"
        let stock = (waits + [workers, atATime]).map { (name: $0, value: setting($0)) }
        if let note = try readConfiguration(profile.confPath) { notes.append(note) }
        // Stock values are 300 s and no limit for the waits, 10 objects at a time. A conf that writes exactly those down is not told apart.
        for (name, value) in stock where setting(name) == value {
            let cpus = sysconf(CInt(_SC_NPROCESSORS_ONLN))
            switch name {
            case workers: try set(name, String(messengerWorkers(cpus: cpus)))
            // Objects that librbd asks about at a time for GET LBA STATUS. Bound: with the stock 10, one initiator's
            // questions left a neighbour on the same OSD 23 % of its rate in the lab's storm.
            case atATime: try set(name, "2")
            default: try set(name, String(profile.connectTimeoutSeconds))
            }
        }
        for entry in profile.settings { try set(entry.name, entry.value) }
        // The unit advertises no volatile cache, and zero-copy writes need the cache off.
        try set("rbd_cache", "false")
        // Whoever breaks a lock fences its owner, or writes of the two may mix (docs/adr/0014).
        try set("rbd_blocklist_on_break_lock", "true")
        // librbd 16.2 refuses to break locks with any other value. This daemon breaks them by itself, but librbd does when it
        // takes a lock whose owner went within the same moment.
        try set("rbd_blocklist_expire_seconds", "0")

        let timeout = OperationTimeout(
            configured: profile.osdOperationTimeoutSeconds,
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

/// Workers of the messenger that all connections of a context share: one per CPU. The stock three would be one client's
/// share, and a worker is what a busy image saturates first.
package func messengerWorkers(cpus: Int) -> Int {
    // Bound: 24 is the most that librados takes.
    min(max(cpus, 3), 24)
}
