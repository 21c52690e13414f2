package import BlockBackend

extension BackendCapabilities {
    /// Takes away what librbd's encryption takes away; to be called with the capabilities of the same image unencrypted.
    ///
    /// Observed with librbd 16.2: a discard becomes a write of encrypted zeros, so it reads zeros, but frees nothing and fills
    /// what was empty; the diff has the offsets of the raw image. Writing zeros, write-same and compare-and-write
    /// work as ever, because they are carried out on plain text by the client.
    ///
    /// - Parameters:
    ///   - headerBytes: how far the encryption shifts the blocks.
    ///   - geometry: the image's, without encryption.
    package mutating func restrict(toEncrypted headerBytes: UInt64, _ geometry: ImageGeometry) {
        discard = nil
        reportsAllocation = false
        // A window must not lie across two objects after the shift. `rbd` makes headers of whole objects, other tools need not.
        let unit = geometry.stripeUnitBytes
        if unit == 0 || headerBytes % unit != 0 {
            atomicWriteBytes = 0
            nativeCompareAndWriteBytes = 0
        }
    }
}
