/// Where an RBD image is and how it is opened:
/// `<pool>[/<namespace>]/<image>[@<snapshot>][;osd_op_timeout=<seconds>;conf=<path>;id=<name>]`.
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
    /// Options of other daemons or with a spelling mistake, as written: skipped, as the original does, but worth a
    /// line in the log.
    public let ignoredOptions: [String]

    /// Parses what follows `rbd/`. Options come in any order; given more than once, the last one counts.
    ///
    /// - Throws: if a name or a value is empty, or the image has more parts than pool, namespace, image and snapshot.
    ///   The original took `pool/a/b` for an image called `a/b`, which librbd has never allowed.
    public init(parsing parameters: String) throws(ConfigurationError) {
        let text = Substring(parameters)
        let (specification, options) = text.cut(atFirst: ";") ?? (text, "")
        (pool, namespace, image, snapshot) = try Self.names(specification)

        var timeout: UInt32?
        var file: String?
        var name: String?
        var ignored: [String] = []
        for option in ConfigurationOption.list(options) {
            if option.key.isExactly("osd_op_timeout") {
                timeout = try seconds(
                    option.requiredValue(expected: "a whole number of seconds"), field: "osd_op_timeout")
            } else if option.key.isExactly("conf") {
                file = String(try option.requiredValue(expected: "the path of a ceph.conf"))
            } else if option.key.isExactly("id") {
                name = String(try option.requiredValue(expected: "a cephx name without the client. in front"))
            } else {
                ignored.append(String(option.text))
            }
        }
        operationTimeout = timeout
        configurationFile = file
        user = name
        ignoredOptions = ignored
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
