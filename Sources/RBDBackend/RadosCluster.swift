internal import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

/// A librados client: its configuration, its connection and its threads. Closed when it goes out of scope.
///
/// Each unit has one of its own: a cluster blocklists whole clients, so sharing one lets a single fenced image
/// take its neighbours down.
struct RadosCluster: ~Copyable {
    let handle: rados_t
    /// Cephx user for messages: `client.admin`.
    let user: String

    /// A client for `client.<id>` that has read no configuration yet. - Throws: ENOMEM and the like.
    init(id: String?) throws(BackendError) {
        var handle: rados_t?
        user = "client." + (id ?? "admin")
        let code = rados_create(&handle, id)
        guard code >= 0, let handle else {
            throw failure(code, "cannot make a librados client for \(user)", expected: "a valid cephx id")
        }
        self.handle = handle
    }

    deinit {
        rados_shutdown(handle)
    }

    /// Value of option `name`, or nil where librados knows none.
    func setting(_ name: String) -> String? {
        textBuffer(4096) { rados_conf_get(handle, name, $0, $1) }
    }

    /// Sets option `name`. - Throws: ENOENT for an unknown name, EINVAL for a value it does not take.
    func set(_ name: String, _ value: String) throws(BackendError) {
        let code = rados_conf_set(handle, name, value)
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
            let code = rados_conf_read_file(handle, nil)
            if code >= 0 || code == -ENOENT { return nil }
            return "default ceph.conf not used: \(reason(Errno(rawValue: -code)))"
        }
        // librados reports some files that it cannot read as a parse error; ask the kernel first.
        do throws(Errno) {
            try checkReadable(path)
        } catch {
            throw BackendError(error, "cannot read conf \(path): \(error); expected a readable ceph.conf")
        }
        let code = rados_conf_read_file(handle, path)
        if code < 0 { throw failure(code, "cannot use conf \(path)", expected: "a well-formed ceph.conf") }
        return nil
    }

    /// Connects; returns when the cluster's maps are here. Blocks up to `client_mount_timeout` seconds.
    func connect() throws(BackendError) {
        let code = rados_connect(handle)
        guard code < 0 else { return }
        let monitors = setting("mon_host") ?? ""
        throw failure(
            code, "cannot connect to the cluster as \(user) (mon_host \(monitors.isEmpty ? "not set" : monitors))",
            expected: "a reachable monitor and a keyring for \(user)")
    }

    /// Runs monitor command `json`. - Returns: its output, or the negative errno in `Errno`'s positive form.
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

/// Opens `path` and reads a byte. - Throws: what the kernel says: ENOENT, EACCES, EISDIR…
private func checkReadable(_ path: String) throws(Errno) {
    do {
        let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
        try file.closeAfter {
            try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { _ = try file.read(into: $0) }
        }
    } catch let error as Errno {
        throw error
    } catch {
        throw .ioError
    }
}
