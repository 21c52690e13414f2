internal import BlockBackend
internal import Glibc

/// What librados and librbd take when a client connects and opens an image, in threads and descriptors: measured with librbd
/// 16.2 (docs/tuning.md), rounded up.
enum ClientCost {
    /// An image on a connection: its keeper, the timers and the finisher of librbd, a survey.
    static let image = ResourceNeed(threads: 3, descriptors: 4)
    /// A client of its own on a context that is there: dispatch, timers, finishers, two of `librados_thread_count`; a socket each
    /// to a monitor, the manager and some OSDs.
    static let client = ResourceNeed(threads: 8, descriptors: 16)

    /// A context that is not there yet: log, service, administration socket and the messenger's workers, each with its own
    /// poll descriptor and two pipes' ends.
    static func context(_ profile: ClientProfile) -> ResourceNeed {
        let asked = profile.settings.last { $0.name == "ms_async_op_threads" }.flatMap { Int($0.value) }
        let workers = min(max(asked ?? messengerWorkers(cpus: sysconf(CInt(_SC_NPROCESSORS_ONLN))), 1), 24)
        return ResourceNeed(threads: 6 + workers, descriptors: 8 + 4 * workers)
    }
}

extension RadosConnections {
    /// What ``connect(_:group:under:)`` and opening one image on it take.
    func need(_ profile: ClientProfile, group name: String?) -> ResourceNeed {
        if let name, hasGroup(name) { return ClientCost.image }
        let client = ClientCost.image + ClientCost.client
        return hasContext(profile) ? client : client + ClientCost.context(profile)
    }
}

extension RBDOptions {
    /// Promised to this image, for as long as it is being opened: nobody connects without it.
    func claim(group: String?) throws(BackendError) -> ResourceClaim {
        do throws(BackendError) {
            return try budget.claim(RadosConnections.shared.need(ClientProfile(self), group: group))
        } catch {
            throw BackendError(error.errno, "\(spec): not opened: \(error.message)")
        }
    }
}
