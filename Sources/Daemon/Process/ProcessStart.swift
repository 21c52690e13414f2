internal import CLinux
internal import Glibc
public import Logging

/// What a process inherits from the one that started it, put right: the first thing that the daemon does, before there is a
/// second thread or a descriptor of its own.
public struct ProcessStart: Sendable {
    /// Descriptors 0 to 2 that were closed.
    let closedDescriptors: [Int32]
    /// Soft limits that were below the hard ones, and are no longer.
    let raised: [RaisedLimit]
    /// Whether the process leaves core files when it dies.
    let allowsCoreDumps: Bool

    /// Signals as ``SignalRule`` has them, standard descriptors open, soft limits as high as the hard ones, no core files.
    public init() {
        SignalRule.enforce()
        closedDescriptors = Self.openStandardDescriptors()
        // Keys of cephx and of encrypted images are in its memory, and data of initiators.
        allowsCoreDumps = clinux_set_dumpable(false) < 0
        raised = ResourceLimit.allCases.compactMap { $0.raise() }
    }

    /// Lets the process leave core files after all, for who looks for a defect.
    public func allowCoreDumps() {
        clinux_set_dumpable(true)
    }

    /// Says in the log what was put right.
    public func report(to logger: Logger) {
        if clinux_is_dumpable() {
            logger.warning("core files of this process would hold keys and data; keep them as such")
        }
        for limit in raised { logger.info("\(limit)") }
        guard !closedDescriptors.isEmpty else { return }
        logger.notice(
            "started without descriptors \(closedDescriptors): /dev/null is there instead, so that no device is")
    }

    /// Opens what is closed of descriptors 0 to 2: the next socket or device would land there, and be written to as standard
    /// error, or closed as standard input.
    private static func openStandardDescriptors() -> [Int32] {
        (0...2).filter { descriptor in
            guard fcntl(descriptor, F_GETFD) < 0 else { return false }
            // The lowest free one is taken, which is this one. Without /dev/null the place is held by what no one can read
            // or write.
            if open("/dev/null", O_RDWR) < 0 { _ = open("/", O_RDONLY | O_DIRECTORY) }
            return true
        }
    }
}

/// A limit of the process whose soft value is worth being raised.
enum ResourceLimit: CaseIterable, Sendable {
    case descriptors
    case processes
    case lockedMemory
    case addressSpace
    case data
    case fileSize
    case cpuTime

    private var kernelName: clinux_limit {
        switch self {
        case .descriptors: CLINUX_LIMIT_DESCRIPTORS
        case .processes: CLINUX_LIMIT_PROCESSES
        case .lockedMemory: CLINUX_LIMIT_LOCKED_MEMORY
        case .addressSpace: CLINUX_LIMIT_ADDRESS_SPACE
        case .data: CLINUX_LIMIT_DATA
        case .fileSize: CLINUX_LIMIT_FILE_SIZE
        case .cpuTime: CLINUX_LIMIT_CPU_TIME
        }
    }

    /// As setrlimit(2) calls it.
    var name: String {
        switch self {
        case .descriptors: "RLIMIT_NOFILE"
        case .processes: "RLIMIT_NPROC"
        case .lockedMemory: "RLIMIT_MEMLOCK"
        case .addressSpace: "RLIMIT_AS"
        case .data: "RLIMIT_DATA"
        case .fileSize: "RLIMIT_FSIZE"
        case .cpuTime: "RLIMIT_CPU"
        }
    }

    /// Soft and hard value; nil where the kernel does not tell. `UInt64.max` is none.
    var values: (soft: UInt64, hard: UInt64)? {
        var (soft, hard): (UInt64, UInt64) = (0, 0)
        return clinux_get_limit(kernelName, &soft, &hard) == 0 ? (soft, hard) : nil
    }

    /// Raises the soft limit to the hard one. Returns nil where there was nothing to raise.
    func raise() -> RaisedLimit? {
        guard let (soft, hard) = values, soft < hard, clinux_raise_limit(kernelName) == 0 else { return nil }
        return RaisedLimit(limit: self, from: soft, to: hard)
    }
}

/// A soft limit that was raised.
struct RaisedLimit: Equatable, Sendable, CustomStringConvertible {
    let limit: ResourceLimit
    let from: UInt64
    /// `UInt64.max` is none.
    let to: UInt64

    /// `RLIMIT_NOFILE: soft limit raised from 1024 to 1048576, the hard one`.
    var description: String {
        "\(limit.name): soft limit raised from \(from) to \(to == .max ? "unlimited" : "\(to)"), the hard one"
    }
}
