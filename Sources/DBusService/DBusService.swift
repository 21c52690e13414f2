internal import CSystemd
internal import Glibc

/// The daemon on the system bus: org.kernel.TCMUService1, by which targetcli learns what backends there are and asks
/// whether a configuration text will do (contract of the original: tcmu-handler.xml).
///
/// All of it is a convenience: without a bus, or when it goes away, nothing else changes. This is the half that any thread may
/// use; ``BusLoop`` does the work, in turns on a thread that has other things to do.
public final class DBusService: Sendable {
    let shared: BusMailbox

    /// How the bus is used; the defaults are the daemon's.
    public struct Options: Sendable {
        /// D-Bus address; nil is the system bus.
        public var address: String?
        /// How long a check may take until it is answered for with "does not end".
        public var checkLimit = Duration.seconds(20)
        /// How long to wait for the bus before a line is worth it.
        public var patience = Duration.seconds(5)

        /// All defaults.
        public init() {}
    }

    /// - Returns: nil if the system has no descriptor left.
    public init?() {
        guard let shared = BusMailbox.make() else { return nil }
        self.shared = shared
    }

    /// What goes on the bus with an object for each of `subtypes`, once it gets its turns. One for each service.
    ///
    /// - Parameter report: called from within a turn.
    public func makeLoop(
        _ subtypes: [ServedSubtype], options: Options = Options(), report: @escaping @Sendable (BusEvent) -> Void
    ) -> BusLoop {
        BusLoop(subtypes, options, shared, report)
    }

    /// Leaves the bus with the loop's next turn, for which it wakes up.
    public func stop() {
        shared.stop()
    }

    /// How the daemon is known.
    public static let name = "org.kernel.TCMUService1"

    /// Bound: bytes of a configuration text that are looked at; the kernel keeps 255 (target_core_user, TCMU_CONFIG_LEN).
    public static let longestText = 255
}

/// The service manager's view of the daemon (sd_notify); without a manager that asks for it nothing happens.
public enum ServiceManager {
    /// Whether one has started this process and waits for its word.
    public static var isPresent: Bool { getenv("NOTIFY_SOCKET") != nil }

    /// The devices that were there are adopted, and what starts after us may start.
    public static func ready() { _ = csystemd_notify("READY=1") }

    /// The daemon is on its way out.
    public static func stopping() { _ = csystemd_notify("STOPPING=1") }
}
