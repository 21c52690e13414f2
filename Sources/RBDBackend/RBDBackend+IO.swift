public import BlockBackend
internal import CRBD
internal import Glibc

// SAFETY: librbd keeps the segments' addresses until the callback, and for vectored reads also that of the iovec array
// itself (16.2 does not copy it). Both live until the ticket is posted: the contract of SegmentList.

extension RBDBackend {
    /// Reads straight into `segments`. A read beyond the end of an image that was shrunk meanwhile fails with EIO.
    public mutating func read(_ extent: ByteExtent, into segments: SegmentList, ticket: IOTicket) -> Submission {
        if side.pointee.access == .nothing || side.pointee.isStalled { return lost }
        if !side.pointee.has(extent) { return beyondEnd }
        if side.pointee.readsNeedLock {
            if let refusal = refusalToWrite(nil) { return refusal }
            side.pointee.reads &+= 1
        }
        ticket.detailAddress.pointee = extent.length
        switch coverage(of: extent, by: segments) {
        case .linear(let bytes):
            return submit(ticket.opaque, readFinished) {
                rbd_aio_read(handle, extent.offset, Int(extent.length), bytes, $0)
            }
        case .vectored:
            return submit(ticket.opaque, readFinished) {
                rbd_aio_readv(handle, segments.base, CInt(segments.count), extent.offset, $0)
            }
        case .trimmed(let count, let last):
            guard let errand = trimmedList(segments, count: count, last: last, ticket) else { return noMemory }
            return submit(errand, errandReadFinished) {
                rbd_aio_readv(handle, errand.iovecs, CInt(count), extent.offset, $0)
            }
        case .tooShort: return tooShort
        }
    }

    /// Writes straight from `segments`. With the cache off every answered write is durable, so `durable` adds nothing.
    /// With a cache that metadata forces on, the unit flushes: `capabilities.forceUnitAccess` is false then.
    public mutating func write(
        _ extent: ByteExtent, from segments: SegmentList, durable: Bool, ticket: IOTicket
    ) -> Submission {
        if let refusal = refusalToWrite(extent) { return refusal }
        precondition(!durable || capabilities.forceUnitAccess, "a durable write without FUA")
        switch coverage(of: extent, by: segments) {
        case .linear(let bytes):
            return submitWrite(ticket) {
                rbd_aio_write(handle, extent.offset, Int(extent.length), bytes, $0)
            }
        case .vectored:
            return submitWrite(ticket) {
                rbd_aio_writev(handle, segments.base, CInt(segments.count), extent.offset, $0)
            }
        case .trimmed(let count, let last):
            guard let errand = trimmedList(segments, count: count, last: last, ticket) else { return noMemory }
            return submitWrite(errand, errandFinished) {
                rbd_aio_writev(handle, errand.iovecs, CInt(count), extent.offset, $0)
            }
        case .tooShort: return tooShort
        }
    }

    /// Waits for the writes under way and, where a cache is on, writes it back.
    ///
    /// Without the lock there is nothing: what this gateway wrote was complete when the lock was given up, and librbd would
    /// want the lock for it. While it is being given up a cache is still being written back: EAGAIN, and it may come again.
    public mutating func flush(ticket: IOTicket) -> Submission {
        if side.pointee.isStalled { return lost }
        if capabilities.volatileCache && side.pointee.losses != toldLosses {
            // What was answered and not flushed went with the client. Told once, as a disk tells a failed write-back.
            toldLosses = side.pointee.losses
            return .done(IOResult(code: -EIO))
        }
        switch side.pointee.access {
        case .nothing: return lost
        case .reading: return side.pointee.isGivingBack ? lost : .done(.success)
        case .writing: break
        }
        return submitFlush(ticket) { rbd_aio_flush(handle, $0) }
    }

