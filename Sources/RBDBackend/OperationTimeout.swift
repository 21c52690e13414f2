/// How long an operation waits for its OSD before it fails with ETIMEDOUT (`rados_osd_op_timeout`).
///
/// The wait must outlast the cluster's own detection of a dead OSD, which takes M = `osd_heartbeat_grace` +
/// `osd_heartbeat_interval` seconds: shorter, and every lost OSD costs initiators an error although the cluster
/// would have recovered. Rule of the original: the configured value if longer than M, else ceph.conf's if longer
/// than M, else M + 5.
package struct OperationTimeout: Sendable, Equatable {
    /// The wait in force.
    package let seconds: Int
    /// Why it is not what was configured, for the log; nil where nothing needs saying.
    package let note: String?

    /// Applies the rule. All values are seconds.
    ///
    /// - Parameters:
    ///   - configured: `osd_op_timeout` of the unit, if any.
    ///   - cluster: `rados_osd_op_timeout` of ceph.conf; 0 or nil is "no limit".
    package init(configured: Int?, cluster: Int?, heartbeatGrace: Int, heartbeatInterval: Int) {
        // Bound: a century; keeps the sum of absurd values from overflowing.
        let limit = 3_155_760_000
        let grace = min(max(heartbeatGrace, 0), limit)
        let interval = min(max(heartbeatInterval, 0), limit)
        let detection = grace + interval
        if let configured, configured > detection {
            seconds = min(configured, limit)
            note = nil
            return
        }
        let fromConf = cluster ?? 0
        seconds = fromConf > detection ? min(fromConf, limit) : detection + 5
        let because = "a dead OSD is noticed after \(detection) s (osd_heartbeat_grace + osd_heartbeat_interval)"
        if let configured {
            note = "osd_op_timeout \(configured) is too short, \(because); using \(seconds) s"
        } else if fromConf > detection {
            note = nil
        } else if fromConf > 0 {
            note = "rados_osd_op_timeout \(fromConf) is too short, \(because); using \(seconds) s"
        } else {
            note = "osd_op_timeout is not set; using \(seconds) s, \(because)"
        }
    }
}
