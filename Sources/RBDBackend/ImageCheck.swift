public import BlockBackend

extension RBDBackend {
    /// Connects, opens the image as a unit would and closes it again; takes no lock. Blocks, bounded by the connect and OSD
    /// time-outs; to be called on a thread of its own.
    ///
    /// - Throws: what ``open(_:expectedSize:blockSize:)`` throws, the size apart: the first of cluster, user, pool,
    ///   namespace, image, snapshot and features that will not do.
    public static func check(_ options: RBDOptions) throws(BackendError) {
        try options.validate()
        let claim = try options.claim(group: nil)
        defer { withExtendedLifetime(claim) {} }
        // Never the connection of a group: it may be another's, and a check leaves nothing behind.
        let connection = try RadosConnections.shared.connect(ClientProfile(options), group: nil, under: claim)
        let pool = try IOContext(connection, pool: options.pool, namespace: options.namespace)
        let image = try RBDImage(pool, options)
        // Reads the header, which the rights to open it do not say everything about.
        _ = try image.size()
        try image.checkFeatures(options.spec)
        try image.checkDataPool(options, readOnly: options.readOnly || options.snapshot != nil)
    }
}
