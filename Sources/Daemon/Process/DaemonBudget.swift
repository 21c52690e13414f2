internal import BlockBackend
internal import SystemPackage

extension ResourceBudget {
    /// Kept free for what is at work: threads that librados and librbd start later, keepers, surveys and the short-lived ones of
    /// the control plane; sockets to OSDs that an image has not spoken to yet.
    static let daemonReserve = ResourceNeed(threads: 16, descriptors: 64)

    /// The daemon's: judged by what the system shows at the time.
    static func ofSystem(_ limits: SystemLimits = SystemLimits()) -> ResourceBudget {
        ResourceBudget(reserve: daemonReserve) { request in
            if request.need.threads > 0,
                let bound = limits.threadBounds().first(where: { $0.free < request.total.threads })
            {
                return bound.refusal("threads", request, \.threads, .resourceTemporarilyUnavailable)
            }
            if request.need.descriptors > 0,
                let bound = limits.descriptorBounds().first(where: { $0.free < request.total.descriptors })
            {
                return bound.refusal("descriptors", request, \.descriptors, .tooManyOpenFiles)
            }
            return nil
        }
    }
}

extension SystemBound {
    /// The line for people.
    fileprivate func refusal(
        _ what: String, _ request: ResourceBudget.Request, _ part: KeyPath<ResourceNeed, Int>, _ errno: Errno
    ) -> BackendError {
        let total = request.total[keyPath: part]
        var parts =
            "\(request.need[keyPath: part]) for it, \(request.reserve[keyPath: part]) kept free for what is at work"
        let promised = request.promised[keyPath: part]
        if promised > 0 { parts += ", \(promised) promised to others that are being opened" }
        return BackendError(
            errno,
            """
            not enough \(what): \(total) are needed (\(parts)), and \(name) leaves \(free): \(used) of \(limit) are in use. \
            Raise it (\(remedy)), or serve fewer LUNs here
            """)
    }
}
