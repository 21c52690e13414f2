internal import CRBD
internal import SystemPackage

// How long a cluster takes to notice a dead OSD: `osd_heartbeat_grace` + `osd_heartbeat_interval` of the OSDs, 26 s by
// default. A client sees its own configuration only, where [osd] of ceph.conf and `ceph config set osd` do not count.

extension RadosContext {
    /// That time in seconds as this client's configuration has it.
    var osdDetectionSeconds: Int {
        detectionSeconds(grace: setting("osd_heartbeat_grace"), interval: setting("osd_heartbeat_interval"))
    }
}

extension RadosCluster {
    /// That time in seconds as the monitors' configuration has it for all OSDs; what one OSD has for itself, or in a ceph.conf
    /// of its own, is not in it. Blocks for two monitor commands.
    ///
    /// - Returns: EACCES for a user that may not read the configuration: it takes mon `allow r`, which `profile rbd` is not.
    func osdDetectionSeconds() -> Result<Int, Errno> {
        configuration("osd_heartbeat_grace").flatMap { grace in
            configuration("osd_heartbeat_interval").map { detectionSeconds(grace: grace, interval: $0) }
        }
    }

    private func configuration(_ key: String) -> Result<String, Errno> {
        monitorCommand("{\"prefix\": \"config get\", \"who\": \"osd\", \"key\": \"\(key)\"}")
    }
}

private func detectionSeconds(grace: String?, interval: String?) -> Int {
    func seconds(_ text: String?) -> Int? { text.flatMap(leadingNumber).map(Int.init(clamping:)) }
    // Bound: a day; keeps the sum of absurd values from overflowing.
    return min(seconds(grace) ?? 20, 86_400) + min(seconds(interval) ?? 6, 86_400)
}
