internal import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

/// The features of an image, one bit of its header each.
package struct ImageFeatures: Sendable, Equatable, CustomStringConvertible {
    /// As in the header.
    package let bits: UInt64

    /// By bit, as rbd/features.h of Ceph 16 has them; none was added up to 19.
    private static let names = [
        "layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling",
        "data-pool",
        "operations", "migrating", "non-primary", "dirty-cache",
    ]

    /// Those of a header with `bits`.
    package init(bits: UInt64) {
        self.bits = bits
    }

    /// Those that have no name here.
    package var unnamed: ImageFeatures { ImageFeatures(bits: bits & (UInt64.max << UInt64(Self.names.count))) }

    /// Names as the `rbd` command has them, in the order of the bits: `layering, exclusive-lock, bit 40`.
    package var description: String {
        (0..<64).filter { bits >> UInt64($0) & 1 == 1 }.map {
            Self.names.indices.contains($0) ? Self.names[$0] : "bit \($0)"
        }
        .joined(separator: ", ")
    }
}

extension RBDImage {
    /// Refuses an image with features that the loaded librbd cannot know.
    ///
    /// librbd refuses by itself only what the OSDs tell it is incompatible, and OSDs tell only of features that they know.
    /// A librbd newer than the one this was built with may know more names than are known here, and is trusted.
    ///
    /// - Throws: ENOSYS.
    func checkFeatures(_ spec: String) throws(BackendError) {
        var bits: UInt64 = 0
        guard rbd_get_features(handle, &bits) >= 0, ImageFeatures(bits: bits).unnamed.bits != 0,
            loadedLibraryVersion() <= Int(LIBRBD_VER_MAJOR) << 8 | Int(LIBRBD_VER_MINOR)
        else { return }
        throw Self.unsupported("image \(spec)", ImageFeatures(bits: bits).unnamed)
    }

    /// The error for an image with features that are too new, of which `features` are told.
    static func unsupported(_ tried: String, _ features: ImageFeatures?) -> BackendError {
        let version = loadedLibraryVersion()
        let which = features.map { " (\($0))" } ?? ""
        return BackendError(
            .noFunction,
            """
            \(tried): it has features\(which) that the installed librbd \(version >> 8).\(version & 0xFF) does not know; \
            expected an image of this release of Ceph or an older one, or a newer librbd
            """)
    }
}

extension IOContext {
    /// Features in the header of `image`, which librbd need not be able to open; nil where they cannot be read.
    func features(ofImage image: String) -> ImageFeatures? {
        guard let identifier = identifier(ofImage: image) else { return nil }
        // Class method `rbd.get_features` (src/cls/rbd): a snapshot's number, none here, and whether it is for reading.
        let question = [CChar](repeating: -1, count: 8) + [1]
        let answer = bytes(16) { room, size in
            rados_exec(
                handle, "rbd_header." + identifier, "rbd", "get_features", question, question.count, room, size)
        }
        return answer.flatMap { $0.count < 8 ? nil : ImageFeatures(bits: littleEndian($0.prefix(8))) }
    }

    /// What `rbd_id.<image>` holds: a length in four bytes and as many characters.
    private func identifier(ofImage image: String) -> String? {
        let found = bytes(256) { room, size in rados_read(handle, "rbd_id." + image, room, size, 0) }
        guard let found, found.count > 4, littleEndian(found.prefix(4)) == UInt64(found.count - 4) else {
            return nil
        }
        return String(decoding: found.dropFirst(4), as: UTF8.self)
    }

    /// What `body` puts into a buffer of `size` bytes; nil where it says that it failed.
    private func bytes(_ size: Int, _ body: (UnsafeMutablePointer<CChar>, Int) -> CInt) -> [UInt8]? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { buffer in
            buffer.initialize(repeating: 0)
            guard let start = buffer.baseAddress else { return nil }
            let count = Int(body(start, size))
            return count < 0 ? nil : buffer.prefix(min(count, size)).map(UInt8.init(bitPattern:))
        }
    }
}

private func littleEndian(_ bytes: some Collection<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
}
