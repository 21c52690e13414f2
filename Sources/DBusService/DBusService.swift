internal import CSystemd
internal import Glibc
internal import Reactor
internal import SystemPackage

/// The daemon on the system bus: org.kernel.TCMUService1, by which targetcli learns what backends there are and asks
/// whether a configuration text will do (contract of the original: tcmu-handler.xml).
///
/// All of it is a convenience: without a bus, or when it goes away, nothing else changes. A thread of its own waits for the
/// bus, for its socket to appear, and for checks to end; it wakes up for nothing else.
public final class DBusService: Sendable {
    private let shared: BusMailbox

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

    /// Goes on the bus with an object for each of `subtypes`. Returns at once.
    ///
    /// - Parameter report: called on the bus's thread.
    /// - Returns: nil if the system has no descriptor or thread left.
    public init?(
        _ subtypes: [ServedSubtype], options: Options = Options(), report: @escaping @Sendable (BusEvent) -> Void
    ) {
        guard let shared = BusMailbox.make() else { return nil }
        self.shared = shared
        let thread = OwnedThread(name: "tcmud-bus") {
            BusLoop(subtypes, options, shared, report).run()
        }
        guard let thread else { return nil }
        thread.detach()
    }

    /// Leaves the bus. Does not wait for it: a bus that hangs must not hold up a stop.
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
    /// The devices that were there are adopted, and what starts after us may start.
    public static func ready() { _ = csystemd_notify("READY=1") }

    /// The daemon is on its way out.
    public static func stopping() { _ = csystemd_notify("STOPPING=1") }
}
