internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// What an open image's blocks depend on, looked at in the cluster and not in what librbd remembers: that its header, its
/// snapshot, those of the images it is a clone of and the pools of their data are there.
///
/// librbd takes an object that is not there for zeros, and so it does where the image, the snapshot or the pool is gone; an
/// image that was opened read-only it never looks at again.
final class ImageFacts: @unchecked Sendable {
    // SAFETY: `parts` is touched by one thread at a time: the opener, the keeper's, the closer.
    private struct Place {
        let part: ImagePart
        let pool: PoolHandle
    }

    private let cluster: RadosCluster
    private var places: [Place]

    /// Longest wait for an OSD. Much less than the OSD time-out: what is told to initiators must not come that late.
    private static let milliseconds = 2_000

    /// Of an image with these `parts`, itself first.
    init(_ parts: [ImagePart], _ cluster: RadosCluster) throws(BackendError) {
        self.cluster = cluster
        places = try ImageFacts.places(parts, cluster)
    }

    private static func places(_ parts: [ImagePart], _ cluster: RadosCluster) throws(BackendError) -> [Place] {
        var places: [Place] = []
        for part in parts {
            places.append(
                Place(
                    part: part, pool: try PoolHandle(cluster, pool: part.pool, namespace: part.namespace)))
        }
        return places
    }

    /// Looks at all of it.
    ///
    /// - Returns: bytes of the image or snapshot as its header has them, without regard to encryption; ENOENT where some of
    ///   it is gone; ETIMEDOUT where the image's own OSD does not answer in two seconds; what librados says.
    func look() -> Result<UInt64, Errno> {
        let first = bytes(places[0])
        guard case .success = first else { return first }
        // Others that do not answer are no reason to stop what does.
        guard places.dropFirst().allSatisfy({ bytes($0) != .failure(.noSuchFileOrDirectory) }), hasPools else {
            return renew() ? first : .failure(.noSuchFileOrDirectory)
        }
        return first
    }

    private var hasPools: Bool { places.allSatisfy { cluster.hasPool($0.part.dataPool) } }

    /// Something of what it is a clone of is gone: it may have been flattened. - Returns: whether all is there that it needs.
    private func renew() -> Bool {
        do throws(BackendError) {
            let parts = try ImagePart.all(anewOf: places[0].part, cluster)
            places = try ImageFacts.places(parts, cluster)
            return hasPools && places.dropFirst().allSatisfy { bytes($0) != .failure(.noSuchFileOrDirectory) }
        } catch {
            return error.errno != .noSuchFileOrDirectory
        }
    }

    /// Bytes of one part, by the class method `rbd.get_size` (src/cls/rbd): a snapshot's number in, the order of an object in
    /// a byte and the size in eight out; ENOENT for a snapshot or a header that is not there.
    private func bytes(_ place: Place) -> Result<UInt64, Errno> {
        let question = (0..<8).map { UInt8(truncatingIfNeeded: place.part.snapshot >> (8 * $0)) }
        let answer = place.pool.use { pool in
            AwaitedCall.method(
                "get_size", of: "rbd", on: place.part.header, in: pool, question,
                milliseconds: ImageFacts.milliseconds)
        }
        switch answer {
        case nil: return .failure(.timedOut)
        case .failure(let errno): return .failure(errno)
        case .success(let bytes):
            guard bytes.count >= 9 else { return .failure(.badMessage) }
            return .success(bytes[1..<9].reversed().reduce(0) { $0 << 8 | UInt64($1) })
        }
    }
}
