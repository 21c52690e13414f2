internal import BlockBackend
internal import CRBD
internal import Glibc
internal import SystemPackage

extension RBDImage {
    /// Unlocks the image if `options` say that it is encrypted.
    ///
    /// - Returns: lines for the log, and the bytes that the encryption's header takes of the image.
    static func unlockIfEncrypted(
        _ handle: rbd_image_t, _ options: RBDOptions
    ) throws(BackendError) -> (notes: [String], headerBytes: UInt64) {
        guard let encryption = options.encryption else { return ([], 0) }
        let whole = try size(handle)
        let notes = try unlock(handle, encryption, spec: options.spec)
        let within = try size(handle)
        return (notes, whole > within ? whole - within : 0)
    }

    /// Refuses an image that begins with an encryption header, is not to be unlocked, and has more bytes than are exported: what is
    /// missing is its passphrase, rather than that it was grown, and served as it is its header would be overwritten.
    ///
    /// - Throws: EINVAL.
    func refuseEncrypted(_ spec: String, _ size: UInt64, _ expected: UInt64) throws(BackendError) {
        let magic = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4) { bytes in
            rbd_read(handle, 0, bytes.count, bytes.baseAddress) == bytes.count
                ? String(decoding: bytes.map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
        }
        // Those of LUKS, and of a clone of an encrypted image (Ceph 17).
        guard magic == "LUKS" || magic == "RBDL" else { return }
        throw BackendError(
            .invalidArgument,
            """
            image \(spec) has \(size) bytes and begins with an encryption header; expected \(expected), what is within it perhaps. Give \
            the LUN its passphrase file, or the size of the whole image
            """)
    }

    /// Unlocks an image that has just been opened: from then on its size and its blocks are those within the encryption.
    /// Needs no exclusive lock and takes none. Blocks for as long as the key slots want, seconds each.
    ///
    /// - Returns: what the operator should see in the log.
    /// - Throws: what reading the passphrase file throws; EPERM for a wrong passphrase; EINVAL where the image has no such
    ///   header; EOPNOTSUPP where librbd was built without encryption.
    static func unlock(
        _ handle: rbd_image_t, _ encryption: ImageEncryption, spec: String
    ) throws(BackendError) -> [String] {
        let passphrase = try PassphraseFile(encryption.passphraseFile)
        let lengths = ImageEncryption.lengths(
            count: passphrase.count, endsLine: passphrase.endsLine, libraryVersion: loadedLibraryVersion())
        // Order: an image whose OSDs do not answer fails here, not in one of the few places that others wait for.
        let readable = readFirstSector(handle)
        guard readable >= 0 else {
            throw failure(
                CInt(clamping: readable), "cannot read the header of image \(spec)", expected: "OSDs that answer")
        }
        var code: CInt = -EINVAL
        for length in lengths {
            code = passphrase.withBytes { text in keySlots.use { load(handle, encryption.format, text, length) } }
            guard code == -EPERM else { break }
        }
        guard code >= 0 else { throw refusal(code, handle, encryption, spec) }
        return passphrase.isWorldReadable
            ? ["passphrase file \(encryption.passphraseFile) may be read by every user of this machine"] : []
    }

    /// - Returns: bytes read, or a negative errno.
    private static func readFirstSector(_ handle: rbd_image_t) -> Int {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { block in
            Int(rbd_read(handle, 0, block.count, block.baseAddress))
        }
    }

    private static func load(
        _ handle: rbd_image_t, _ format: ImageEncryption.Format, _ text: UnsafePointer<CChar>, _ length: Int
    ) -> CInt {
        // The algorithm only counts when an image is formatted.
        switch format {
        case .luks1:
            var options = rbd_encryption_luks1_format_options_t(
                alg: RBD_ENCRYPTION_ALGORITHM_AES256, passphrase: text, passphrase_size: length)
            return rbd_encryption_load(
                handle, RBD_ENCRYPTION_FORMAT_LUKS1, &options,
                MemoryLayout<rbd_encryption_luks1_format_options_t>.size)
        case .luks2:
            var options = rbd_encryption_luks2_format_options_t(
                alg: RBD_ENCRYPTION_ALGORITHM_AES256, passphrase: text, passphrase_size: length)
            return rbd_encryption_load(
                handle, RBD_ENCRYPTION_FORMAT_LUKS2, &options,
                MemoryLayout<rbd_encryption_luks2_format_options_t>.size)
        }
    }

    /// The error in words. librbd answers EPERM for a passphrase that opens no key slot, and so does an OSD for a user
    /// who may not read the data; a plain read tells the two apart.
    private static func refusal(
        _ code: CInt, _ handle: rbd_image_t, _ encryption: ImageEncryption, _ spec: String
    ) -> BackendError {
        let tried = "cannot unlock image \(spec) as \(encryption.format.rawValue)"
        switch code {
        case -EPERM:
            guard readFirstSector(handle) >= 0 else { break }
            return BackendError(
                .notPermitted,
                "\(tried): the passphrase in \(encryption.passphraseFile) is wrong; expected one that opens a key slot"
            )
        case -EINVAL:
            return BackendError(
                .invalidArgument,
                "\(tried): it has no such header; expected an image formatted with `rbd encryption format`")
        case -EOPNOTSUPP:
            return BackendError(
                .notSupported,
                "\(tried): the installed librbd cannot; expected one that is built with encryption")
        default: break
        }
        return failure(code, tried, expected: "a header that can be read and a passphrase that opens it")
    }
}

/// Bound: how many images are unlocked at once. Each LUKS2 key slot takes up to 1 GiB of memory and several threads
/// while it is tried, and fifty LUNs may be opened together.
private let keySlots = Turnstile(places: 2)

/// Lets a few in at a time.
private final class Turnstile: @unchecked Sendable {
    // SAFETY: a POSIX semaphore is made for use by many threads; it lives as long as the process.
    private let semaphore: UnsafeMutablePointer<sem_t>

    init(places: UInt32) {
        semaphore = .allocate(capacity: 1)
        semaphore.initialize(to: sem_t())
        let made = sem_init(semaphore, 0, places)
        precondition(made == 0, "sem_init of a small number cannot fail")
    }

    func use<Result>(_ body: () -> Result) -> Result {
        while sem_wait(semaphore) != 0 && errno == EINTR {}
        defer { sem_post(semaphore) }
        return body()
    }
}
