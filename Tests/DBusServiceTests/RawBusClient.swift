import Glibc

@testable import DBusService

/// A connection to a bus that sends what it likes without waiting for answers, as no client library does.
final class RawBusClient {
    private let descriptor: CInt
    private var serial: UInt32 = 0
    private var received: [UInt8] = []

    /// Connects and says hello.
    init(_ bus: PrivateBus) throws {
        descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "\(bus.folder)/bus".utf8) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0 else { throw PrivateBus.Failed() }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let user = "\(geteuid())".utf8.map { "3\($0 - 48)" }.joined()
        send([0] + Array("AUTH EXTERNAL \(user)\r\n".utf8))
        try until("the bus takes the user") {
            receive()
            return String(decoding: received, as: UTF8.self).contains("OK ")
        }
        received = []
        send(Array("BEGIN\r\n".utf8))
        try ask("Hello")
    }

    deinit { close(descriptor) }

    /// Asks the bus itself and waits for its answer: all that was sent before has been handed on then.
    func ask(_ member: String) throws {
        let asked = serial + 1
        send(message("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", member))
        try until("the bus answers \(member)") {
            receive()
            return replies.contains { $0.serial == asked }
        }
    }

    /// Sends a call of CheckConfig. Returns its serial number.
    func check(_ subtype: String, _ text: String) -> UInt32 {
        send(
            message(DBusService.name, "\(DBusServiceTests.root)/\(subtype)", DBusService.name, "CheckConfig", text))
        return serial
    }

    /// Waits for the answers to these calls. Returns how many of them are errors.
    func errors(of serials: [UInt32]) throws -> Int {
        let wanted = Set(serials)
        try until("\(serials.count) answers") {
            receive()
            return Set(replies.map(\.serial)).isSuperset(of: wanted)
        }
        return replies.count { wanted.contains($0.serial) && $0.isError }
    }

    // MARK: - Messages

    /// Answers and errors so far, by the number of their call.
    private var replies: [(serial: UInt32, isError: Bool)] {
        var found: [(UInt32, Bool)] = []
        var start = 0
        while start + 16 <= received.count {
            let fields = word(start + 12)
            let length = 16 + (fields + 7) / 8 * 8 + word(start + 4)
            guard start + length <= received.count else { break }
            if received[start + 1] == 2 || received[start + 1] == 3, let serial = replySerial(start, fields) {
                found.append((serial, received[start + 1] == 3))
            }
            start += length
        }
        return found
    }

    /// Field 5 of a header, REPLY_SERIAL.
    private func replySerial(_ start: Int, _ fields: Int) -> UInt32? {
        for place in stride(from: start + 16, to: start + 16 + fields, by: 8)
        where received[place..<place + 4] == [5, 1, 0x75, 0] {
            return UInt32(word(place + 4))
        }
        return nil
    }

    private func word(_ place: Int) -> Int {
        (0..<4).reduce(0) { $0 | Int(received[place + $1]) << (8 * $1) }
    }

    /// A method call (D-Bus specification, Message Format), with a text or without an argument.
    private func message(
        _ destination: String, _ path: String, _ interface: String, _ member: String, _ text: String? = nil
    ) -> [UInt8] {
        serial += 1
        var fields: [UInt8] = []
        func pad(_ bytes: inout [UInt8]) { while bytes.count % 8 != 0 { bytes.append(0) } }
        for (code, type, value) in [
            (1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination),
        ] as [(UInt8, Character, String)] {
            pad(&fields)
            fields += [code, 1, type.asciiValue ?? 0, 0] + counted(value)
        }
        if text != nil {
            pad(&fields)
            fields += [8, 1, 0x67, 0, 1, 0x73, 0]
        }
        let body = text.map(counted) ?? []
        var bytes = [0x6C, 1, 0, 1] + little(body.count) + little(Int(serial)) + little(fields.count) + fields
        pad(&bytes)
        return bytes + body
    }

    private func little(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    private func counted(_ text: String) -> [UInt8] { little(text.utf8.count) + Array(text.utf8) + [0] }

    private func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            sent += count
        }
    }

    private func receive() {
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
        if count > 0 { received += bytes.prefix(count) }
    }
}
