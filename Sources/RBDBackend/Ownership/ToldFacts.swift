package import BlockBackend
internal import SystemPackage

/// What was said of an image when its unit was opened: to initiators, who have built on it since, and to people.
struct ToldFacts: Sendable {
    /// As initiators know them.
    let capabilities: BackendCapabilities
    /// Bytes of the unit's logical block.
    let blockSize: UInt32
    /// Lines that are in the log already.
    let notes: [String]

    /// Looks at an image that is to take the place of the one that was opened.
    ///
    /// - Parameter notes: what opening it left to say; what is new to the log comes back.
    /// - Throws: EINVAL where initiators were promised more than it keeps. Nobody asks twice whether a cache is volatile or
    ///   a write atomic, so what they know cannot be changed under them.
    func compare(
        _ image: borrowing RBDImage, _ options: RBDOptions, _ notes: [String]
    ) throws(BackendError) -> [String] {
        var notes = notes
        let now = try image.capabilities(options, blockSize: blockSize, &notes)
        let broken = capabilities.promises(brokenBy: now)
        guard broken.isEmpty else {
            throw BackendError(
                .invalidArgument,
                """
                \(options.spec) no longer keeps what initiators were told: \(broken.joined(separator: "; ")). The LUN is not \
                ready until that is undone, or until it is removed and added again, so that initiators are told anew
                """)
        }
        return notes.filter { !self.notes.contains($0) }
    }
}

extension BackendCapabilities {
    /// What initiators rely on for their data and `now` does not keep, each with what was expected; empty where `now` is as
    /// good or better.
    ///
    /// Hints to speed are not among it: granularity of deallocation, preferred transfer length, rotation.
    package func promises(brokenBy now: BackendCapabilities) -> [String] {
        var broken: [String] = []
        if !readOnly && now.readOnly { broken.append("it could be written; expected that it still can") }
        if !volatileCache && now.volatileCache {
            broken.append(
                "no volatile write cache, and rbd_cache is forced on by pool or image metadata; expected it off")
        }
        if now.atomicWriteBytes < atomicWriteBytes {
            let left = now.atomicWriteBytes == 0 ? "none" : "\(now.atomicWriteBytes) bytes"
            broken.append(
                """
                atomic writes of \(atomicWriteBytes) bytes, and of \(left) now; expected no librbd cache, no persistent cache \
                and no journaling feature
                """)
        }
        if now.nativeCompareAndWriteBytes < nativeCompareAndWriteBytes {
            broken.append(
                """
                COMPARE AND WRITE of \(nativeCompareAndWriteBytes) bytes as one step, and of \
                \(now.nativeCompareAndWriteBytes) now; expected the same layout
                """)
        }
        if let discard, (now.discard?.maximumBytes ?? 0) < discard.maximumBytes {
            broken.append("UNMAP of \(discard.maximumBytes) bytes; expected the same layout")
        }
        if discard?.readsZeros == true, now.discard?.readsZeros == false {
            broken.append("unmapped blocks read zeros; expected that they still do")
        }
        return broken
    }
}
