internal import BlockBackend
internal import CRBD
internal import Glibc

/// One block of memory for an operation that needs more than its ticket until it has finished: a linear copy of
/// scattered bytes, a shortened list of iovecs, how much was compared.
///
/// Only rare operations have one; READ and WRITE of whole buffers do not. The block travels as the callback's
/// argument and is freed there.
struct Errand {
    private struct Header {
        let ticket: UnsafeMutableRawPointer
        let gauge: UnsafeMutablePointer<WriteGauge>
        /// Bytes that a compare-and-write compares; 1 for all else.
        let compared: UInt64
    }

    // SAFETY: one owner at a time: the submitter until librbd has accepted the operation, then its callback.
    private let block: UnsafeMutableRawPointer
    /// Bytes after the header, aligned to 16.
    var payload: UnsafeMutableRawPointer { block + Errand.headerBytes }
    /// The callback's argument.
    var argument: UnsafeMutableRawPointer { block }

    // Multiple of malloc's alignment, so that the payload has it too.
    private static let headerBytes = 32

    /// A block with room for `bytes`. Nil where memory is short.
    ///
    /// - Parameter compared: bytes that a compare-and-write compares, at least 1.
    init?(_ ticket: IOTicket, gauge: UnsafeMutablePointer<WriteGauge>, bytes: Int, compared: UInt64 = 1) {
        precondition(compared > 0)
        precondition(MemoryLayout<Header>.size <= Errand.headerBytes)
        guard let block = malloc(Errand.headerBytes + bytes) else { return nil }
        block.initializeMemory(as: Header.self, to: Header(ticket: ticket.opaque, gauge: gauge, compared: compared))
        self.block = block
    }

    /// Frees the block. Only where librbd has not accepted the operation.
    func cancel() {
        free(block)
    }

    /// Frees the block behind a callback's argument. Returns its ticket.
    static func end(_ argument: UnsafeMutableRawPointer) -> IOTicket {
        let ticket = argument.assumingMemoryBound(to: Header.self).pointee.ticket
        free(argument)
        return IOTicket(opaque: ticket)
    }

    /// The gauge behind a callback's argument.
    static func gauge(_ argument: UnsafeMutableRawPointer) -> UnsafeMutablePointer<WriteGauge> {
        argument.assumingMemoryBound(to: Header.self).pointee.gauge
    }

    /// Bytes compared, behind a callback's argument.
    static func compared(_ argument: UnsafeMutableRawPointer) -> UInt64 {
        argument.assumingMemoryBound(to: Header.self).pointee.compared
    }
}
