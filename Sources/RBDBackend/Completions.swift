internal import BlockBackend
internal import CRBD

// librbd calls these on a thread of its own, one at a time per image, once per submitted operation. They are
// top-level functions because a closure would carry an isolation check that fails on such a thread. Each releases the
// completion before it posts the ticket: once the last ticket is back the owner may close the image.

/// EILSEQ: in `IOResult` a miscompare. From any other operation it must not be taken for one.
private let miscompareCode: Int32 = -84
private let ioErrorCode: Int32 = -5
/// EROFS on an image opened for writing: another client has the exclusive lock. Nothing is write-protected: the command
/// may be tried again, here or on the gateway that has the lock. The original answers BUSY for both (contract 6.4).
private let readOnlyCode: Int32 = -30
private let lockLostCode: Int32 = -108

/// Reads.
func readFinished(_ completion: rbd_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let completion, let argument else { return }
    settleRead(returnValue(releasing: completion), IOTicket(opaque: argument))
}

/// Writes, discards and write-sames, whose tickets carry the gauge.
func operationFinished(_ completion: rbd_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let completion, let argument else { return }
    let value = returnValue(releasing: completion)
    let ticket = IOTicket(opaque: argument)
    // SAFETY: the gauge outlives the image's last callback.
    UnsafeMutablePointer<WriteGauge>(bitPattern: UInt(ticket.detailAddress.pointee))?.pointee
        .finish(Int32(clamping: value))
    settle(value, ticket)
}

/// Flushes, whose tickets carry the gauge.
func flushFinished(_ completion: rbd_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let completion, let argument else { return }
    let value = returnValue(releasing: completion)
    let ticket = IOTicket(opaque: argument)
    // SAFETY: the gauge outlives the image's last callback.
    UnsafeMutablePointer<WriteGauge>(bitPattern: UInt(ticket.detailAddress.pointee))?.pointee.finishFlush()
    settle(value, ticket)
}

/// Reads with an errand.
func errandReadFinished(_ completion: rbd_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let completion, let argument else { return }
    settleRead(returnValue(releasing: completion), Errand.end(argument))
}

/// Writes and write-sames with an errand.
func errandFinished(_ completion: rbd_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let completion, let argument else { return }
    let value = returnValue(releasing: completion)
    Errand.gauge(argument).pointee.finish(Int32(clamping: value))
    settle(value, Errand.end(argument))
}

/// Compare-and-writes with an errand.
func errandCompareFinished(_ completion: rbd_completion_t?, _ argument: UnsafeMutableRawPointer?) {
    guard let completion, let argument else { return }
    let value = returnValue(releasing: completion)
    // A difference is an answer, and nothing was written.
    let isMiscompare = value == Int(miscompareCode)
    Errand.gauge(argument).pointee.finish(isMiscompare ? 0 : Int32(clamping: value))
    let length = Errand.compared(argument)
    settleCompare(value, length, Errand.end(argument))
}

private func returnValue(releasing completion: rbd_completion_t) -> Int {
    let value = rbd_aio_get_return_value(completion)
    rbd_aio_release(completion)
    return value
}

private func settleRead(_ value: Int, _ ticket: IOTicket) {
    // The submitter left the wanted length in the ticket. librbd reads short only beyond the image's end, that is
    // after the image was shrunk behind our back; the rest of the buffer then holds old bytes that nobody may see.
    if value >= 0 && UInt64(value) < ticket.detailAddress.pointee {
        ticket.post(IOResult(code: ioErrorCode))
    } else {
        settle(value, ticket)
    }
}

private func settle(_ value: Int, _ ticket: IOTicket) {
    switch Int32(clamping: value) {
    case miscompareCode: ticket.post(IOResult(code: ioErrorCode))
    case let code: ticket.post(result(code))
    }
}

private func result(_ code: Int32) -> IOResult {
    IOResult(code: code == readOnlyCode ? lockLostCode : code)
}

private func settleCompare(_ value: Int, _ length: UInt64, _ ticket: IOTicket) {
    let code = Int32(clamping: value)
    if code == miscompareCode {
        // librbd tells the image's offset of the object's byte `i`, where byte `i` of the compared ones differs: that of
        // the object's start and `i`. Objects start at whole blocks of the image, and so does what is within encryption.
        ticket.post(.miscompare(at: ticket.detailAddress.pointee % length))
    } else {
        ticket.post(result(code))
    }
}
