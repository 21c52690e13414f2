package import BlockBackend

extension BackendCapabilities {
    /// Takes away what librbd's encryption takes away; to be called with the capabilities of the same image unencrypted.
    ///
    /// Observed with librbd 16.2: a discard becomes a write of encrypted zeros, so it reads zeros, but frees nothing and fills
    /// what was empty; the diff has the offsets of the raw image. Writing zeros and write-same work as ever, because they
    /// are carried out on plain text by the client. Compare-and-write compares what is encrypted: a block that was never
    /// written reads zeros and differs from zeros, so the unit has to do it.
    ///
    /// - Parameters:
    ///   - headerBytes: how far the encryption shifts the blocks.
    ///   - geometry: the image's, without encryption.
    package mutating func restrict(toEncrypted headerBytes: UInt64, _ geometry: ImageGeometry) {
        discard = nil
        reportsAllocation = false
        nativeCompareAndWriteBytes = 0
        // A window must not lie across two objects after the shift. `rbd` makes headers of whole objects, other tools need not.
        let unit = geometry.stripeUnitBytes
        if unit == 0 || headerBytes % unit != 0 {
            atomicWriteBytes = 0
        }
    }
}
