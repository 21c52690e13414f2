internal import BlockBackend
internal import SCSI

/// A long command as a pure procedure: what is done next, and what has been done so far. No I/O in here.
struct LongRun {
    enum Procedure {
        case verify(Pass)
        /// Writes what came along, and reads it back.
        case writeAndVerify(Pass)
        case writeSame(Pass)
        case unmap(Discards)
        /// Where it stands is the unit's condition, of which others are told.
        case erasure
        case extendedCopy(CopyRun)
    }

    private(set) var procedure: Procedure
    /// The step under way.
    var step: Step?
    /// What it weighs; see ``StepLimits/weight(of:)``.
    var weight: UInt64 = 0
    /// A step that writes was handed to the backend or to another unit.
    var hasBegun = false
    /// The command has waited for its next piece, and then for room.
    var isAdmitted = false
    /// What was written is durable.
    private var isFlushed = false

    init(_ procedure: Procedure) {
        self.procedure = procedure
    }

    /// Which command it is.
    var command: LongCommand {
        switch procedure {
        case .verify: .verify
        case .writeAndVerify: .writeAndVerify
        case .writeSame: .writeSame
        case .unmap: .unmap
        case .erasure: .erasure
        case .extendedCopy: .extendedCopy
        }
    }

    /// What is done next; nil when all is done.
    ///
    /// - Parameters:
    ///   - erasure: the unit's.
    ///   - flushes: what was written has to be durable in the end.
    func next(_ limits: StepLimits, erasure: MediumErasure?, flushes: Bool) -> Step? {
        let found: Step? =
            switch procedure {
            case .verify(let pass), .writeAndVerify(let pass), .writeSame(let pass): pass.next(limits)
            case .unmap(let discards): discards.next(limits)
            case .erasure: erasure?.next(limits)
            case .extendedCopy(let run): run.next()
            }
        if found == nil, flushes, !isFlushed, needsFlush { return Step(action: .flush) }
        return found
    }

    /// It has written what is not durable step by step.
    private var needsFlush: Bool {
        switch procedure {
        case .verify, .writeAndVerify, .erasure: false
        case .writeSame, .unmap, .extendedCopy: ownBytes > 0
        }
    }

    /// The step under way has succeeded. An erasure is told by its owner.
    mutating func advance() {
        guard let step else { return }
        self.step = nil
        switch procedure {
        case .verify(var pass):
            pass.advance(by: step)
            procedure = .verify(pass)
        case .writeAndVerify(var pass):
            pass.advance(by: step)
            procedure = .writeAndVerify(pass)
        case .writeSame(var pass):
            if step.action == .flush { isFlushed = true } else { pass.advance(by: step) }
            procedure = .writeSame(pass)
        case .unmap(var discards):
            if step.action == .flush { isFlushed = true } else { discards.advance(by: step) }
            procedure = .unmap(discards)
        case .extendedCopy(var run):
            if step.action == .flush { isFlushed = true } else { run.advance(by: step) }
            procedure = .extendedCopy(run)
        case .erasure: break
        }
    }

    /// Bytes of this unit's medium that were written.
    var ownBytes: UInt64 {
        switch procedure {
        case .verify, .erasure: 0
        case .writeAndVerify(let pass): pass.isStored ? pass.whole.length : 0
        case .writeSame(let pass): pass.done
        case .unmap(let discards): discards.done
        case .extendedCopy(let run): run.ownBytes
        }
    }

    /// It ends when the right to write is lost: what another gateway has written since must not be overwritten.
    var needsRight: Bool {
        switch procedure {
        case .verify: false
        case .writeAndVerify(let pass): !pass.isStored
        case .writeSame, .unmap, .erasure: true
        case .extendedCopy(let run): run.writesOwn
        }
    }

    /// The right to write is claimed where the command begins. An erasure and a copy have done so before anybody was told of
    /// them.
    var claimsItself: Bool {
        switch procedure {
        case .writeAndVerify, .writeSame, .unmap: true
        case .verify, .erasure, .extendedCopy: false
        }
    }

    /// Done again from its beginning, it leaves the same bytes: BUSY may be said of it even half-way, since an initiator that
    /// sends it again has what it wanted. Until then the blocks hold old or new data, as while any write is under way.
    ///
    /// A copy is so only where it writes nothing that it reads.
    var isRepeatable: Bool {
        switch procedure {
        case .verify, .writeAndVerify, .writeSame, .unmap: true
        // What is half erased is told by its own sense.
        case .erasure: false
        case .extendedCopy(let run): run.isRepeatable || !hasBegun
        }
    }

    /// All blocks of the command are its own until it ends, and not only those of the step under way.
    var keepsAll: Bool {
        switch procedure {
        case .writeAndVerify, .erasure: true
        case .verify, .writeSame, .unmap, .extendedCopy: false
        }
    }

    /// Bytes of memory that it needs from its first step on; 0 for none.
    func memoryBytes(
        _ limits: StepLimits, blockSize: Int, erasure: MediumErasure?, _ capabilities: BackendCapabilities
    )
        -> Int
    {
        switch procedure {
        case .verify(let pass), .writeAndVerify(let pass):
            Int(min(pass.whole.length, limits.memory)) + (pass.byteCheck == .oneBlock ? blockSize : 0)
        case .writeSame(let pass): pass.action == .write ? Int(min(pass.whole.length, limits.memory)) : 0
        case .unmap: 0
        case .erasure:
            erasure.map { $0.needsMemory(capabilities) ? Int(min(limits.memory, $0.size)) : 0 } ?? 0
        case .extendedCopy(let run): run.current == nil ? 0 : Limits.bounceBytes
        }
    }
}

extension LongRun {
    /// One pass over one run of blocks, all by the same action: VERIFY, WRITE AND VERIFY, WRITE SAME.
    struct Pass {
        let action: Step.Action
        let whole: ByteExtent
        var byteCheck = ByteCheck.none
        /// A volatile cache is written back before the first step.
        var flushesFirst = false
        /// The data that came along is written before the first step.
        var storesFirst = false
        /// That has been done.
        private(set) var isStored = false
        /// Bytes that are done.
        private(set) var done: UInt64 = 0

        init(_ action: Step.Action, _ whole: ByteExtent) {
            self.action = action
            self.whole = whole
        }

        func next(_ limits: StepLimits) -> Step? {
            if storesFirst && !isStored { return Step(action: .store, extent: whole) }
            if flushesFirst { return Step(action: .flush) }
            return done < whole.length ? limits.piece(action, of: whole, after: done) : nil
        }

        mutating func advance(by step: Step) {
            switch step.action {
            case .store: isStored = true
            case .flush: flushesFirst = false
            case .read, .readMedium, .write, .pattern, .zeroes, .discard: done += step.extent.length
            }
        }
    }

    /// UNMAP: the ranges of its list, one after the other.
    struct Discards {
        /// Those that are left, last first.
        private var ranges: [ByteExtent]
        /// Bytes of the last one that are done.
        private var offset: UInt64 = 0
        /// Bytes that are done in all.
        private(set) var done: UInt64 = 0

        /// - Parameter ranges: none of them empty; last first.
        init(_ ranges: [ByteExtent]) {
            self.ranges = ranges
        }

        func next(_ limits: StepLimits) -> Step? {
            ranges.last.map { limits.piece(.discard, of: $0, after: offset) }
        }

        mutating func advance(by step: Step) {
            guard let range = ranges.last else { return }
            offset += step.extent.length
            done += step.extent.length
            guard offset >= range.length else { return }
            ranges.removeLast()
            offset = 0
        }
    }
}
