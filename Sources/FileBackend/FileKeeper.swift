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
        /// Questions for the size, numbered as they begin, and the newest one whose answer was taken: of two that overlap
        /// the older knows less, such as nothing of a resize.
        var asked: UInt64 = 0
        var answered: UInt64 = 0
        /// For the looks; closed with the last of them.
        var descriptor: OwnDescriptor?
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
        guard let question = ask() else { return isStopped }
        do throws(BackendError) {
            let found = try facts.bytes(question.descriptor.number)
            state.withLock { answer(&$0, question, found) }
        } catch {
            return true
        }
        if look == .size { return true }
        let hasName = facts.isNamed(question.descriptor.number)
        state.withLock { tellName(&$0, hasName) }
        return true
    }

    /// Takes in what the image was found to have. False if something newer is known.
    @discardableResult
    private func take(_ state: inout State, _ question: Question, _ bytes: UInt64) -> Bool {
        guard !state.isStopped, question.number > state.answered else { return false }
        state.answered = question.number
        end.found(bytes)
        return true
    }

    private func answer(_ state: inout State, _ question: Question, _ bytes: UInt64) {
        guard take(&state, question, bytes), bytes != state.toldBytes, let surroundings = state.surroundings else {
            return
        }
        state.toldBytes = bytes
        surroundings.tell(.sizeDiffers(bytes: bytes))
    }

    private func tellName(_ state: inout State, _ hasName: Bool) {
        guard !state.isStopped, let surroundings = state.surroundings else { return }
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

    private struct Question {
        let number: UInt64
        /// Outlives a ``stop()`` meanwhile: who asks a file system that hangs is the only one who waits for it.
        let descriptor: OwnDescriptor
    }

    /// Begins a question. Nil once the keeper is stopped, or where there is no descriptor left.
    private func ask() -> Question? {
        state.withLock { state in
            if state.isStopped { return nil }
            state.asked += 1
            if state.descriptor == nil { state.descriptor = OwnDescriptor(copyOf: descriptor) }
            return state.descriptor.map { Question(number: state.asked, descriptor: $0) }
        }
    }

    /// Exports `bytes`, of which the image must have as many.
    func resize(to bytes: UInt64) throws(BackendError) {
        guard let question = ask() else {
            if isStopped { throw FileKeeper.removed }
            throw BackendError(.tooManyOpenFiles, "image \(path): no descriptor is left to look at its size with")
        }
        let there = try facts.bytes(question.descriptor.number)
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
            take(&state, question, there)
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
            state.descriptor = nil
        }
    }
}

/// A copy of a descriptor. One for all looks: to close a copy asks FUSE and NFS to write back what the image has in their
/// caches.
private final class OwnDescriptor: Sendable {
    let number: CInt

    /// Nil where there is no descriptor left.
    init?(copyOf descriptor: CInt) {
        number = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if number < 0 { return nil }
    }

    deinit {
        if number >= 0 { close(number) }
    }
}
