internal import BlockBackend
internal import Configuration
internal import KernelFiles
internal import Logging
internal import LogicalUnit
internal import Reactor
internal import SCSI
internal import SystemPackage
internal import TCMUNetlink

/// What the kernel wants changed of a device at work.
extension Device {
    /// A setting is to change. Returns what the kernel is told.
    func reconfigure(_ change: DeviceChange) async -> Errno? {
        changesUnderWay += 1
        defer { changesUnderWay -= 1 }
        switch change {
        case .size(let bytes) where bytes == openedBytes: return nil
        case .configuration(let text) where text == node.name.configuration: return nil
        case .size(let bytes): return await resize(to: bytes)
        case .writeCache(let enabled): return await writeCache(is: enabled)
        case .configuration, .unknown: return .notSupportedOnSocket
        }
    }

    /// Only a value that is there already is taken. Tools that restore a configuration write back every attribute that they
    /// have saved, changed or not, and the kernel asks each time.
    private func writeCache(is enabled: Bool) async -> Errno? {
        // What the unit tells initiators: the backend's word, and MODE SELECT's.
        if let unit, let loop, await loop.run(unit, { unit.hasWriteCache }) == enabled { return nil }
        let backstore = backstore
        // Bound: configfs holds up readers while the device is being removed, and the kernel waits for this answer.
        let noted = await BlockingCall.run("cache-\(node.nodeName)", atMost: .seconds(2)) { () -> Bool? in
            do throws(KernelFileError) { return try backstore.emulatesWriteCache() } catch { return nil }
        }
        if noted == enabled { return nil }
        logger.error(
            """
            \(label): emulate_write_cache cannot become \(enabled ? 1 : 0): whether there is a write cache is up to the backend. \
            Where it has one, initiators can switch it with MODE SELECT (WCE)
            """)
        return .notSupportedOnSocket
    }

    /// Source: the original's dev_resize. Blocks beyond the storage and fewer blocks than initiators know are refused.
    private func resize(to bytes: UInt64) async -> Errno? {
        if life.state == .waiting { return await resizeWaiting(to: bytes) }
        guard let unit, let loop, life.state == .serving, let keeper = unit.keeper else {
            logger.error("\(label): the size cannot change from \(openedBytes) to \(bytes) bytes while in use")
            return .notSupportedOnSocket
        }
        let before = openedBytes
        guard bytes > before, bytes % blockBytes == 0 else {
            logger.error(
                """
                \(label): the size cannot change from \(before) to \(bytes) bytes; expected more than now, in whole blocks
                """)
            return .invalidArgument
        }
        let failure = await BlockingCall.run("resize-\(node.nodeName)", atMost: environment.service.removeTimeout) {
            () -> BackendError? in
            do throws(BackendError) {
                try keeper.resize(to: bytes)
                return nil
            } catch {
                return error
            }
        }
        switch failure {
        case .some(nil): break
        case .some(.some(let error)):
            logger.error("\(label): the size stays \(before) bytes: \(error)")
            return error.errno
        case nil:
            logger.error("\(label): the size stays \(before) bytes: the storage does not answer in time")
            return .timedOut
        }
        // Two at once would be the kernel's mistake; the larger one stays.
        guard bytes > openedBytes else { return nil }
        openedBytes = bytes
        await loop.run(unit) { unit.resize(bytes: bytes) }
        // Removed meanwhile, it has left its copy group and must not be put there again; the kernel drops this answer.
        guard life.state == .serving, self.loop === loop else { return .interrupted }
        copyMembership?.profile.capacity = Capacity(
            blocks: bytes / blockBytes, blockSize: UInt32(clamping: blockBytes))
        copyMembership?.join(unit, loop)
        logger.notice("\(label): resized from \(before) to \(bytes) bytes; initiators are told by a unit attention")
        return nil
    }

    /// A device that waits for its storage is opened with whatever size it has then. Initiators keep at least what they know.
    private func resizeWaiting(to bytes: UInt64) async -> Errno? {
        let backstore = backstore
        // Bound: as for the write cache.
        let known = await BlockingCall.run("size-\(node.nodeName)", atMost: .seconds(2)) {
            () -> (bytes: UInt64, block: UInt64)? in
            do throws(KernelFileError) {
                return (try backstore.size(), UInt64(clamping: try backstore.blockSize()))
            } catch {
                return nil
            }
        }
        guard let known, let known, known.block > 0 else {
            logger.error(
                "\(label): the size cannot change to \(bytes) bytes: configfs does not tell the present one")
            return .notSupportedOnSocket
        }
        guard bytes >= known.bytes, bytes % known.block == 0 else {
            logger.error(
                """
                \(label): the size cannot change from \(known.bytes) to \(bytes) bytes; expected more than now, in whole blocks
                """)
            return .invalidArgument
        }
        logger.notice(
            "\(label): is to have \(bytes) bytes instead of \(known.bytes) once its storage can be opened")
        return nil
    }
}
