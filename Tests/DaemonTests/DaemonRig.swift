import Configuration
import Glibc
import KernelFiles
import Logging
import Synchronization
import SystemPackage
import TCMUNetlink
import TCMURing
import TCMUTestKit

@testable import Daemon

/// The daemon's control plane with the kernel played around it: netlink by a peer, sysfs and configfs by a directory,
/// nodes by simulated rings. The test's task is the kernel.
final class DaemonRig {
    /// How long a thing that must happen is waited for. Far more than it takes: when all tests run at once on two cores, a
    /// task may be resumed half a minute late.
    private static let patience = Duration.seconds(240)

    let tree = KernelTree()
    let log = LogRecorder()
    let nodes = NodeStand()
    let table: DeviceTable
    private let peer: PeerBox
    private let session: NetlinkSession
    private let loops: LoopPool
    private var answers: [NetlinkRequest: [Int32]] = [:]

    init(
        openTimeout: Duration = .seconds(600), _ change: (inout ServiceConfiguration) -> Void = { _ in },
        environment changeEnvironment: (inout DeviceEnvironment) -> Void = { _ in }
    ) throws {
        let peer = try NetlinkPeer()
        let session = try peer.makeSession()
        precondition(peer.nextMessage()?.command == 7, "the session begins with SET_FEATURES")
        (self.peer, self.session) = (PeerBox(peer: peer), session)
        var configuration = tree.configuration
        configuration.openTimeout = openTimeout
        configuration.removeTimeout = .seconds(600)
        change(&configuration)
        loops = try LoopPool(count: 1)
        let nodes = nodes
        var environment = DeviceEnvironment(service: configuration, loops: loops, logger: log.logger) {
            request, errno in
            // What fails here is an answer missing there.
            try? session.reply(to: request, error: errno)
        }
        environment.openNode = { path, size throws(RingError) in try nodes.open(path, size) }
        environment.busyPatience = .milliseconds(200)
        changeEnvironment(&environment)
        table = DeviceTable(environment: environment)
    }

    /// Closes all devices and ends the loops.
    func stop() async {
        await table.stopAll(within: .seconds(20))
        await loops.stop()
    }

    // MARK: - Netlink

    /// Announces something about a device; its request has the minor plus 100 as device id.
    @discardableResult
    func announce(_ kind: NetlinkRequest.Kind, _ device: SimulatedDevice, change: DeviceChange? = nil) async throws
        -> NetlinkRequest
    {
        peer.peer.send(
            kind, minor: device.minor, deviceID: device.minor + 100, name: device.nodeName, change: change)
        try await deliver()
        return NetlinkRequest(kind: kind, deviceID: device.minor + 100)
    }

    /// Sends a datagram as it is.
    func send(_ bytes: [UInt8]) async throws {
        peer.peer.send(bytes)
        try await deliver()
    }

    /// Hands the daemon what has been sent, as the listener's thread does.
    private func deliver() async throws {
        for event in try session.receive() { _ = await table.handle(event) }
    }

    /// The status that a request is answered with: 0 or a negative errno. Returns nil if no answer comes.
    func answer(to request: NetlinkRequest) async -> Int32? {
        for _ in 0..<6 {
            if let given = answers[request]?.first { return given }
            await receive()
        }
        return nil
    }

    /// Waits half a second, in which nothing is answered but what is asked last.
    func expectSilence() async throws {
        try await Task.sleep(for: .milliseconds(500))
        // Answers come in order; any other would have come before this one.
        let last = try await announce(.removed, SimulatedDevice(77, "mem/nobody"))
        let status = await answer(to: last)
        precondition(status == 0)
        precondition(answers.count == 1, "answered: \(answers)")
        answers = [:]
    }

    /// All answers so far, by request.
    var allAnswers: [NetlinkRequest: [Int32]] { answers }

    /// Forgets the answers so far: device ids come again.
    func forgetAnswers() { answers = [:] }

    private func receive() async {
        let peer = peer
        // Five seconds at most; a thread of its own, since the pool has no more threads than the machine has CPUs.
        let message = await BlockingCall.run("test-peer") { peer.peer.nextMessage() }
        guard let message = message ?? nil, let kind = NetlinkRequest.Kind(rawValue: message.command &- 3),
            let deviceID = message.deviceID, let status = message.status
        else { return }
        answers[NetlinkRequest(kind: kind, deviceID: deviceID), default: []].append(status)
    }

    // MARK: - Waiting

    /// Waits for a line in the log. Returns false if none comes in good time.
    func logs(_ words: String) async -> Bool {
        let log = log
        return await BlockingCall.wait(atMost: Self.patience) { log.contains(words) }
    }

    /// Waits until an attribute holds what the daemon is to write. Returns false if it does not in good time.
    func reads(_ name: String, _ text: String) async -> Bool {
        let tree = tree
        return await BlockingCall.wait(atMost: Self.patience) { tree.read(name) == text }
    }

    /// Waits until an opening that nobody waits for any longer has ended, and nobody holds `path` open.
    ///
    /// - Returns: false if that does not come in good time.
    func opensAndLetsGo(of path: String) async -> Bool {
        let log = log
        return await BlockingCall.wait(atMost: Self.patience) {
            log.contains("nobody waits for it any longer") && openDescriptors(of: path) == 0
        }
    }