    /// Deallocates whole objects and zeroes the rest, byte for byte.
    ///
    /// `rbd_aio_discard` would leave the ends that fill no granule as they were (`rbd_skip_partial_discard`,
    /// `rbd_discard_granularity_bytes`), and the range would not read zeros. `rbd_aio_write_zeroes` is the same
    /// operation with a granularity of one byte.
    public mutating func discard(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        if let refusal = refusalToWrite(extent) { return refusal }
        return submitWrite(ticket) {
            rbd_aio_write_zeroes(handle, extent.offset, Int(extent.length), $0, 0, 0)
        }
    }

    /// The same operation as ``discard(_:ticket:)``: the space of whole objects is given back.
    public mutating func writeZeroes(_ extent: ByteExtent, ticket: IOTicket) -> Submission {
        discard(extent, ticket: ticket)
    }

    /// Hands the pattern to the OSDs once per object; a pattern of zeros deallocates as `discard` does
    /// (`rbd_discard_on_zeroed_write_same`).
    public mutating func writeSame(
        _ extent: ByteExtent, pattern segments: SegmentList, patternLength: Int, ticket: IOTicket
    ) -> Submission {
        if let refusal = refusalToWrite(extent) { return refusal }
        if let pattern = linear(segments, patternLength) {
            return submitWrite(ticket) {
                rbd_aio_writesame(handle, extent.offset, Int(extent.length), pattern, patternLength, $0, 0)
            }
        }
        guard segments.byteCount >= UInt64(patternLength) else { return tooShort }
        guard let errand = gathered(segments, patternLength, ticket) else { return noMemory }
        return submitWrite(errand, errandFinished) {
            rbd_aio_writesame(handle, extent.offset, Int(extent.length), errand.bytes, patternLength, $0, 0)
        }
    }

    /// One atomic operation on one object, carried out by its OSD.
    public mutating func compareAndWrite(
        _ extent: ByteExtent, data segments: SegmentList, ticket: IOTicket
    ) -> Submission {
        if let refusal = refusalToWrite(extent) { return refusal }
        // Bound: at most one block, capabilities.nativeCompareAndWriteBytes.
        let half = Int(extent.length)
        precondition(half > 0 && extent.length <= capabilities.nativeCompareAndWriteBytes)
        let mismatch = ticket.detailAddress
        mismatch.pointee = 0
        if let bytes = linear(segments, 2 * half) {
            // Not for its payload: librbd leaves the place of a difference where other writes have their gauge.
            guard let errand = Errand(ticket, gauge: side.pointee.gauge, bytes: 0, compared: extent.length) else {
                return noMemory
            }
            return submitWrite(errand, errandCompareFinished) {
                CInt(
                    clamping: rbd_aio_compare_and_write(
                        handle, extent.offset, half, bytes, bytes + half, $0, mismatch, 0))
            }
        }
        guard segments.byteCount >= UInt64(2 * half) else { return tooShort }
        guard let errand = gathered(segments, 2 * half, ticket, compared: extent.length) else { return noMemory }
        let bytes = errand.bytes
        return submitWrite(errand, errandCompareFinished) {
            CInt(
                clamping: rbd_aio_compare_and_write(
                    handle, extent.offset, half, bytes, bytes + half, $0, mismatch, 0))
        }
    }

    /// Nil with the right to write. Writes to a snapshot end here, too: from librbd the same errno means that another client
    /// has the exclusive lock (`Completions.swift`).
    private mutating func refusalToWrite(_ extent: ByteExtent?) -> Submission? {
        if let extent, !side.pointee.has(extent) { return beyondEnd }
        if side.pointee.access == .writing && !capabilities.readOnly && !side.pointee.isStalled { return nil }
        if side.pointee.isStalled { return lost }
        let claim = claimWriting()
        return claim.isSuccess ? nil : .done(claim)
    }

    /// Allocation as librbd's diff has it, space as the monitors have it, both on a thread of their own.
    public mutating func survey(_ survey: Survey, ticket: IOTicket) -> Submission {
        precondition(isOpen, "a survey of a closed image")
        if side.pointee.access == .nothing || side.pointee.isStalled { return lost }
        return side.pointee.surveys.submit(survey, ticket: ticket)
    }
}

extension RBDBackend {
    /// The open image, for the I/O calls.
    private var handle: rbd_image_t { side.pointee.handle }

