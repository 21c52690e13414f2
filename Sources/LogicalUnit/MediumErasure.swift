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

    /// The next piece, at most `limit` bytes, or nil when all is done.
    mutating func next(upTo limit: UInt64) -> ByteExtent? {
        guard pass < passes, size > 0 else { return nil }
        let piece = ByteExtent(offset: offset, length: min(limit, size - offset))
        offset += piece.length
        if offset == size {
            pass += 1
            offset = 0
        }
        return piece
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
