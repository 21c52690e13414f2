internal import CLinux
public import SystemPackage

/// What the daemon itself is told: limits, deadlines and where the system's trees are.
public struct ServiceConfiguration: Equatable, Sendable {
    /// Threads that serve logical units, whatever the number of units. At least 1.
    ///
    /// Default: one per CPU, at most 2. A loop at full speed fills a CPU and serves about a million commands a second;
    /// more than two pay off only with many busy units on many CPUs.
    public var loopThreads: Int
    /// CPUs that the loop threads stay on, one after the other and from the start again when there are more loops; empty
    /// leaves them to the scheduler. Default: empty.
    public var loopCPUs: [Int] = []
    /// For how long, in microseconds, a loop may watch for a unit's next command before it sleeps; a unit's own `spin`
    /// option outranks it. Default: 32 where the daemon may use four CPUs and more; with fewer, a CPU that watches is one
    /// that librbd or the initiator lacks, and it is 0.
    public var spinMicroseconds: UInt32
    /// How long the kernel waits for the answer to a new device before it is told ETIMEDOUT.
    ///
    /// Default 25 s: below the 30 s after which tools above (ceph-iscsi among them) give up, because whoever wrote
    /// `enable` sits uninterruptibly in the kernel until the answer comes.
    public var openTimeout: Duration
    /// How long a service manager is let wait for devices that were there at the start, before it is told that the daemon is
    /// ready without them. Default 5 s: images that open at all open within one or two.
    public var readyPatience = Duration.seconds(5)
    /// How long a device whose subtype is not served here is left to its own daemon before the kernel is answered in that one's
    /// place; nil is for ever.
    ///
    /// Default 5 s: a daemon that hears the kernel opens a device's node at once. One that has the node open is waited for
    /// without end.
    public var foreignPatience: Duration? = .seconds(5)
    /// Subtypes that are left to their own daemon whatever it takes. Default: none.
    public var foreignSubtypes: Set<String> = []
    /// How long the kernel waits for the answer to a removal; the rest of the closing goes on without it.
    ///
    /// Default 25 s, for the same reason as ``openTimeout``.
    public var removeTimeout: Duration
    /// The file whose lock makes this daemon the only one on the machine, also beside the original.
    ///
    /// Default `/run/tcmu.lock`.
    public var lockFile: FilePath
    /// Where the daemon notes what has to be undone if it dies; emptied by a reboot.
    ///
    /// Default `/run/tcmud`.
    public var runDirectory: FilePath
    /// Switch off the portal groups of a unit whose storage is away, as the original does. Default: no, since other units
    /// of the group go with it.
    public var disablesPortalGroupOnLoss = false
    /// Directory of the files with settings for one LUN each, ``LUNFiles``; need not exist. Default `/etc/tcmu/luns.d`.
    public var lunDirectory: FilePath = "/etc/tcmu/luns.d"
    /// Receive buffer of the netlink socket in bytes.
    ///
    /// Default 4 MiB: an event that finds it full is lost, and the kernel waits for an answer to it for ever. The
    /// kernel counts about 1 KiB per event, so this holds some thousands of devices configured at once.
    public var netlinkReceiveBuffer: Int
    /// Whether the daemon goes on the system bus as org.kernel.TCMUService1, which targetcli asks. Default: yes; without a
    /// bus it makes no difference.
    public var usesDBus = true
    /// Where sysfs is mounted. Default `/sys`.
    public var sysfsRoot: FilePath
    /// Where configfs is mounted. Default `/sys/kernel/config`.
    public var configFSRoot: FilePath
    /// Where device nodes are. Default `/dev`.
    public var deviceRoot: FilePath

    /// The defaults of each setting.
    public init() {
        loopThreads = Self.defaultLoopThreads
        spinMicroseconds = Self.usableCPUs >= 4 ? DeviceConfiguration.longestSpin : 0
        openTimeout = .seconds(25)
        removeTimeout = .seconds(25)
        lockFile = "/run/tcmu.lock"
        runDirectory = "/run/tcmud"
        netlinkReceiveBuffer = 4 << 20
        sysfsRoot = "/sys"
        configFSRoot = "/sys/kernel/config"
        deviceRoot = "/dev"
    }

    private static var defaultLoopThreads: Int { min(usableCPUs, 2) }

    /// What taskset, a cpuset or a unit file leave of the machine's CPUs.
    private static var usableCPUs: Int { max(Int(clinux_usable_cpus()), 1) }
}
