internal import BlockBackend
internal import CRBD
internal import Glibc
internal import KernelFiles
internal import Synchronization
internal import SystemPackage

/// Ceph's client context: a configuration with the threads that log and the messenger's workers. Gone with the last
/// connection that uses it.
///
/// Connections of the same profile share one. Each is a client of its own all the same, with its own sockets, address
/// and instance id, so that blocklisting one leaves the others alone; but a connection with a context of its own
/// has twice the threads and memory.
final class RadosContext: @unchecked Sendable {
    // SAFETY: changed by `make` alone, before anybody else has it; librados' calls may come from any thread.
    /// A client that never connects: it owns the configuration.
    private let root: rados_t
    /// Cephx user for messages: `client.admin`.
    let user: String
    /// Lines for the log of each unit: what was adjusted.
    private(set) var notes: [String] = []

    private let firstConnect = SharedAttempt()
    private let hasConnected = Atomic<Bool>(false)

    /// A context for `client.<id>` that has read no configuration yet. Throws ENOMEM and the like.
    private init(id: String?) throws(BackendError) {
        var handle: rados_t?
        user = "client." + (id ?? "admin")
        let code = rados_create(&handle, id)
        guard code >= 0, let handle else {
            throw failure(code, "cannot make a librados client for \(user)", expected: "a valid cephx id")
        }
        root = handle
    }

    deinit {
        rados_shutdown(root)
    }

    /// A context configured as `profile` says; does not connect.
    ///
    /// - Throws: ENOENT, EACCES… for a conf that cannot be read; EINVAL or ENOENT for a setting that Ceph does not take.
    static func make(_ profile: ClientProfile) throws(BackendError) -> RadosContext {
        let context = try RadosContext(id: profile.cephxID)
        context.notes = try context.configure(profile)
        return context
    }

    /// A connection of its own: a client with its own address and instance id. Blocks up to `client_mount_timeout`
    /// seconds, twice that where it has to wait for the context's first one.
    func connect() throws(BackendError) -> RadosCluster {
        // The first connect sets up what all share, and librados 16.2 does that without a lock: two at once end in
        // std::terminate. All later ones may overlap.
        if !hasConnected.load(ordering: .acquiring) {
            let first = try firstConnect.alone { () throws(BackendError) -> RadosCluster? in
                if hasConnected.load(ordering: .acquiring) { return nil }
                let cluster = try RadosCluster(self)
                hasConnected.store(true, ordering: .releasing)
                return cluster
            }
            if let first { return first }
        }
        return try RadosCluster(self)
    }

    /// A client on this context that has not connected.
    func makeClient() throws(BackendError) -> rados_t {
        var handle: rados_t?
        let code = rados_create_with_context(&handle, rados_cct(root))
        guard code >= 0, let handle else {
            throw failure(code, "cannot make a librados client for \(user)", expected: "memory for one more")
        }
        return handle
    }

    /// `rados_osd_op_timeout` as it is in force, in seconds; nil where librados does not tell.
    var operationTimeoutSeconds: Int? {
        setting("rados_osd_op_timeout").flatMap(leadingNumber).map { Int(clamping: $0) }
    }

    /// Value of option `name`, or nil where librados knows none.
    func setting(_ name: String) -> String? {
        textBuffer(4096) { rados_conf_get(root, name, $0, $1) }
    }

    /// Sets option `name`. Throws ENOENT for an unknown name, EINVAL for a value it does not take.
    func set(_ name: String, _ value: String) throws(BackendError) {
        let code = rados_conf_set(root, name, value)
        guard code < 0 else { return }
        throw failure(
            code, "cannot set ceph option \(name) to \(value)", expected: "an option and a value that Ceph knows")
    }

    /// Reads ceph.conf.
    ///
    /// - Parameter path: nil looks in librados' default places; then a missing file is no error, because monitors
    ///   can also come from DNS, and anything else is a note.
    /// - Returns: a line for the log, or nil.
    /// - Throws: the errno of opening or reading an explicit `path`; EINVAL where librados cannot parse it.
    func readConfiguration(_ path: String?) throws(BackendError) -> String? {
        guard let path else {
            let code = rados_conf_read_file(root, nil)
            if code >= 0 || code == -ENOENT { return nil }
            return "default ceph.conf not used: \(reason(Errno(rawValue: -code)))"
        }
        // librados reports some files that it cannot read as a parse error; ask the kernel first.
        do throws(Errno) {
            _ = try SmallFile.prefix(of: FilePath(path), 1)
        } catch {
            throw BackendError(error, "cannot read conf \(path): \(error); expected a readable ceph.conf")
        }
        let code = rados_conf_read_file(root, path)
        if code < 0 { throw failure(code, "cannot use conf \(path)", expected: "a well-formed ceph.conf") }
        return nil
    }
}
