internal import Configuration
internal import RBDBackend

extension RBDOptions {
    /// What a unit's configuration text says of its image.
    init(_ image: RBDConfiguration) {
        self.init(pool: image.pool, image: image.image)
        namespace = image.namespace
        snapshot = image.snapshot
        osdOperationTimeoutSeconds = image.operationTimeout.map { Int($0) }
        confPath = image.configurationFile
        cephxID = image.user
        connectionGroup = image.connectionGroup
        settings = image.clientSettings.map { RBDSetting($0.key, $0.value) }
    }
}
