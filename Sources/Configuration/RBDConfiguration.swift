/// Where an RBD image is and how it is opened:
/// `<pool>[/<namespace>]/<image>[@<snapshot>][;osd_op_timeout=<seconds>;conf=<path>;id=<name>]`, and further
/// `;connection_group=<name>` and the options of Ceph in ``clientOptions``.
public struct RBDConfiguration: Equatable, Sendable {
    /// The pool's name.
    public let pool: String
    /// The namespace within the pool; nil is the default one.
    public let namespace: String?
    /// The image's name.
    public let image: String
    /// The snapshot to serve, read-only; nil is the image's head.
    public let snapshot: String?
    /// How long RADOS may take for one operation, in seconds, before the connection counts as lost; nil leaves the
    /// choice to the backend.
    public let operationTimeout: UInt32?
    /// Path of the cluster's configuration file; nil is Ceph's own search path.
    public let configurationFile: String?
    /// Cephx name without the `client.` in front; nil is `admin`.
    public let user: String?
    /// Images with the same name here share one connection to the cluster; nil is a connection of its own.
    public let connectionGroup: String?
    /// Options for Ceph's client libraries by name; values as written, for Ceph to judge.
    public let clientSettings: [String: String]
    /// Options of other daemons or with a spelling mistake, as written: skipped, as the original does, but worth a
    /// line in the log.
    public let ignoredOptions: [String]

    /// Options of librbd and librados that a unit's text may set over ceph.conf. Few on purpose: what belongs to an
    /// image can be in its metadata (`rbd config image set`), and what belongs to the host in ceph.conf.
    public static let clientOptions: [StaticString] = [
        "rbd_non_blocking_aio", "rbd_disable_zero_copy_writes", "librados_thread_count", "ms_async_op_threads",
        "objecter_inflight_ops", "objecter_inflight_op_bytes",
    ]

    /// Parses what follows `rbd/`. Options come in any order; given more than once, the last one counts.
    ///
    /// - Throws: if a name or a value is empty, or the image has more parts than pool, namespace, image and snapshot.
    ///   The original took `pool/a/b` for an image called `a/b`, which librbd has never allowed.
    public init(parsing parameters: String) throws(ConfigurationError) {
        let text = Substring(Self.withoutIdleSeparators(parameters))
        let (specification, options) = text.cut(atFirst: ";") ?? (text, "")
        (pool, namespace, image, snapshot) = try Self.names(specification)

        var timeout: UInt32?
        var file: String?
        var name: String?
        var group: String?
        var settings: [String: String] = [:]
        var ignored: [String] = []
        for option in ConfigurationOption.list(options) {
            if option.key.isExactly("osd_op_timeout") {
                timeout = try seconds(
                    option.requiredValue(expected: "a whole number of seconds"), field: "osd_op_timeout")
            } else if option.key.isExactly("conf") {
                file = String(try option.requiredValue(expected: "the path of a ceph.conf"))
            } else if option.key.isExactly("id") {
                name = String(try option.requiredValue(expected: "a cephx name without the client. in front"))
            } else if option.key.isExactly("connection_group") {
                group = String(try option.requiredValue(expected: "the name of a group"))
            } else if Self.clientOptions.contains(where: { option.key.isExactly($0) }) {
                settings[String(option.key)] = try Self.setting(option)
            } else {
                ignored.append(String(option.text))
            }
        }
        operationTimeout = timeout
        configurationFile = file
        user = name
        connectionGroup = group
        clientSettings = settings
        ignoredOptions = ignored
    }

    /// `parameters` without what means nothing in them: slashes in front of the pool, as in `rbd//pool/image`, and semicolons in
    /// front of the image, as in `rbd/pool/;image`. The original takes both (strtok_r skips separators).
    static func withoutIdleSeparators(_ parameters: String) -> String {
        let text = Substring(Substring(parameters).unicodeScalars.drop { $0 == "/" })
        guard let (pool, rest) = text.cut(atFirst: "/"), !pool.unicodeScalars.contains(";") else {
            return String(text)
        }
        return "\(pool)/\(Substring(rest.unicodeScalars.drop { $0 == ";" }))"
    }

    /// The value of one of ``clientOptions``. Ceph bounds most of them itself, but starts as many threads as it is told,
    /// and ends the process when it cannot.
    private static func setting(_ option: ConfigurationOption) throws(ConfigurationError) -> String {
        let value = try option.requiredValue(expected: "a value that Ceph takes")
        if option.key.isExactly("librados_thread_count") || option.key.isExactly("ms_async_op_threads") {
            let isNumber = value.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            guard isNumber, let count = Int(value), (1...24).contains(count) else {
                throw ConfigurationError(
                    field: String(option.key), value: String(value), expected: "1 to 24 threads")
            }
        }
        return String(value)
    }

    /// `parameters` without the options that only say how the image is reached. They came after the original, and setting
    /// one must not make another device of the unit to those who read the text in VPD page 83h.
    public static func identity(of parameters: String) -> String {
        let parts = Substring(parameters).parts(separatedBy: ";")
        let kept = parts.dropFirst().filter { part in
            let key = part.cut(atFirst: "=")?.before ?? part
            return !key.isExactly("connection_group") && !clientOptions.contains(where: { key.isExactly($0) })
        }
        return ([parts[0]] + kept).joined(separator: ";")
    }

    private static func names(
        _ specification: Substring
    ) throws(ConfigurationError) -> (pool: String, namespace: String?, image: String, snapshot: String?) {
        let expected = "<pool>[/<namespace>]/<image>[@<snapshot>]"
        let parts = specification.parts(separatedBy: "/")
        guard parts.count == 2 || parts.count == 3, let last = parts.last else {
            throw ConfigurationError(field: "image", value: String(specification), expected: expected)
        }
        let imageParts = last.parts(separatedBy: "@")
        guard imageParts.count <= 2 else {
            throw ConfigurationError(field: "image", value: String(last), expected: "at most one @<snapshot>")
        }
        let names: [(field: String, value: Substring)] =
            [("pool", parts[0])] + (parts.count == 3 ? [("namespace", parts[1])] : [])
            + [("image", imageParts[0])] + (imageParts.count == 2 ? [("snapshot", imageParts[1])] : [])
        for (field, value) in names where value.isEmpty {
            throw ConfigurationError(field: "\(field) of \(specification)", value: "", expected: expected)
        }
        return (
            String(parts[0]), parts.count == 3 ? String(parts[1]) : nil, String(imageParts[0]),
            imageParts.count == 2 ? String(imageParts[1]) : nil
        )
    }
}
