internal import CLinux
internal import CTCMU
internal import Glibc
public import SystemPackage
public import TCMURing

/// The kernel's side of one TCMU ring, played in process over a memfd.
///
/// It posts entries as target_core_user does (entry sizes, PAD at the wrap, first-fit data blocks whose
/// neighbours share an iovec, lowest free command id) and walks completions as it does, trusting nothing of a
/// slot but id, flags, status, READ_LEN and sense. Beyond the kernel it checks every move of the daemon and
/// records what it finds in ``violations``.
///
/// One thread plays the kernel at a time. The daemon's side runs wherever it likes, on its own mapping.
public final class RingSimulator {
    /// Sizes and flags that the mailbox was made with.
    public let geometry: RingGeometry

    /// The memfd that stands in for /dev/uioN's memory.
    let regionDescriptor: CInt
    /// An eventfd that stands in for the readable side of /dev/uioN.
    let notifyDescriptor: CInt
    /// The write end of a pipe that stands in for the writable side: 4 bytes per doorbell.
    let doorbellDescriptor: CInt

    let base: UnsafeMutableRawPointer
    let doorbellReader: CInt

    /// Where the next entry goes: the kernel's own copy of cmd_head.
    public internal(set) var head: UInt32 = 0
    /// First entry whose completion has not been looked at: the kernel's cmdr_last_cleaned.
    public internal(set) var lastCleaned: UInt32 = 0
    /// What the daemon did against the protocol, oldest first.
    public internal(set) var violations: [RingViolation] = []
    /// The kernel's BROKEN bit: set by the first violation, completions are no longer handled until a reset.
    public internal(set) var isBroken = false
    /// Doorbells rung since the start.
    public internal(set) var doorbells = 0
    /// Notifications sent since the start.
    public internal(set) var notifications = 0
    /// Commands put in the ring since the start.
    public internal(set) var posted = 0
    /// PAD entries put in the ring since the start.
    public internal(set) var pads = 0
    /// Data-In areas are filled with this byte when a command is posted, so that data the daemon never wrote shows.
    public var poison: UInt8? = 0xA5
    /// What ``layGuard(_:)`` has filled the data area with, and what finished commands' pieces are filled with again.
    var guardByte: UInt8?
    /// No command has had a higher id since the last reset.
    var highestID = 0

    var blocks: FirstFitBitmap
    var ids = FirstFitBitmap(capacity: 65536)
    /// Follower of each taken data block in its command's chain.
    let nextBlock: UnsafeMutablePointer<UInt32>
    /// By command id.
    let commands: UnsafeMutablePointer<PostedCommand>
    var entries: EntryLog
    var doorbellScrap: UnsafeMutableRawBufferPointer
    /// Commands posted and not yet finished (or kept).
    public internal(set) var inFlight = 0

