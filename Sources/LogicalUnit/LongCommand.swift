internal import BlockBackend
internal import SCSI

/// The commands whose cost is a number that the initiator chooses, and not the length of the data that comes along.
///
/// Each is a procedure of bounded steps (``LongRun``), and one loop carries all of them out
/// (`LogicalUnit.continueLong`). A new one is a case here, and the compiler then asks for all the rest.
package enum LongCommand: CaseIterable, Sendable {
    case verify
    case writeAndVerify
    case writeSame
    case unmap
    /// FORMAT UNIT and SANITIZE.
    case erasure
    case extendedCopy
}

/// What ends a long command between two of its steps.
package enum Interruption: CaseIterable, Sendable {
    /// A task management function has hit it.
    case aborted
    /// The kernel has given it up (`cmd_time_out`), and its initiator has been told so.
    case expired
    /// The unit takes no more commands: the daemon stops, or the device is removed.
    case stopping
    /// The ring is lost; nobody can be answered.
    case ringLost
    /// The right to write was lost since it began, and is perhaps back.
    case rightLost
    /// The medium is being erased.
    case erasing
}

/// One operation of a long command.
struct Step {
    enum Action {
        /// Into the command's own memory.
        case read
        /// The same, from the medium and not from a cache.
        case readMedium
        /// From the command's own memory.
        case write
        /// From the data that came with the command, and onto the medium before it is answered.
        case store
        /// Copies of the block that came with the command, made by the backend.
        case pattern
        case zeroes
        case discard
        /// Makes durable what was written.
        case flush
    }

    let action: Action
    var extent = ByteExtent(offset: 0, length: 0)
    /// The unit whose medium it is about.
    var endpoint = CopyRun.Endpoint.own
    /// A segment of a copy begins with it: the other unit asks anew whom LIO excludes.
    var isFirst = false

    /// For the sense of a failure.
    var isRead: Bool {
        switch action {
        case .read, .readMedium: true
        case .write, .store, .pattern, .zeroes, .discard, .flush: false
        }
    }

    /// The medium may be another one while it is under way, and after it has failed.
    var changesMedium: Bool {
        switch action {
        case .write, .store, .pattern, .zeroes, .discard: true
        case .read, .readMedium, .flush: false
        }
    }
}

/// How much one step may cover, in bytes; all are whole blocks.
struct StepLimits {
    /// What goes through memory of the unit's own.
    let memory: UInt64
    let pattern: UInt64
    let zeroes: UInt64
    let discard: UInt64
    /// The backend writes zeros without their data.
    let hasZeroes: Bool

    init(_ capabilities: BackendCapabilities, blockSize: UInt32) {
        let block = UInt64(max(blockSize, 1))
        func blocks(_ bytes: UInt64) -> UInt64 { max(bytes / block, 1) * block }
        memory = blocks(UInt64(Limits.bounceBytes))
        pattern = blocks(capabilities.steps.pattern)
        zeroes = blocks(capabilities.steps.zeroes)
        discard = blocks(min(capabilities.steps.discard, capabilities.discard?.maximumBytes ?? .max))
        hasZeroes = capabilities.nativeWriteZeroes
    }

    /// The longest step of this kind that `action` may be.
    func longest(_ action: Step.Action) -> UInt64 {
        switch action {
        case .read, .readMedium, .write, .store: memory
        case .pattern: pattern
        case .zeroes: zeroes
        case .discard: discard
        case .flush: 0
        }
    }

    /// The first step over `whole` beyond its first `done` bytes, which is not all of it.
    ///
    /// What the backend does without data, and does not end with this step, is cut at a multiple of the longest one, so that
    /// whole objects and granules stay whole.
    func piece(_ action: Step.Action, of whole: ByteExtent, after done: UInt64) -> Step {
        let limit = longest(action)
        let offset = whole.offset + done
        let left = whole.length - done
        var length = min(limit, left)
        switch action {
        case .pattern, .zeroes, .discard: if left > limit { length = limit - offset % limit }
        case .read, .readMedium, .write, .store, .flush: break
        }
        return Step(action: action, extent: ByteExtent(offset: offset, length: length))
    }

    /// What a step weighs, in bytes of ``Limits/stepBudget``: its own bytes where they are moved; else the longest step
    /// weighs all of it, since the storage has as much to do as it can at a time. Nothing on another unit, which has
    /// its own limit: two units that copy to each other must not wait for each other's room.
    func weight(of step: Step) -> UInt64 {
        if case .peer = step.endpoint { return 0 }
        return switch step.action {
        case .flush: 0
        case .read, .readMedium, .write, .store: step.extent.length
        case .pattern, .zeroes, .discard:
            UInt64(Double(step.extent.length) / Double(longest(step.action)) * Double(Limits.stepBudget))
        }
    }
}
