internal import BlockBackend
internal import Glibc
internal import Synchronization
internal import SystemPackage

/// Lets a file unit grow into what its image has grown to already. A file does not change by itself, so there is nothing
/// to watch and no thread.
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
    }

    private let path: String
    private let descriptor: CInt
    private let isBlockDevice: Bool
    private let state: Mutex<State>

    /// Looks after `image`, which must stay open until ``stop()``.
    init(_ image: borrowing ImageFile) {
        path = image.path
        descriptor = image.descriptor
        isBlockDevice = image.isBlockDevice
        state = Mutex(State(bytes: image.size))
        exported = .allocate(capacity: 1)
        exported.initialize(to: image.size)
    }

    deinit {
        exported.deallocate()
    }

    func start(_ surroundings: KeeperSurroundings) {
        state.withLock { $0.surroundings = surroundings }
    }

    /// Exports `bytes`, which must be all that the image has: as when it is opened, and so that it can be opened again.
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
            guard there == bytes else {
                throw BackendError(
                    .invalidArgument,
                    """
                    image \(path) has \(there) bytes, \(bytes) were asked for; expected the file or block device to be \
                    grown to exactly that first
                    """)
            }
            state.bytes = bytes
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
        state.withLock { state in
            state.isStopped = true
            state.surroundings = nil
        }
    }
}
