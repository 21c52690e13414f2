internal import Glibc
internal import Synchronization
public import SystemPackage

/// The right to serve one device: its UIO node, open.
///
/// The kernel lets one process at a time have a node (tcmu_open: EBUSY), across all namespaces and whatever kind of daemon it
/// is. So who has a claim is the only one at work on the device, and nobody else may touch its gate or its ring: what does that
/// takes the claim as an argument. Rings come and go under one claim.
public final class NodeClaim: Sendable {
    /// The device that the node was found to belong to, after it was open.
    public let node: UIONode
    private let sysfs: FilePath
    private let held: Mutex<RingDescriptors?>

    /// Opens the node, and then looks whether it still is that device's: numbers are given again.
    ///
    /// - Parameters:
    ///   - sysfs: where sysfs is mounted.
    ///   - open: opens the node; may block.
    /// - Throws: what `open` throws, EBUSY among it; ``RingError/otherDevice(node:)`` where the node has another device by
    ///   now, or none.
    public init(
        _ node: UIONode, sysfs: FilePath, open: () throws(RingError) -> RingDescriptors
    ) throws(RingError) {
        self.node = node
        self.sysfs = sysfs
        let descriptors = try open()
        held = Mutex(descriptors)
        guard isAlive(descriptors) else {
            release()
            throw .otherDevice(node: node.nodeName)
        }
    }

    deinit { release() }

    /// Lets go of the node; rings that were mapped keep it open until they are dropped. Nothing is written under this claim any
    /// more. May be called any number of times, and while another thread uses the claim.
    public func release() {
        let descriptors = held.withLock { held in
            defer { held = nil }
            return held
        }
        descriptors?.closeAll()
    }

    /// Whether the node is held and its device is there: not let go of, not removed.
    public var isHeld: Bool {
        guard let hold = hold() else { return false }
        defer { hold.closeAll() }
        return isAlive(hold)
    }

    /// Runs `body` while the node is certainly held and is the device's. - Returns: nil, without having run it, if it is not.
    public func whileHeld<Result>(_ body: () -> Result) -> Result? {
        guard let hold = hold() else { return nil }
        defer { hold.closeAll() }
        guard isAlive(hold) else { return nil }
        return body()
    }

    /// Maps the node's ring. - Throws: ``RingError/otherDevice(node:)`` if the node has been let go of.
    public func mapRing(openLimit: Int) throws(RingError) -> CommandRing {
        guard let hold = hold() else { throw .otherDevice(node: node.nodeName) }
        return try CommandRing(hold, openLimit: openLimit)
    }

    /// Descriptors of its own for the caller, which closes them: what it does is not cut short by ``release()``.
    private func hold() -> RingDescriptors? {
        held.withLock { $0?.duplicate() }
    }

    private func isAlive(_ descriptors: RingDescriptors) -> Bool {
        // K:uio_poll fails once the device is unregistered, which poll(2) shows as error bits.
        var entries = [
            pollfd(fd: descriptors.notify, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptors.doorbell, events: 0, revents: 0),
        ]
        while poll(&entries, 2, 0) < 0 { if errno != EINTR { return false } }
        guard entries.allSatisfy({ $0.revents & Int16(POLLERR | POLLHUP | POLLNVAL) == 0 }) else { return false }
        do throws(UIONodeError) {
            return try UIONode(minor: node.minor, sysfs: sysfs) == node
        } catch {
            return false
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
