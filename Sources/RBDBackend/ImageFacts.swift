internal import BlockBackend
internal import CRBD
internal import Glibc
internal import Reactor
internal import Synchronization
internal import SystemPackage

/// What an open image's blocks depend on, looked at in the cluster and not in what librbd remembers: that its header, its
/// snapshot, those of the images it is a clone of and the pools of their data are there.
///
/// librbd takes an object that is not there for zeros, and so it does where the image, the snapshot or the pool is gone; an
/// image that was opened read-only it never looks at again.
final class ImageFacts: @unchecked Sendable {
    // SAFETY: `parts` is touched by one thread at a time: the opener, the keeper's, the closer.
    fileprivate struct Place {
        let part: ImagePart
        let pool: PoolHandle
    }

    private let cluster: RadosCluster
    private var places: [Place]
    private var renewal: PartsRenewal?
    private let wasRenewed: @Sendable () -> Void

    /// Longest look, at all of it together. Much less than the OSD time-out: what is told to initiators must not come that late; and
    /// less than the time for which questions for the lock are answered meanwhile (`ImageKeeper`).
    static let milliseconds: Int64 = 1_500

    /// Of an image with these `parts`, itself first.
    ///
    /// - Parameter wasRenewed: something was found out that a look had no time for; the next one makes use of it. From a thread of its
    ///   own, until this is gone.
    init(
        _ parts: [ImagePart], _ cluster: RadosCluster, wasRenewed: @escaping @Sendable () -> Void
    ) throws(BackendError) {
        self.cluster = cluster
        self.wasRenewed = wasRenewed
        places = try ImageFacts.places(parts, cluster)
    }

    deinit {
        renewal?.finish()
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

    /// Looks at all of it, which takes no longer than ``milliseconds``.
    ///
    /// - Returns: bytes of the image or snapshot as its header has them, without regard to encryption; ENOENT where some of
    ///   it is gone; ETIMEDOUT where the image's own OSD does not answer in that time; what librados says.
    func look() -> Result<UInt64, Errno> {
        let deadline = KeeperClock.now + ImageFacts.milliseconds
        let isGone = takeRenewal()
        let found = sizes(until: deadline)
        guard case .success = found[0] else { return found[0] }
        // Others that do not answer are no reason to stop what does.
        if isWhole(found) { return found[0] }
        return isGone || !renew(until: deadline) ? .failure(.noSuchFileOrDirectory) : found[0]
    }

    private func isWhole(_ found: [Result<UInt64, Errno>]) -> Bool {
        found.dropFirst().allSatisfy { $0 != .failure(.noSuchFileOrDirectory) }
            && places.allSatisfy { cluster.hasPool($0.part.dataPool) }
    }

    /// Something of what it is a clone of is gone: it may have been flattened, which takes opening it to find out, and that as long
    /// as its OSDs like.
    ///
    /// - Returns: false if it is known by `deadline` that something is missing that it needs.
    private func renew(until deadline: Int64) -> Bool {
        if renewal == nil { renewal = PartsRenewal(of: places[0].part, cluster, wasRenewed) }
        guard let parts = renewal?.parts(until: deadline) else { return true }
        renewal = nil
        return use(parts) && isWhole(sizes(until: deadline))
    }

    /// Makes use of what was found out after the last look. Returns whether something is missing, as of then.
    private func takeRenewal() -> Bool {
        guard let parts = renewal?.parts(until: KeeperClock.now) else { return false }
        renewal = nil
        return !use(parts)
    }

    /// - Returns: false if something is missing.
    private func use(_ parts: Result<[ImagePart], Errno>) -> Bool {
        switch parts {
        case .failure(let errno): return errno != .noSuchFileOrDirectory
        case .success(let parts):
            do throws(BackendError) {
                places = try ImageFacts.places(parts, cluster)
                return true
            } catch {
                return error.errno != .noSuchFileOrDirectory
            }
        }
    }

    /// Bytes of each part, asked for at the same time.
    private func sizes(until deadline: Int64) -> [Result<UInt64, Errno>] {
        let questions = places.map { (place: $0, question: $0.question) }
        return questions.map { each in
            let left = Int(max(deadline - KeeperClock.now, 0))
            switch each.place.pool.use({ _ in each.question.method(milliseconds: left) }) {
            case nil: return .failure(.timedOut)
            case .failure(let errno): return .failure(errno)
            case .success(let bytes):
                guard bytes.count >= 9 else { return .failure(.badMessage) }
                return .success(bytes[1..<9].reversed().reduce(0) { $0 << 8 | UInt64($1) })
            }
        }
    }
}

extension ImageFacts.Place {
    /// Asks for the bytes of the part, by the class method `rbd.get_size` (src/cls/rbd): a snapshot's number in, the order of an
    /// object in a byte and the size in eight out; ENOENT for a snapshot or a header that is not there.
    fileprivate var question: AwaitedCall.Started {
        AwaitedCall.method(
            "get_size", of: "rbd", on: part.header, in: pool.handle,
            (0..<8).map { UInt8(truncatingIfNeeded: part.snapshot >> (8 * $0)) })
    }
}

/// Finds out anew what an image consists of, on a thread of its own: librbd opens it for that, and waits for each OSD as long as an
/// operation may take.
private final class PartsRenewal: Sendable {
    private let found = KeeperQueue<Result<[ImagePart], Errno>>()
    private let thread: OwnedThread

    /// - Returns: nil where there is no thread to be had.
    init?(of image: ImagePart, _ cluster: RadosCluster, _ isFound: @escaping @Sendable () -> Void) {
        let found = found
        let thread = OwnedThread(name: "tcmud-rbd-parts") {
            let parts: Result<[ImagePart], Errno>
            do throws(BackendError) {
                parts = .success(try ImagePart.all(anewOf: image, cluster))
            } catch {
                parts = .failure(error.errno)
            }
            found.change { $0.append(parts) }
            isFound()
        }
        guard let thread else { return nil }
        self.thread = thread
    }

    /// What was found; nil if nothing was by `deadline`. The thread has ended then, and this is of no more use.
    func parts(until deadline: Int64) -> Result<[ImagePart], Errno>? {
        guard let parts = found.wait(until: deadline, { $0.first }) else { return nil }
        thread.join()
        return parts
    }

    /// Waits for the end of one whose parts nobody has taken.
    func finish() {
        thread.join()
    }
}