    /// Creates the memory with an empty ring in it.
    ///
    /// - Throws: EMFILE, ENFILE, ENOMEM.
    public init(_ geometry: RingGeometry = RingGeometry()) throws(Errno) {
        precondition(
            geometry.ringBytes >= 1024 && geometry.ringBytes % 8 == 0, "ring of \(geometry.ringBytes) bytes")
        self.geometry = geometry
        let memory = clinux_memfd_create("tcmu-ring")
        guard memory >= 0 else { throw Errno(rawValue: -memory) }
        let event = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        var ends: (CInt, CInt) = (-1, -1)
        let piped = withUnsafeMutablePointer(to: &ends) {
            $0.withMemoryRebound(to: CInt.self, capacity: 2) { pipe($0) }
        }
        guard event >= 0, piped == 0, ftruncate(memory, off_t(geometry.mapSize)) == 0,
            let mapped = mmap(nil, geometry.mapSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0),
            mapped != MAP_FAILED
        else {
            let failure = Errno(rawValue: errno)
            for descriptor in [memory, event, ends.0, ends.1] where descriptor >= 0 { close(descriptor) }
            throw failure
        }
        for descriptor in [ends.0, ends.1] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends.0, F_SETFL, O_NONBLOCK)
        regionDescriptor = memory
        notifyDescriptor = event
        doorbellReader = ends.0
        doorbellDescriptor = ends.1
        base = mapped
        blocks = FirstFitBitmap(capacity: geometry.dataBlocks)
        nextBlock = .allocate(capacity: max(geometry.dataBlocks, 1))
        nextBlock.initialize(repeating: 0, count: max(geometry.dataBlocks, 1))
        commands = .allocate(capacity: 65536)
        commands.initialize(repeating: PostedCommand(), count: 65536)
        entries = EntryLog(capacity: geometry.ringBytes / 8 + 1)
        doorbellScrap = .allocate(byteCount: 4096, alignment: 8)
        // xa_alloc hands out 1...65535.
        _ = ids.take()
        writeMailbox()
    }

    deinit {
        munmap(base, geometry.mapSize)
        for descriptor in [regionDescriptor, notifyDescriptor, doorbellReader, doorbellDescriptor] {
            close(descriptor)
        }
        nextBlock.deallocate()
        commands.deallocate()
        doorbellScrap.deallocate()
    }

    private func writeMailbox() {
        poke(geometry.version, at: 0)
        poke(geometry.flags, at: 2)
        poke(UInt32(geometry.ringOffset), at: 4)
        poke(UInt32(geometry.ringBytes), at: 8)
    }

    /// What the daemon attaches with: duplicates, since a ring closes what it was given.
    public func ringDescriptors() -> RingDescriptors {
        RingDescriptors(
            region: dup(regionDescriptor), notify: dup(notifyDescriptor), doorbell: dup(doorbellDescriptor),
            mapSize: geometry.mapSize)
    }

    /// Descriptors of this process that are open on the ring's memory, the simulator's own not counted: whoever has one holds
    /// the node.
    public var openElsewhere: Int {
        var own = stat()
        guard fstat(regionDescriptor, &own) == 0 else { return 0 }
        var count = -1
        // Bound: suites that run beside one another have thousands open.
        for number in CInt(0)..<65_536 {
            var other = stat()
            if fstat(number, &other) == 0, other.st_dev == own.st_dev, other.st_ino == own.st_ino { count += 1 }
        }
        return count
    }

    /// Makes the daemon's notification descriptor readable, as the end of a batch (unplug) does in the kernel.
    public func notify() {
        notifications += 1
        var one: UInt64 = 1
        while write(notifyDescriptor, &one, 8) < 0 && errno == EINTR {}
    }

    /// Takes the device away, as its removal does: doorbells fail from now on (EIO there, EPIPE here). SIGPIPE is
    /// ignored for the process from then on.
    public func hangUp() {
        signal(SIGPIPE, SIG_IGN)
        // The descriptor's number stays in use, or another file might take it.
        let null = open("/dev/null", O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        if null >= 0 {
            dup2(null, doorbellReader)
            close(null)
        }
    }

    /// `action/reset_ring`: forgets every command, moves head and tail to 0 and clears BROKEN.
    ///
    /// - Returns: ids of the commands that were in flight; the kernel has answered them with BUSY or CHECK
    ///   CONDITION, and their buffers may be reused at once.
    @discardableResult
    public func resetRing() -> [UInt16] {
        var dropped: [UInt16] = []
        for id in 0...highestID where commands[id].state != .free {
            if commands[id].state == .inRing { dropped.append(UInt16(id)) }
            release(UInt16(id))
        }
        highestID = 0
        entries.removeAll()
        head = 0
        lastCleaned = 0
        isBroken = false
        ctcmu_store_head(base, 0)
        ctcmu_store_tail(base, 0)
        return dropped
    }
}

/// What the kernel remembers of a command in the ring.
struct PostedCommand {
    enum State: UInt8 {
        case free
        case inRing
        /// Completed with KEEP_BUF: id and blocks stay taken.
        case kept
    }

    var state = State.free
    var blockCount: UInt32 = 0
    var firstBlock: UInt32 = 0
    /// Data-Out bytes; their blocks come first in the chain.
    var outBytes: UInt32 = 0
    /// Data-In bytes.
    var inBytes: UInt32 = 0
}