    /// Waits until a device's backend is being opened: its node is claimed by then. Returns false if it never is.
    func isOpening(minor: UInt32) async -> Bool {
        await BlockingCall.wait(atMost: Self.patience) { hasThread(named: "open-uio\(minor)") }
    }

    /// Waits until the daemon has `count` devices. Returns false if it has not in good time.
    func hasDevices(_ count: Int) async -> Bool {
        let table = table
        return await BlockingCall.wait(atMost: Self.patience) { await table.status().count == count }
    }
}

/// Carries the peer to the thread that waits for its next message.
private struct PeerBox: @unchecked Sendable {
    // SAFETY: the test's task sends and then waits for the thread that receives; both only use the socket.
    let peer: NetlinkPeer
}

/// Simulated rings in place of /dev/uioN.
final class NodeStand: Sendable {
    private struct Node {
        let descriptors: RingDescriptors
        /// Kept: without it the kernel's side of the node is gone.
        let kernel: KernelSide
        var opened = 0
        var isHeldElsewhere = false
        var willOpen: @Sendable () -> Void = {}
    }

    private struct KernelSide: @unchecked Sendable {
        // SAFETY: only kept alive.
        let ring: RingSimulator
    }

    private let nodes = Mutex<[String: Node]>([:])

    /// Puts a ring where `uio<minor>` is looked for.
    func put(_ ring: RingSimulator, minor: UInt32) {
        let descriptors = ring.ringDescriptors()
        let kernel = KernelSide(ring: ring)
        nodes.withLock { $0["uio\(minor)"] = Node(descriptors: descriptors, kernel: kernel) }
    }

    /// Runs `body` on the opener's thread before each further open of a node.
    func beforeOpening(minor: UInt32, _ body: @escaping @Sendable () -> Void) {
        nodes.withLock { $0["uio\(minor)"]?.willOpen = body }
    }

    /// Another process has the node, or lets go of it.
    func hold(minor: UInt32, _ isHeld: Bool) {
        nodes.withLock { $0["uio\(minor)"]?.isHeldElsewhere = isHeld }
    }

    /// How often a node has been opened.
    func openings(minor: UInt32) -> Int { nodes.withLock { $0["uio\(minor)"]?.opened ?? 0 } }

    /// As the kernel's open: descriptors that the caller closes, or ENOENT.
    func open(_ path: String, _ size: Int) throws(RingError) -> RingDescriptors {
        let name = String(path.split(separator: "/").last ?? "")
        guard let node = nodes.withLock({ $0[name] }) else {
            return try RingDescriptors.openNode(path: path, mapSize: size)
        }
        if node.isHeldElsewhere { throw .open(path: path, .resourceBusy) }
        node.willOpen()
        nodes.withLock { $0[name]?.opened += 1 }
        return RingDescriptors(
            region: dup(node.descriptors.region), notify: dup(node.descriptors.notify),
            doorbell: dup(node.descriptors.doorbell), mapSize: size)
    }

    deinit {
        nodes.withLock { nodes in
            for node in nodes.values {
                for descriptor in [node.descriptors.region, node.descriptors.notify, node.descriptors.doorbell] {
                    close(descriptor)
                }
            }
        }
    }
}

/// The kernel's side of a ring, for tasks: whoever waits for a completion waits on a thread of its own.
struct KernelRing: @unchecked Sendable {
    // SAFETY: one test's task uses it, and waits while a thread of `perform` does.
    let simulator: RingSimulator

    init() throws {
        simulator = try RingSimulator(RingGeometry(pages: 16, dataBlocks: 64))
    }

    /// Sends one command and waits for its end. Returns nil if nothing comes back within 20 s.
    func perform(_ cdb: [UInt8], dataOut: [UInt8] = [], dataInLength: Int = 0) async -> RingCompletion? {
        let result = await BlockingCall.run("test-ring") { () -> RingCompletion? in
            guard simulator.post(cdb: cdb, dataOut: dataOut, dataInLength: dataInLength) != nil else { return nil }
            simulator.notify()
            return simulator.reapCompletions(count: 1).first
        }
        return result ?? nil
    }
}

/// How many of this process's descriptors are open on a file.
func openDescriptors(of path: String) -> Int {
    (0..<1024).count { number in
        var target = [CChar](repeating: 0, count: 512)
        let length = readlink("/proc/self/fd/\(number)", &target, target.count)
        return length > 0
            && String(decoding: target.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) == path
    }
}

/// A claim on a device's node without a ring in it, for what is looked at before the ring is mapped.
func emptyClaim(_ node: UIONode, in tree: KernelTree) throws -> NodeClaim {
    try NodeClaim(node, sysfs: tree.configuration.sysfsRoot) { () throws(RingError) in
        try RingDescriptors.openNode(path: "/dev/null", mapSize: node.mapSize)
    }
}

/// Whether this process has a thread of that name.
func hasThread(named name: String) -> Bool {
    guard let stream = opendir("/proc/self/task") else { return false }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
        let thread = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard let file = fopen("/proc/self/task/\(thread)/comm", "r") else { continue }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = fread(&bytes, 1, bytes.count, file)
        if String(decoding: bytes.prefix(count).prefix { $0 != 10 }, as: UTF8.self) == name { return true }
    }
    return false
}
