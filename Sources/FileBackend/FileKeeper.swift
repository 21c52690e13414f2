internal import BlockBackend
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Lets a file unit grow into what its image has grown to already, and notices what others do to the image
/// (``FileLooks`` brings it to look).
final class FileKeeper: BackendKeeper, @unchecked Sendable {
    // SAFETY: `exported` is touched by the loop's thread only, and by the one owner before and after. The descriptor is
    // open as long as the state is not stopped.
    /// Bytes that the unit exports.
    let exported: UnsafeMutablePointer<UInt64>

    private struct State {
        var surroundings: KeeperSurroundings?
        var isStopped = false
        /// As `exported` is or will be, for who is not on the loop.
        var bytes: UInt64
        /// Size of the image that people know of.
        var toldBytes: UInt64
        var hasToldName = false
    }

    /// Where the image ends.
    let end: FileEnd
    let facts: FileFacts
    private let path: String
    private let descriptor: CInt
    private let looks: FileLooks
    private let wantsName = Atomic<Bool>(false)
    private let state: Mutex<State>

    /// How much is looked at.
    enum Look {
        case size
        case sizeAndName
    }

    /// Looks after `image`, which must stay open until ``stop()``.
    convenience init(_ image: borrowing ImageFile) {
        self.init(
            path: image.path, descriptor: image.descriptor, size: image.size, bytesFound: image.bytesFound,
            facts: FileFacts(image), looks: .shared)
    }

    init(
        path: String, descriptor: CInt, size: UInt64, bytesFound: UInt64, facts: FileFacts, looks: FileLooks
    ) {
        (self.path, self.descriptor, self.facts, self.looks) = (path, descriptor, facts, looks)
        state = Mutex(State(bytes: size, toldBytes: bytesFound))
        exported = .allocate(capacity: 1)
        exported.initialize(to: size)
        end = FileEnd(bytesFound)
        looks.add(self, descriptor: descriptor)
    }

    deinit {
        exported.deallocate()
    }

    func start(_ surroundings: KeeperSurroundings) {
        state.withLock { $0.surroundings = surroundings }
        // What was changed since it was opened.
        wantsName.store(true, ordering: .releasing)
        if end.noteWrite() { ring() }
    }

    /// The image is written after a rest, or may have been changed: it is looked at soon.
    func ring() {
        if !looks.ring() { end.forgetWrite() }
    }

    /// Whether its name has to be looked at whatever inotify says; once.
    func takeNameWish() -> Bool {
        wantsName.load(ordering: .relaxed) && wantsName.exchange(false, ordering: .acquiringAndReleasing)
    }

    /// Looks at the image's size and name, and says so where they are not what people know. Blocks as long as its file system
    /// does; nothing else of the keeper waits meanwhile.
    ///
    /// - Returns: false if that was not possible for want of a descriptor.
    @discardableResult
    func look(_ look: Look) -> Bool {
        guard let own = hold() else { return isStopped }
        defer { close(own) }
        let found: UInt64
        do throws(BackendError) { found = try facts.bytes(own) } catch { return true }
        let hasName = look == .size ? nil : facts.isNamed(own)
        state.withLock { state in
            guard !state.isStopped else { return }
            end.found(found)
            tell(&state, found, hasName)
        }
        return true
    }

    private func tell(_ state: inout State, _ bytes: UInt64, _ hasName: Bool?) {
        guard let surroundings = state.surroundings else { return }
        if bytes != state.toldBytes {
            state.toldBytes = bytes
            surroundings.tell(.sizeDiffers(bytes: bytes))
        }
        guard let hasName else { return }
        if !hasName && !state.hasToldName {
            surroundings.tell(
                .remark(
                    .error,
                    """
                    image \(path) was removed, renamed or replaced while it is served. The LUN goes on with the file that it has \
                    open, which is gone with the LUN unless it has another name; copy it from the initiator's side first
                    """))
        }
        state.hasToldName = !hasName
    }

    private var isStopped: Bool { state.withLock { $0.isStopped } }

    /// A descriptor of the caller's own, which outlives a ``stop()`` meanwhile: a file system that hangs is waited for by who asks it,
    /// and by nobody else. Nil once the keeper is stopped, or where there is no descriptor left.
    private func hold() -> CInt? {
        state.withLock { state in
            if state.isStopped { return nil }
            let own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
            return own < 0 ? nil : own
        }
    }

    /// Exports `bytes`, of which the image must have as many.
    func resize(to bytes: UInt64) throws(BackendError) {
        guard let own = hold() else {
            if isStopped { throw FileKeeper.removed }
            throw BackendError(.tooManyOpenFiles, "image \(path): no descriptor is left to look at its size with")
        }
        defer { close(own) }
        let there = try facts.bytes(own)
        try state.withLock { state throws(BackendError) in
            if state.isStopped { throw FileKeeper.removed }
            let before = state.bytes
            guard bytes >= before else {
                throw BackendError(
                    .invalidArgument,
                    "image \(path) cannot shrink from \(before) to \(bytes) bytes; expected at least what initiators know"
                )
            }
            guard there >= bytes else {
                throw BackendError(
                    .invalidArgument,
                    """
                    image \(path) has \(there) bytes, \(bytes) were asked for; expected the file or block device to be \
                    grown to that first
                    """)
            }
            state.bytes = bytes
            state.toldBytes = there
            end.found(there)
            guard let surroundings = state.surroundings else {
                exported.pointee = bytes
                return
            }
            // Ordering: what is run on the loop runs in order, so that whoever goes there next finds the new size.
            surroundings.onLoop { [self] in exported.pointee = bytes }
        }
    }

    private static var removed: BackendError { BackendError(.canceled, "the unit is being removed") }

    /// Nothing depends on it.
    func serves(portGroup: UInt16?) {}

    func stop() {
        looks.remove(self)
        state.withLock { state in
            state.isStopped = true
            state.surroundings = nil
        }
    }
}
