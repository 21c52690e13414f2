internal import Synchronization

/// What the opening of a backend makes libraries and kernel take of what a system may run out of.
public struct ResourceNeed: Sendable, Equatable {
    /// Threads, also those of libraries and the kernel's for io_uring.
    public var threads: Int
    /// File descriptors.
    public var descriptors: Int

    /// Both counts, 0 or more.
    public init(threads: Int, descriptors: Int) {
        (self.threads, self.descriptors) = (threads, descriptors)
    }

    /// The sum of both.
    public static func + (left: ResourceNeed, right: ResourceNeed) -> ResourceNeed {
        ResourceNeed(
            threads: left.threads + right.threads, descriptors: left.descriptors + right.descriptors)
    }

    static func - (left: ResourceNeed, right: ResourceNeed) -> ResourceNeed {
        ResourceNeed(
            threads: left.threads - right.threads, descriptors: left.descriptors - right.descriptors)
    }
}

/// What a system may run out of, handed out to those who open something, before they do.
///
/// librados and librbd end the process when they get no thread: one LUN too many, and every LUN of the host is gone. So it
/// is known beforehand that the threads can be had, and else the LUN that came last is refused. One value for the whole
/// daemon: what is promised to one opener must not be promised to the next.
public final class ResourceBudget: Sendable {
    /// What is asked for.
    public struct Request: Sendable, Equatable {
        /// By the opener.
        public let need: ResourceNeed
        /// Kept free for what is at work already.
        public let reserve: ResourceNeed
        /// Given to openers that have not finished, and perhaps not taken yet.
        public let promised: ResourceNeed

        /// A request, as a budget makes them.
        public init(need: ResourceNeed, reserve: ResourceNeed, promised: ResourceNeed) {
            (self.need, self.reserve, self.promised) = (need, reserve, promised)
        }

        /// What must be free now.
        public var total: ResourceNeed { need + reserve + promised }
    }

    /// Why a request cannot be met; nil where it can.
    public typealias Judge = @Sendable (Request) -> BackendError?

    private let reserve: ResourceNeed
    private let judge: Judge
    private let promised = Mutex(ResourceNeed(threads: 0, descriptors: 0))

    /// A budget that asks `judge` about every request, which looks at the system.
    public init(reserve: ResourceNeed, judge: @escaping Judge) {
        (self.reserve, self.judge) = (reserve, judge)
    }

    /// A budget without limits, for tools and tests.
    public static let none = ResourceBudget(reserve: ResourceNeed(threads: 0, descriptors: 0)) { _ in nil }

    /// Promises what opening something takes; to be held until it is open, or has failed to be: from then on the system itself
    /// counts it as in use. May read files of the kernel's; not for a loop thread.
    ///
    /// - Throws: EAGAIN for threads, EMFILE for descriptors, with the limit's name, what it is and how to raise it.
    public func claim(_ need: ResourceNeed) throws(BackendError) -> ResourceClaim {
        try promised.withLock { promised throws(BackendError) in
            if let error = judge(Request(need: need, reserve: reserve, promised: promised)) { throw error }
            promised = promised + need
        }
        return ResourceClaim(need, of: self)
    }

    /// Promised and not opened yet.
    public var open: ResourceNeed { promised.withLock { $0 } }

    fileprivate func settle(_ need: ResourceNeed) {
        promised.withLock { $0 = $0 - need }
    }
}

extension ResourceBudget: Equatable {
    /// The same budget, not one like it.
    public static func == (left: ResourceBudget, right: ResourceBudget) -> Bool { left === right }
}

/// A promise of a ``ResourceBudget``; ends with its last holder.
public final class ResourceClaim: Sendable {
    private let need: ResourceNeed
    private let budget: ResourceBudget

    fileprivate init(_ need: ResourceNeed, of budget: ResourceBudget) {
        (self.need, self.budget) = (need, budget)
    }

    deinit {
        budget.settle(need)
    }
}
