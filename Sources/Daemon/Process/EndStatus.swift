/// Why the daemon has ended, for who starts it: a service manager must know what a restart cannot mend.
///
/// Numbers are those of sysexits.h where it has one. The unit's `RestartPreventExitStatus=` holds exactly the permanent
/// ones; a test compares the two.
public enum EndStatus: Int32, CaseIterable, Sendable {
    /// Asked to, by SIGTERM or SIGINT.
    case stopped = 0
    /// It served, and could not go on.
    case failed = 1
    /// The command line is wrong.
    case usage = 64
    /// The kernel has no TCMU.
    case noTCMU = 69
    /// No thread, no descriptor, no netlink, a module that does not load: what the system refused just now.
    case systemRefused = 71
    /// configfs is not mounted.
    case noConfigFS = 72
    /// The lock file cannot be made or locked.
    case lockUnusable = 73
    /// Another daemon runs.
    case alreadyRunning = 75
    /// Not root, or without a right that root has elsewhere.
    case notPermitted = 77

    /// Whether a further start can have no other end, as long as nobody changes the machine or the command line. What may pass
    /// by itself is not: another daemon that ends, a file system that is mounted later.
    public var isPermanent: Bool {
        switch self {
        case .usage, .noTCMU, .notPermitted: true
        case .stopped, .failed, .systemRefused, .noConfigFS, .lockUnusable, .alreadyRunning: false
        }
    }

    /// For the list in `--help`.
    public var meaning: String {
        switch self {
        case .stopped: "stopped by SIGTERM or SIGINT"
        case .failed: "could not go on; devices stay configured"
        case .usage: "wrong command line"
        case .noTCMU: "the kernel has no TCMU and no module of it is installed"
        case .systemRefused: "the system refused a thread, a descriptor, netlink or the module's loading"
        case .noConfigFS: "configfs is not mounted, or the target core is not in it"
        case .lockUnusable: "the lock file cannot be made or locked"
        case .alreadyRunning: "another daemon runs"
        case .notPermitted: "not root, or without the right to load the module"
        }
    }

    /// All of them, a line each, in the order of their numbers.
    public static var list: String {
        allCases.map { status in
            let number = String(status.rawValue)
            return "  " + String(repeating: " ", count: 2 - number.count) + number + "  " + status.meaning
                + (status.isPermanent ? " (permanent)" : "")
        }.joined(separator: "\n")
    }
}
