internal import BlockBackend
internal import Configuration
internal import DBusService
internal import Logging
internal import Synchronization

/// The daemon as others on the machine see it: ready, for the service manager, and on the system bus, for targetcli.
///
/// Ready once the devices that were there are adopted: what is ordered after the daemon (rbd-target-api) finds its LUNs at work,
/// as with the original. But no image that hangs can keep it from becoming ready: a service manager ends a start that takes too
/// long, and with it all LUNs that are at work already. The bus has nothing to wait for.
final class BusPresence: Sendable {
    private enum State {
        case waiting
        case there(DBusService?)
        case ended
    }

    private let configuration: ServiceConfiguration
    private let budget: ResourceBudget
    private let logger: Logger
    private let state = Mutex<State>(.waiting)

    init(_ configuration: ServiceConfiguration, budget: ResourceBudget, logger: Logger) {
        self.budget = budget
        self.configuration = configuration
        self.logger = logger
    }

    /// Goes on the bus, waits for the devices of `table`, for a bounded time, and says that it is ready.
    func begin(whenSettled table: DeviceTable) async {
        let bus = configuration.usesDBus ? DBusService() : nil
        let mayAppear = state.withLock { state in
            guard case .waiting = state else { return false }
            state = .there(bus)
            return true
        }
        guard mayAppear else { return }
        if let bus {
            Task(executorPreference: ControlThread.shared) { await self.converse(bus) }
        } else if configuration.usesDBus {
            logger.notice("no D-Bus: no descriptor is left for it")
        }
        let limit = min(configuration.readyPatience, configuration.openTimeout)
        let isSettled = await BlockingCall.wait(atMost: limit) { await table.hasSettled() }
        let isThere = state.withLock { if case .there = $0 { true } else { false } }
        guard isThere else { return }
        if !isSettled { logger.notice("ready, though not every device that was there is open after \(limit)") }
        ServiceManager.ready()
    }

    /// On the control thread, which is there anyway; a turn never waits for anything.
    private func converse(_ bus: DBusService) async {
        let loop = bus.makeLoop(ConfigurationCheck.subtypes(budget)) { [logger] event in Self.tell(event, logger) }
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
