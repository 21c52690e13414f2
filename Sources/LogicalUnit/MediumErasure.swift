internal import BlockBackend
internal import SCSI

/// FORMAT UNIT and SANITIZE: which piece of the medium is next, and how far it has come. No I/O in here.
struct MediumErasure {
    /// Which command it is.
    enum Purpose {
        case format
        case sanitize
    }

    /// What the medium holds afterwards, and by which way.
    enum Fill {
        /// Nothing is written (FFMT = 01b).
        case nothing
        /// Zeros, by `writeZeroes` where the backend has it.
        case zeroes
        /// Deallocated blocks, which read as zeros.
        case deallocation
        /// A pattern in every block.
        case pattern(FormatParameters)
        /// OVERWRITE, in one pass or several.
        case overwrite(OverwriteParameters)
    }

    let purpose: Purpose
    let fill: Fill
    /// AUSE.
    let mayExit: Bool
    /// Bytes of the medium.
    let size: UInt64
    /// The pass under way, from 0.
    private(set) var pass = 0
    /// Bytes of it that are done.
    private(set) var offset: UInt64 = 0
    /// Passes that are on the medium.
    private var flushedPasses = 0

    init(_ purpose: Purpose, _ fill: Fill, size: UInt64, mayExit: Bool = false) {
        self.purpose = purpose
        self.fill = fill
        self.size = size
        self.mayExit = mayExit
    }

    /// How often the medium is gone over.
    var passes: Int {
        switch fill {
        case .nothing: 0
        case .zeroes, .deallocation, .pattern: 1
        case .overwrite(let parameters): parameters.passes
        }
    }

    /// The next piece starts a pass: the memory it is written from is to be filled anew.
    var startsPass: Bool { offset == 0 }

    /// The next piece, or the flush that ends a pass: what a pass has written is on the medium before the next one
    /// overwrites it, or a cache would see the last pass alone. Nil when all is done.
    func next(_ limits: StepLimits) -> Step? {
        if offset == 0, flushedPasses < (isEmpty ? 1 : pass) { return Step(action: .flush) }
        guard !isEmpty, pass < passes else { return nil }
        return limits.piece(action(limits), of: ByteExtent(offset: 0, length: size), after: offset)
    }

    /// A step has succeeded.
    mutating func end(_ step: Step) {
        if step.action == .flush { return flushedPasses += 1 }
        offset += step.extent.length
        guard offset >= size else { return }
        pass += 1
        offset = 0
    }

    /// No piece is written at all.
    private var isEmpty: Bool { passes == 0 || size == 0 }

    private func action(_ limits: StepLimits) -> Step.Action {
        switch fill {
        case .deallocation: .discard
        case .zeroes where limits.hasZeroes: .zeroes
        case .nothing, .zeroes, .pattern, .overwrite: .write
        }
    }

    /// How much is done, in 65 536ths. In floating point: device sizes times 65 536 overflow 64 bits, and the
    /// original's 32 did so much sooner.
    var progress: UInt16 {
        guard passes > 0, size > 0 else { return UInt16.max }
        let done = (Double(pass) + Double(offset) / Double(size)) / Double(passes)
        return UInt16(clamping: Int(done * 65536))
    }

    /// What other commands are answered meanwhile.
    var inProgress: Sense {
        purpose == .sanitize ? .sanitizeInProgress(progress) : .formatInProgress(progress)
    }
}
