internal import BlockBackend
internal import CRBD
internal import SystemPackage

/// A connection: a librados client, closed with its last user.
///
/// Each unit has one of its own unless units are grouped on purpose: a cluster blocklists whole clients, so sharing one
/// lets a single fenced image take its neighbours down (docs/adr/0010).
final class RadosCluster: @unchecked Sendable {
    // SAFETY: librados' calls may come from any thread.
    let handle: rados_t
    /// Released after the connection is closed.
    let context: RadosContext
    /// Cephx user for messages: `client.admin`.
    var user: String { context.user }
    /// The client's number in the cluster, as `ceph osd dump` and lock owners have it.
    var instanceID: UInt64 { rados_get_instance_id(handle) }

    /// Connects; returns when the cluster's maps are here.
    init(_ context: RadosContext) throws(BackendError) {
        let handle = try context.makeClient()
        let code = rados_connect(handle)
        guard code >= 0 else {
            rados_shutdown(handle)
            let monitors = context.setting("mon_host") ?? ""
            throw failure(
                code,
                "cannot connect to the cluster as \(context.user) (mon_host \(monitors.isEmpty ? "not set" : monitors))",
                expected:
                    "a reachable monitor, a keyring for \(context.user) and its mon capability \"profile rbd\"")
        }
        self.handle = handle
        self.context = context
    }

    deinit {
        rados_shutdown(handle)
    }

    /// Runs monitor command `json`. Returns its output, or the negative errno in `Errno`'s positive form.
    func monitorCommand(_ json: String) -> Result<String, Errno> {
        RadosCluster.monitorCommand(handle, json)
    }

    /// As above, for threads that the owner waits for and that have its handle only.
    static func monitorCommand(_ handle: rados_t, _ json: String) -> Result<String, Errno> {
        var output: UnsafeMutablePointer<CChar>?
        var outputLength = 0
        var status: UnsafeMutablePointer<CChar>?
        var statusLength = 0
        let code = json.withCString { text -> CInt in
            var command: UnsafePointer<CChar>? = text
            return rados_mon_command(
                handle, &command, 1, nil, 0, &output, &outputLength, &status, &statusLength)
        }
        defer {
            if let output { rados_buffer_free(output) }
            if let status { rados_buffer_free(status) }
        }
        guard code >= 0 else { return .failure(Errno(rawValue: -code)) }
        guard let output else { return .success("") }
        return .success(
            String(decoding: UnsafeRawBufferPointer(start: output, count: outputLength), as: UTF8.self))
    }
}