    private var lost: Submission { .done(IOResult(code: -EAGAIN)) }
    private var noMemory: Submission { .done(IOResult(code: -ENOMEM)) }
    private var beyondEnd: Submission { .done(IOResult(code: -EIO)) }
    private var tooShort: Submission { .done(IOResult(code: -EINVAL)) }

    /// Makes a completion and hands it to `start`; where librbd refuses, takes it back and answers at once.
    private func submit(
        _ argument: UnsafeMutableRawPointer, _ finished: rbd_callback_t, _ start: (rbd_completion_t) -> CInt
    ) -> Submission {
        precondition(isOpen, "an operation on a closed image")
        var completion: rbd_completion_t?
        var code = rbd_aio_create_completion(argument, finished, &completion)
        guard code >= 0, let completion else { return .done(IOResult(code: min(code, -1))) }
        code = start(completion)
        if code >= 0 { return .pending }
        // librbd refuses only for its arguments, before anything is queued: no callback comes.
        rbd_aio_release(completion)
        return .done(IOResult(code: code))
    }

    /// A write without errand: its ticket carries the gauge until the callback.
    private func submitWrite(_ ticket: IOTicket, _ start: (rbd_completion_t) -> CInt) -> Submission {
        let gauge = side.pointee.gauge
        ticket.detailAddress.pointee = UInt64(UInt(bitPattern: gauge))
        // Before librbd has it: the callback may come at once.
        gauge.pointee.started &+= 1
        let submission = submit(ticket.opaque, operationFinished, start)
        if case .done = submission { gauge.pointee.started &-= 1 }
        return submission
    }

    /// A flush: under way it needs the lock, as a write does, but failing it says nothing of writes.
    private func submitFlush(_ ticket: IOTicket, _ start: (rbd_completion_t) -> CInt) -> Submission {
        let gauge = side.pointee.gauge
        ticket.detailAddress.pointee = UInt64(UInt(bitPattern: gauge))
        gauge.pointee.flushesStarted &+= 1
        let submission = submit(ticket.opaque, flushFinished, start)
        if case .done = submission { gauge.pointee.flushesStarted &-= 1 }
        return submission
    }

    private func submitWrite(
        _ errand: Errand, _ finished: rbd_callback_t, _ start: (rbd_completion_t) -> CInt
    ) -> Submission {
        let gauge = side.pointee.gauge
        gauge.pointee.started &+= 1
        let submission = submit(errand, finished, start)
        if case .done = submission { gauge.pointee.started &-= 1 }
        return submission
    }

    private func submit(
        _ errand: Errand, _ finished: rbd_callback_t, _ start: (rbd_completion_t) -> CInt
    ) -> Submission {
        let submission = submit(errand.argument, finished, start)
        if case .done = submission { errand.cancel() }
        return submission
    }

    /// The first `length` bytes of `segments` as an errand's payload. Nil where memory is short.
    private func gathered(
        _ segments: SegmentList, _ length: Int, _ ticket: IOTicket, compared: UInt64 = 1
    ) -> Errand? {
        guard let errand = Errand(ticket, gauge: side.pointee.gauge, bytes: length, compared: compared) else {
            return nil
        }
        segments.read(into: UnsafeMutableRawBufferPointer(start: errand.payload, count: length))
        return errand
    }

    private func trimmedList(_ segments: SegmentList, count: Int, last: Int, _ ticket: IOTicket) -> Errand? {
        let bytes = count * MemoryLayout<iovec>.stride
        guard let errand = Errand(ticket, gauge: side.pointee.gauge, bytes: bytes) else { return nil }
        errand.iovecs.initialize(from: segments.base, count: count)
        errand.iovecs[count - 1].iov_len = last
        return errand
    }
}

extension Errand {
    fileprivate var bytes: UnsafeMutablePointer<CChar> { payload.assumingMemoryBound(to: CChar.self) }
    fileprivate var iovecs: UnsafeMutablePointer<iovec> { payload.assumingMemoryBound(to: iovec.self) }
}
