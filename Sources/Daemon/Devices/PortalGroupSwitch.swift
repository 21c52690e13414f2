internal import KernelFiles
internal import Logging
internal import SystemPackage

/// Switches portal groups off while the storage of one of their units is away, as the original does: initiators are
/// logged out, and take other gateways for all units of the group.
///
/// Not done unless asked for (`--disable-portal-group-on-loss`): one bad image takes every other one of its portal group
/// away. Only groups that were on are switched off, and only those are switched on again: when the storage is back, when the
/// unit is removed, and, if this daemon dies in between, when the next one starts (``PortalGroupJournal``).
actor PortalGroupSwitch {
    private let tree: ConfigFSTree
    private let journal: PortalGroupJournal
    private let patience: Duration
    private let logger: Logger

    /// Units whose storage is away, with the portal groups that serve them once that has lasted; the number tells one loss
    /// from the next.
    private(set) var losses: [String: (number: Int, groups: Set<PortalGroup>)] = [:]
    private var lastLoss = 0
    /// Groups that are off because of us.
    private var disabled: Set<PortalGroup> = []
    /// Groups that could not be switched off, and are not tried again before the next loss.
    private var refused: Set<PortalGroup> = []
    private var isSettling = false

    /// A switch that has done nothing yet.
    ///
    /// - Parameters:
    ///   - journal: the directory for what has to be undone.
    ///   - patience: how long storage may be away before anything is done: a reconnect costs no session.
    init(tree: ConfigFSTree, journal: FilePath, patience: Duration = .seconds(5), logger: Logger) {
        self.tree = tree
        self.journal = PortalGroupJournal(directory: journal)
        self.patience = patience
        self.logger = logger
    }

    /// Takes over what an earlier daemon has left switched off, and switches it on again.
    func recover() async {
        let journal = journal
        let left = await BlockingCall.run("tpg-journal") { journal.entries() }
        disabled.formUnion(left ?? [])
        if !disabled.isEmpty { logger.notice("\(disabled.count) portal groups were left switched off") }
        await settle()
    }

    /// The storage of a unit is away; if it still is after a while, its portal groups are switched off.
    ///
    /// - Parameter unit: names the unit, for as long as it is there.
    func lost(_ unit: String, _ backstore: Backstore) async {
        guard losses[unit] == nil else { return }
        lastLoss += 1
        let number = lastLoss
        losses[unit] = (number, [])
        try? await ControlThread.sleep(for: patience)
        guard losses[unit]?.number == number else { return }
        let groups = await BlockingCall.run("tpg-members") { () -> Result<[PortalGroup], KernelFileError> in
            Result { () throws(KernelFileError) in try backstore.portalGroups() }
        }
        guard losses[unit]?.number == number else { return }
        switch groups {
        case .success(let groups):
            losses[unit]?.groups = Set(groups)
            refused.subtract(groups)
        case .failure(let error): logger.error("\(unit): its portal groups stay as they are: \(error)")
        case nil: logger.error("\(unit): its portal groups stay as they are: no thread left")
        }
        await settle()
    }

    /// The storage of a unit is back, or the unit has gone.
    func found(_ unit: String) async {
        guard losses.removeValue(forKey: unit) != nil else { return }
        await settle()
    }

    // MARK: - Work

    private var wanted: Set<PortalGroup> { losses.values.reduce(into: []) { $0.formUnion($1.groups) } }

    /// Switches one group after the other until all are as they should be. Losses and finds come in between.
    private func settle() async {
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        // Groups that could not be enabled in this round: one of them must not keep the others waiting.
        var failed: Set<PortalGroup> = []
        while true {
            if let group = wanted.subtracting(disabled).subtracting(refused).min(by: before) {
                await disable(group)
            } else if let group = disabled.subtracting(wanted).subtracting(failed).min(by: before) {
                if await !enable(group) { failed.insert(group) }
            } else if failed.intersection(disabled).subtracting(wanted).isEmpty {
                return
            } else {
                try? await ControlThread.sleep(for: .seconds(2))
                failed = []
            }
        }
    }

    private func before(_ one: PortalGroup, _ other: PortalGroup) -> Bool { one.description < other.description }

    private func disable(_ group: PortalGroup) async {
        let (tree, journal) = (tree, journal)
        let outcome = await BlockingCall.run("tpg-off") { () -> Result<Bool, KernelFileError> in
            Result { () throws(KernelFileError) -> Bool in
                // Off already, or no such thing: somebody else's, and not to be switched on by us.
                guard try group.isEnabled(in: tree) == true else { return false }
                // Order: what cannot be undone after a crash is not done.
                try journal.add(group)
                do throws(KernelFileError) {
                    try group.setEnabled(false, in: tree)
                } catch {
                    journal.remove(group)
                    throw error
                }
                return true
            }
        }
        switch outcome {
        case .success(true):
            disabled.insert(group)
            let units = losses.filter { $0.value.groups.contains(group) }.keys.sorted().joined(separator: ", ")
            logger.warning("disabled \(group): the storage of \(units) is away; initiators are logged out of it")
        case .success(false): refused.insert(group)
        case .failure(let error):
            refused.insert(group)
            logger.error("\(group) stays enabled: \(error)")
        case nil:
            refused.insert(group)
            logger.error("\(group) stays enabled: no thread left")
        }
    }

    /// - Returns: false to try again.
    private func enable(_ group: PortalGroup) async -> Bool {
        let (tree, journal) = (tree, journal)
        let failure = await BlockingCall.run("tpg-on") { () -> String? in
            do throws(KernelFileError) {
                // Gone, or enabled by somebody else meanwhile: nothing to do.
                if try group.isEnabled(in: tree) == false { try group.setEnabled(true, in: tree) }
                journal.remove(group)
                return nil
            } catch {
                return error.description
            }
        }
        if let failure = failure ?? "no thread left" {
            logger.error("\(group) cannot be enabled again; next attempt in 2 s: \(failure)")
            return false
        }
        disabled.remove(group)
        logger.notice("enabled \(group) again")
        return true
    }
}
