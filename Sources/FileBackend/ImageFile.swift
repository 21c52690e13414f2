internal import BlockBackend
internal import CLinux
internal import Glibc
internal import SystemPackage

/// Owner of the open image: checked, claimed and measured.
struct ImageFile: ~Copyable {
    /// What the caller asked for; in every message.
    let path: String
    let descriptor: CInt
    /// Size of the unit in bytes.
    let size: UInt64
    /// Bytes that the image was found to have, at least `size`.
    private(set) var bytesFound: UInt64
    /// What the operator should know.
    private(set) var notes: [String] = []
    private(set) var capabilities = BackendCapabilities()
    let isBlockDevice: Bool
    /// Without the page cache.
    let isDirect: Bool
    private var isOpen = true

    /// Opens and claims the image. Parameters and errors as ``FileBackend`` says at `open`.
    static func open(
        path: String, direct: Bool, readOnly: Bool, expectedSize: UInt64, blockSize: UInt32
    ) throws(BackendError) -> ImageFile {
        guard path.hasPrefix("/"), !path.utf8.contains(0) else {
            throw BackendError(.invalidArgument, "image \"\(path)\": expected an absolute path")
        }
        guard blockSize > 0, expectedSize > 0, expectedSize % UInt64(blockSize) == 0, expectedSize <= Int64.max
        else {
            throw BackendError(
                .invalidArgument,
                "image \(path): a size of \(expectedSize) bytes is not a whole number of blocks of \(blockSize)")
        }
        // Looked at by name first: merely opening a tape or a FIFO has effects.
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw failure(errno, path, expectedSize) }
        let isBlockDevice = try isBlockDevice(facts, path)
        var flags = O_CLOEXEC | (readOnly ? O_RDONLY : O_RDWR)
        if direct { flags |= clinux_o_direct() }
        // On a block device and without O_CREAT: fails if it is mounted or claimed, and claims it.
        if isBlockDevice { flags |= O_EXCL }
        var descriptor = Glibc.open(path, flags)
        var readOnly = readOnly
        var notes: [String] = []
        if descriptor < 0, errno == EROFS, !readOnly {
            // A file system that became read-only while the unit was served fails its writes alone; so does this one.
            flags = flags & ~O_ACCMODE | O_RDONLY
            readOnly = true
            descriptor = Glibc.open(path, flags)
            notes.append(
                """
                image \(path) is on a read-only file system: the LUN is write-protected. Expected one that can be written; mount it so \
                and add the LUN again
                """)
        }
        guard descriptor >= 0 else { throw failure(errno, path, expectedSize, direct: direct) }
        var image = ImageFile(
            path: path, descriptor: descriptor, size: expectedSize, isBlockDevice: isBlockDevice, isDirect: direct)
        image.notes = notes
        try image.claim(exclusively: !readOnly)
        try image.checkSize()
        if direct { try image.checkAlignment(blockSize: blockSize) }
        image.measure(readOnly: readOnly, blockSize: blockSize)
        return image
    }

    private init(path: String, descriptor: CInt, size: UInt64, isBlockDevice: Bool, isDirect: Bool) {
        self.path = path
        self.descriptor = descriptor
        self.size = size
        bytesFound = size
        self.isBlockDevice = isBlockDevice
        self.isDirect = isDirect
    }

    deinit {
        if isOpen { Glibc.close(descriptor) }
    }

    /// Gives up the claim and closes the descriptor. Everything submitted must be back.
    mutating func close() {
        guard isOpen else { return }
        isOpen = false
        // The kernel may drop a finished request's reference a moment after its completion, and close(2) would
        // then leave the lock for that moment.
        if !isBlockDevice { clinux_unlock_image(descriptor) }
        Glibc.close(descriptor)
    }

    private static func isBlockDevice(_ facts: stat, _ path: String) throws(BackendError) -> Bool {
        switch facts.st_mode & S_IFMT {
        case S_IFREG: return false
        case S_IFBLK: return true
        case S_IFDIR:
            throw BackendError(
                .isDirectory, "image \(path) is a directory: expected a regular file or a block device")
        default:
            throw BackendError(
                Errno(rawValue: ENOTBLK), "image \(path) is neither a regular file nor a block device")
        }
    }

    private static func failure(
        _ code: CInt, _ path: String, _ expectedSize: UInt64, direct: Bool = false
    ) -> BackendError {
        let error = Errno(rawValue: code)
        switch error {
        case .noSuchFileOrDirectory:
            return BackendError(
                error, "image \(path) does not exist and is not created here: truncate -s \(expectedSize) makes one"
            )
        case .resourceBusy:
            return BackendError(error, "image \(path) is in use: mounted, or claimed by another unit or program")
        case .permissionDenied, .notPermitted, .readOnlyFileSystem:
            return BackendError(error, "image \(path) cannot be opened as asked, read-only or not: \(error)")
        case .invalidArgument where direct:
            return BackendError(error, "image \(path): this file system has no direct I/O: leave out direct=on")
        default:
            return BackendError(error, "image \(path) cannot be opened: \(error)")
        }
    }

    private func claim(exclusively: Bool) throws(BackendError) {
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw ImageFile.failure(errno, path, size) }
        guard try ImageFile.isBlockDevice(facts, path) == isBlockDevice else {
            throw BackendError(.resourceBusy, "image \(path) was replaced while it was being opened")
        }
        if isBlockDevice { return }
        let code = clinux_lock_image(descriptor, exclusively)
        if code == -EAGAIN || code == -EACCES {
            throw BackendError(
                .resourceBusy, "image \(path) is in use: another unit or program has it locked")
        }
        if code != 0 {
            throw BackendError(
                Errno(rawValue: -code), "image \(path) cannot be locked: \(Errno(rawValue: -code))")
        }
    }

    private mutating func checkSize() throws(BackendError) {
        let bytes = try ImageFile.bytes(of: descriptor, isBlockDevice: isBlockDevice, path)
        guard bytes >= size else {
            throw BackendError(
                .invalidArgument,
                """
                \(isBlockDevice ? "block device" : "image") \(path) has \(bytes) bytes: expected at least \(size), as configured. \
                Grow it to that, or make the LUN anew with the size that it has
                """)
        }
        bytesFound = bytes
        if bytes > size { notes.append(moreThanExported(bytes: bytes, exported: size)) }
    }

    /// Whether `path` still names the open file `descriptor`.
    static func isNamed(_ path: String, _ descriptor: CInt) -> Bool {
        var (named, open) = (Glibc.stat(), Glibc.stat())
        // A file system that does not answer says nothing against it.
        guard fstat(descriptor, &open) == 0 else { return true }
        guard stat(path, &named) == 0 else { return errno != ENOENT && errno != ENOTDIR }
        return named.st_dev == open.st_dev && named.st_ino == open.st_ino
    }

    /// Bytes that an open image has now. Throws what fstat(2) or the block device says.
    static func bytes(of descriptor: CInt, isBlockDevice: Bool, _ path: String) throws(BackendError) -> UInt64 {
        if isBlockDevice {
            let bytes = clinux_block_device_size(descriptor)
            guard bytes >= 0 else {
                throw BackendError(Errno(rawValue: CInt(-bytes)), "block device \(path) does not tell its size")
            }
            return UInt64(bytes)
        }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else {
            let error = Errno(rawValue: errno)
            throw BackendError(error, "image \(path) does not tell its size: \(error)")
        }
        return UInt64(clamping: facts.st_size)
    }

    /// Finds the alignment that direct I/O asks for by reading: file systems enforce it, but few tell it.
    private func checkAlignment(blockSize: UInt32) throws(BackendError) {
        let largest = 65536
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: largest, alignment: largest)
        defer { buffer.deallocate() }
        var alignment = 512
        while alignment <= largest {
            if pread(descriptor, buffer, alignment, 0) >= 0 { break }
            let code = errno
            guard code == EINVAL else {
                throw BackendError(
                    Errno(rawValue: code), "image \(path) cannot be read directly: \(Errno(rawValue: code))")
            }
            alignment *= 2
        }
        guard alignment <= Int(blockSize) else {
            throw BackendError(
                .invalidArgument,
                "image \(path): direct I/O there needs blocks of \(alignment) bytes, the unit has \(blockSize): "
                    + "leave out direct=on")
        }
    }

    private mutating func measure(readOnly: Bool, blockSize: UInt32) {
        capabilities.readOnly = readOnly
        // Answered writes sit in the page cache or, with direct=on, in the disk's own.
        capabilities.volatileCache = true
        capabilities.forceUnitAccess = true
        capabilities.nativeWriteZeroes = true
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { return }
        let queue = DeviceQueue(device: isBlockDevice ? facts.st_rdev : facts.st_dev)
        capabilities.solidState = queue.number("rotational") == 0
        if isBlockDevice {
            capabilities.optimalTransferBytes = queue.number("optimal_io_size") ?? 0
            // Without these the kernel refuses to punch holes (blkdev_fallocate), and telling that by trying
            // would cost data.
            if queue.number("discard_max_bytes") ?? 0 > 0, queue.number("write_zeroes_max_bytes") ?? 0 > 0 {
                let sector = UInt64(clamping: clinux_block_device_sector(descriptor))
                // Smaller pieces than a sector are refused (EINVAL), and the unit may send single blocks.
                if sector <= blockSize {
                    discardBy(granules: max(queue.number("discard_granularity") ?? 0, sector))
                }
            }
            if clinux_block_device_sector(descriptor) > Int32(clamping: blockSize) {
                capabilities.nativeWriteZeroes = false
            }
            return
        }
        capabilities.reportsAllocation = FileSurvey.tellsHoles(descriptor)
        capabilities.reportsSpace = true
        if !capabilities.readOnly, canPunchHoles() {
            discardBy(granules: UInt64(clamping: facts.st_blksize))
        }
    }

    private mutating func discardBy(granules: UInt64) {
        // Bound: one hole may keep a kernel thread busy that other units wait for; it comes in smaller steps.
        capabilities.discard = DiscardCapability(
            granularity: max(granules, 1), maximumBytes: 1 << 30, readsZeros: true)
    }

    /// Tries it where there is nothing: behind the end of the file.
    private func canPunchHoles() -> Bool {
        let page: Int64 = 4096
        guard let bytes = Int64(exactly: bytesFound) else { return false }
        let (end, overflow) = bytes.addingReportingOverflow(page)
        if overflow { return false }
        return clinux_fallocate(descriptor, clinux_falloc_punch_hole(), end / page * page, page) == 0
    }
}
