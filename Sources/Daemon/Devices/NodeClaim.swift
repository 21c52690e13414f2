internal import Glibc
internal import KernelFiles
internal import Synchronization
internal import SystemPackage
internal import TCMURing

/// The right to serve one device: its UIO node, open.
///
/// The kernel lets one process at a time have a node (tcmu_open: EBUSY), across all namespaces and whatever kind of daemon it
/// is. So who has a claim is the only one at work on the device, and nobody else may touch its gate or its ring: what does that
/// takes the claim as an argument. Rings come and go under one claim.
final class NodeClaim: Sendable {
    /// The device that the node was found to belong to, after it was open.
    let node: UIONode
    private let sysfs: FilePath
    private let held: Mutex<RingDescriptors?>

    /// Opens the node, and then looks whether it still is that device's: numbers are given again.
    ///
    /// - Parameters:
    ///   - sysfs: where sysfs is mounted.
    ///   - open: opens the node; may block.
    /// - Throws: what `open` throws, EBUSY among it, and the same with the error of sysfs where that cannot be read; ``RingError/otherDevice(node:)`` where the node has another device by
    ///   now, or none.
    init(
        _ node: UIONode, sysfs: FilePath, open: () throws(RingError) -> RingDescriptors
    ) throws(RingError) {
        self.node = node
        self.sysfs = sysfs
        let descriptors = try open()
        held = Mutex(descriptors)
        switch standing(of: descriptors) {
        case .held: break
        case .gone:
            release()
            throw .otherDevice(node: node.nodeName)
        case .unknown(let errno):
            release()
            throw .open(path: node.nodeName, errno)
        }
    }

    deinit { release() }

    /// Lets go of the node; rings that were mapped keep it open until they are dropped. Nothing is written under this claim any
    /// more. May be called any number of times, and while another thread uses the claim.
    func release() {
        let descriptors = held.withLock { held in
            defer { held = nil }
            return held
        }
        descriptors?.closeAll()
    }

    /// Whether the node is certainly let go of, or its device removed. What cannot be found out, as by a process that has no
    /// descriptor left, is no sign that a device has gone. Never blocks for long.
    var isGone: Bool {
        // Under the lock, so that the descriptors stay what they are; poll does not wait here.
        guard held.withLock({ $0.map(isUnregistered) }) == false else { return true }
        if case .gone = identity { return true }
        return false
    }

    /// Runs `body` while the node is certainly held and is the device's. Returns nil, without having run it, if it is not.
    func whileHeld<Result>(_ body: () -> Result) -> Result? {
        guard let hold = hold() else { return nil }
        defer { hold.closeAll() }
        guard case .held = standing(of: hold) else { return nil }
        return body()
    }

    /// Maps the node's ring. Throws ``RingError/otherDevice(node:)`` if the node has been let go of, EMFILE if no descriptor is
    /// left.
    func mapRing(openLimit: Int) throws(RingError) -> CommandRing {
        guard let hold = hold() else {
            if isGone { throw .otherDevice(node: node.nodeName) }
            throw .open(path: node.nodeName, .tooManyOpenFiles)
        }
        return try CommandRing(hold, openLimit: openLimit)
    }

    /// Descriptors of its own for the caller, which closes them: what it does is not cut short by ``release()``.
    private func hold() -> RingDescriptors? {
        held.withLock { $0?.duplicate() }
    }

    private enum Standing {
        case held
        case gone
        /// The look itself failed.
        case unknown(Errno)
    }

    private func standing(of descriptors: RingDescriptors) -> Standing {
        isUnregistered(descriptors) ? .gone : identity
    }

    /// K:uio_poll fails once the device is unregistered, which poll(2) shows as error bits.
    private func isUnregistered(_ descriptors: RingDescriptors) -> Bool {
        var entries = [
            pollfd(fd: descriptors.notify, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptors.doorbell, events: 0, revents: 0),
        ]
        while poll(&entries, 2, 0) < 0 { if errno != EINTR { return false } }
        return entries.contains { $0.revents & Int16(POLLERR | POLLHUP | POLLNVAL) != 0 }
    }

    /// What sysfs says of the number.
    private var identity: Standing {
        do throws(UIONodeError) {
            return try UIONode(minor: node.minor, sysfs: sysfs) == node ? .held : .gone
        } catch {
            switch error.reason {
            case .foreign, .malformed, .unreadable(.noSuchFileOrDirectory), .unreadable(.noSuchAddressOrDevice),
                .unreadable(.operationNotSupportedByDevice):
                return .gone
            case .unreadable(let errno): return .unknown(errno)
            }
        }
    }
}

extension RingDescriptors {
    /// The same open files under numbers of their own; nil if the process has none left.
    func duplicate() -> RingDescriptors? {
        func copy(_ descriptor: CInt) -> CInt { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }
        let first = copy(region)
        let second = notify == region ? first : copy(notify)
        let third = doorbell == region ? first : doorbell == notify ? second : copy(doorbell)
        let copies = RingDescriptors(region: first, notify: second, doorbell: third, mapSize: mapSize)
        guard first >= 0, second >= 0, third >= 0 else {
            copies.closeAll()
            return nil
        }
        return copies
    }
}
