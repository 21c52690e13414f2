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
    private let path: String
    private let descriptor: CInt
    private let isBlockDevice: Bool
    private let state: Mutex<State>

    /// Looks after `image`, which must stay open until ``stop()``.
    init(_ image: borrowing ImageFile) {
        path = image.path
        descriptor = image.descriptor
        isBlockDevice = image.isBlockDevice
        state = Mutex(State(bytes: image.size, toldBytes: image.bytesFound))
        exported = .allocate(capacity: 1)
        exported.initialize(to: image.size)
        end = FileEnd(image.bytesFound)
        FileLooks.shared.add(self, descriptor: descriptor)
    }

    deinit {
        exported.deallocate()
    }

    func start(_ surroundings: KeeperSurroundings) {
        state.withLock { $0.surroundings = surroundings }
        // What was changed since it was opened.
        if end.noteWrite() { FileLooks.shared.ring() }
    }

    /// Looks at the image's size and name, and says so where they are not what people know. Blocks as long as its file system
    /// does.
    func look() {
        state.withLock { state in
            guard !state.isStopped else { return }
            guard let bytes = try? ImageFile.bytes(of: descriptor, isBlockDevice: isBlockDevice, path) else {
                return
            }
            end.found(bytes)
            guard let surroundings = state.surroundings else { return }
            if bytes != state.toldBytes {
                state.toldBytes = bytes
                surroundings.tell(.sizeDiffers(bytes: bytes))
            }
            let hasName = isBlockDevice || ImageFile.isNamed(path, descriptor)
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
    }

    /// Exports `bytes`, of which the image must have as many.
    func resize(to bytes: UInt64) throws(BackendError) {
        // Under the lock, so that nobody closes the descriptor meanwhile; a file system that hangs is waited for as in a close.
        try state.withLock { state throws(BackendError) in
            if state.isStopped { throw BackendError(.canceled, "the unit is being removed") }
            let before = state.bytes
            guard bytes >= before else {
                throw BackendError(
                    .invalidArgument,
                    "image \(path) cannot shrink from \(before) to \(bytes) bytes; expected at least what initiators know"
                )
            }
            let there = try ImageFile.bytes(of: descriptor, isBlockDevice: isBlockDevice, path)
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

    /// Nothing depends on it.
    func serves(portGroup: UInt16?) {}

    func stop() {
        FileLooks.shared.remove(self)
        state.withLock { state in
            state.isStopped = true
            state.surroundings = nil
        }
    }
}
