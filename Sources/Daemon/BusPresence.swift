internal import Configuration
internal import DBusService
internal import Logging
internal import Synchronization

/// The daemon as others on the machine see it: ready, for the service manager, and on the system bus, for targetcli.
///
/// Only once the devices that were there are adopted: what is ordered after the daemon (rbd-target-api) finds its LUNs
/// at work, as with the original.
final class BusPresence: Sendable {
    private enum State {
        case waiting
        case there(DBusService?)
        case ended
    }

    private let configuration: ServiceConfiguration
    private let logger: Logger
    private let state = Mutex<State>(.waiting)

    init(_ configuration: ServiceConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Waits for the devices of `table`, but not longer than one that hangs may take, and appears.
    func begin(whenSettled table: DeviceTable) async {
        _ = await BlockingCall.wait(atMost: configuration.openTimeout) { await table.hasSettled() }
        let bus = configuration.usesDBus ? DBusService() : nil
        let mayAppear = state.withLock { state in
            guard case .waiting = state else { return false }
            state = .there(bus)
            return true
        }
        guard mayAppear else { return }
        ServiceManager.ready()
        guard configuration.usesDBus else { return }
        guard let bus else { return logger.notice("no D-Bus: no descriptor is left for it") }
        await converse(bus)
    }

    /// On the control thread, which is there anyway; a turn never waits for anything.
    private func converse(_ bus: DBusService) async {
        let loop = bus.makeLoop(ConfigurationCheck.subtypes) { [logger] event in Self.tell(event, logger) }
        while let wait = loop.turn() {
            guard await ControlThread.wait(for: wait.descriptors, atMost: wait.limit) else {
                return logger.notice("no D-Bus: no control thread to wait for it")
            }
        }
    }

    /// Leaves, at once and for good.
    func end() {
        state.withLock { state in
            if case .there(let bus) = state { bus?.stop() }
            state = .ended
        }
        ServiceManager.stopping()
    }

    private static func tell(_ event: BusEvent, _ logger: Logger) {
        switch event {
        case .named: logger.info("on D-Bus as \(DBusService.name)")
        case .queued:
            logger.notice(
                "D-Bus: another process is \(DBusService.name); targetcli talks to that one until it ends")
        case .unavailable(let reason):
            logger.notice("no D-Bus: \(reason). It is waited for; without it targetcli shows no user backstores")
        case .lost(let reason): logger.notice("D-Bus is lost: \(reason). It is waited for; I/O goes on")
        case .unusable(let reason):
            logger.notice("D-Bus cannot be used: \(reason). Targetcli shows no user backstores; I/O goes on")
        }
    }
}
