internal import Glibc

/// What must be the same for two images to use the same librados client or its context: everything that is set
/// before connecting.
package struct ClientProfile: Hashable, Sendable {
    /// Path of ceph.conf; nil is librados' search.
    package let confPath: String?
    /// Cephx user without its `client.`.
    package let cephxID: String?
    /// `osd_op_timeout` in seconds, as the unit has it.
    package let osdOperationTimeoutSeconds: Int?
    /// Limit of the connect in seconds.
    package let connectTimeoutSeconds: Int
    /// Options set over ceph.conf.
    package let settings: [RBDSetting]

    /// That of `options`. Of a setting given twice the last one counts; their order means nothing.
    package init(_ options: RBDOptions) {
        confPath = options.confPath
        cephxID = options.cephxID
        osdOperationTimeoutSeconds = options.osdOperationTimeoutSeconds
        connectTimeoutSeconds = options.connectTimeoutSeconds
        var last: [String: String] = [:]
        for setting in options.settings { last[setting.name] = setting.value }
        settings = last.keys.sorted().map { RBDSetting($0, last[$0] ?? "") }
    }

    /// What is different in `other`, each with both values; nil where nothing is.
    package func difference(from other: ClientProfile) -> String? {
        var differences: [String] = []
        func compare(_ name: String, _ mine: String?, _ theirs: String?) {
            guard mine != theirs else { return }
            differences.append("\(name) \(mine ?? "not set") instead of \(theirs ?? "not set")")
        }
        compare("conf", confPath, other.confPath)
        compare("id", cephxID, other.cephxID)
        compare(
            "osd_op_timeout", osdOperationTimeoutSeconds.map { "\($0)" },
            other.osdOperationTimeoutSeconds.map { "\($0)" })
        compare("connect timeout", "\(connectTimeoutSeconds)", "\(other.connectTimeoutSeconds)")
        let names = Set((settings + other.settings).map(\.name))
        for name in names.sorted() { compare(name, value(of: name), other.value(of: name)) }
        return differences.isEmpty ? nil : differences.joined(separator: ", ")
    }

    private func value(of name: String) -> String? { settings.first { $0.name == name }?.value }
}

/// Which state of ceph.conf a context was made from: a file that has been changed makes a new one.
struct ConfStamp: Hashable, Sendable {
    private let stamps: [[Int]]

    /// Of the files that librados reads for `path`.
    init(_ path: String?) {
        // Of librados' four default places these two are where gateways have it.
        let standard = [getenv("CEPH_CONF").map { String(cString: $0) }, "/etc/ceph/ceph.conf"].compactMap(\.self)
        stamps = (path.map { [$0] } ?? standard).map { path in
            var status = stat()
            guard stat(path, &status) == 0 else { return [] }
            return [
                Int(clamping: status.st_dev), Int(clamping: status.st_ino), status.st_size, status.st_mtim.tv_sec,
                status.st_mtim.tv_nsec,
            ]
        }
    }
}
