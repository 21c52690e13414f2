internal import BlockBackend
internal import CRBD
internal import SystemPackage

extension RBDImage {
    /// What a unit on this image may advertise as far as the image and its settings decide it, the pool's device class apart.
    ///
    /// - Parameters:
    ///   - blockSize: bytes of the unit's logical block.
    ///   - notes: takes what the operator should know.
    func capabilities(
        _ options: RBDOptions, blockSize: UInt32, _ notes: inout [String]
    ) throws(BackendError) -> BackendCapabilities {
        let layout = try layout()
        let settings = try effectiveSettings([
            "rbd_cache", "rbd_discard_granularity_bytes", "rbd_persistent_cache_mode",
            "rbd_disable_zero_copy_writes",
            "rbd_blocklist_on_break_lock", "rbd_blocklist_expire_seconds", "rbd_journal_max_payload_bytes",
        ])
        let geometry = ImageGeometry(
            objectBytes: layout.objectBytes, stripeUnitBytes: layout.stripeUnitBytes,
            discardGranularityBytes: settings["rbd_discard_granularity_bytes"].flatMap(leadingNumber) ?? 65536,
            blockBytes: UInt64(blockSize), libraryVersion: loadedLibraryVersion())

        var capabilities = BackendCapabilities()
        capabilities.readOnly = options.readOnly || options.snapshot != nil
        if !capabilities.readOnly {
            capabilities.discard = geometry.discard
            capabilities.nativeWriteSame = true
            capabilities.steps = geometry.steps
            capabilities.nativeWriteZeroes = true
            capabilities.nativeCompareAndWriteBytes = geometry.compareAndWriteBytes
        }
        // Image and pool metadata outrank what a client sets, so the cache can be on in spite of us.
        capabilities.volatileCache = settings["rbd_cache"] == "true"
        capabilities.forceUnitAccess = !capabilities.volatileCache
        if capabilities.volatileCache {
            notes.append(
                "rbd_cache is forced on by pool or image metadata; the unit reports a volatile write cache")
        }
        if !capabilities.readOnly {
            capabilities.hasOtherWriters = hasExclusiveLock() == false
            try checkJournal(settings["rbd_journal_max_payload_bytes"], options.spec)
            noteHazards(settings, &notes)
            // A cache writes back in pieces of its own, and a journal's replay may end between two of one write.
            let hasPersistentCache = settings["rbd_persistent_cache_mode"].map { $0 != "disabled" } ?? false
            if !capabilities.volatileCache && !hasPersistentCache && hasJournal() == false {
                capabilities.atomicWriteBytes = geometry.atomicWriteBytes
            }
        }
        capabilities.reportsAllocation = true
        capabilities.reportsSpace = true
        if options.encryption != nil { capabilities.restrict(toEncrypted: encryptionHeaderBytes, geometry) }
        capabilities.optimalTransferBytes = layout.stripeUnitBytes
        // Bound: librbd 16.2 has none (31,000 tried); a ring entry never holds this many.
        capabilities.maximumSegments = 16_384
        return capabilities
    }

    /// Refuses a journal whose entries have no room for an event: librbd asserts that they have with each write
    /// (`Journal::append_write_event`, Ceph 16 to 19), and pool or image metadata can set it to anything.
    ///
    /// - Throws: EINVAL.
    private func checkJournal(_ setting: String?, _ spec: String) throws(BackendError) {
        guard hasJournal() != false, let setting, let bytes = leadingNumber(setting), bytes > 0, bytes < 4096 else {
            return
        }
        throw BackendError(
            .invalidArgument,
            """
            image \(spec) has a journal, and rbd_journal_max_payload_bytes is \(bytes), by its metadata, its pool's or ceph.conf; \
            expected 0 (no limit) or at least 4096
            """)
    }

    /// What makes writing less safe than it might be.
    private func noteHazards(_ settings: [String: String], _ notes: inout [String]) {
        if settings["rbd_blocklist_on_break_lock"] == "false" {
            notes.append(
                "rbd_blocklist_on_break_lock is forced off by pool or image metadata: other clients that take the lock away fence nobody"
            )
        }
        if let expiry = settings["rbd_blocklist_expire_seconds"], expiry != "0" {
            notes.append(
                """
                rbd_blocklist_expire_seconds is \(expiry) by pool or image metadata; expected 0. This gateway fences for the \
                monitors' own time all the same, but other clients fence for no longer, or cannot take a dead one's lock
                """)
        }
        if settings["rbd_disable_zero_copy_writes"] == "false" {
            notes.append(
                "rbd_disable_zero_copy_writes is off: writes that a stalled OSD has not taken outlast osd_op_timeout"
            )
        }
        if hasExclusiveLock() == false {
            notes.append(
                "the image lacks the exclusive-lock feature: nothing keeps a second gateway from writing it, so that neither ORWRITE nor COMPARE AND WRITE of more than librbd does in one step is served"
            )
        }
    }
}
