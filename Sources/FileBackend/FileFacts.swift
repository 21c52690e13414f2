internal import BlockBackend
internal import CLinux
internal import Glibc

/// What is asked of an open image while it is served, and of whom.
struct FileFacts: Sendable {
    /// Its file system, as stat(2) numbers it.
    let device: UInt64
    /// Whether its size is known without asking anybody, so that the question cannot hang.
    let isLocal: Bool
    /// Bytes that it has; by a descriptor.
    let bytes: @Sendable (CInt) throws(BackendError) -> UInt64
    /// Whether its path still names it; by a descriptor. May hang on any file system: directories are read for it.
    let isNamed: @Sendable (CInt) -> Bool

    init(
        device: UInt64, isLocal: Bool, bytes: @escaping @Sendable (CInt) throws(BackendError) -> UInt64,
        isNamed: @escaping @Sendable (CInt) -> Bool
    ) {
        (self.device, self.isLocal, self.bytes, self.isNamed) = (device, isLocal, bytes, isNamed)
    }

    /// Of an image as it is. Blocks as long as its file system does.
    init(_ image: borrowing ImageFile) {
        let (path, isBlockDevice) = (image.path, image.isBlockDevice)
        var status = stat()
        let isKnown = fstat(image.descriptor, &status) == 0
        self.init(
            device: isKnown ? UInt64(status.st_dev) : 0,
            isLocal: isBlockDevice || FileFacts.isLocal(image.descriptor),
            bytes: { descriptor throws(BackendError) in
                try ImageFile.bytes(of: descriptor, isBlockDevice: isBlockDevice, path)
            },
            isNamed: { isBlockDevice || ImageFile.isNamed(path, $0) })
    }

    /// Whether an open file's size is known without asking anybody. What cannot be found out may hang.
    static func isLocal(_ descriptor: CInt) -> Bool {
        localTypes.contains(clinux_file_system_type(descriptor))
    }

    /// File systems that keep an open file's size in memory, by their numbers in linux/magic.h: ext2 to ext4, XFS, Btrfs, F2FS, tmpfs,
    /// ramfs and ZFS. All others may ask a server or a process.
    private static let localTypes: Set<Int64> = [
        0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x0102_1994, 0x8584_58F6, 0x2FC1_2FC1,
    ]
}
