import CLinux
import CNetlink
import Glibc
import Synchronization
public import SystemPackage

/// The daemon's ear to the kernel: hears of devices that come, change and go, and answers.
///
/// Owns its socket and closes it at the end. One thread at a time receives; anyone may answer.
public final class NetlinkSession: Sendable {
    /// The socket, non-blocking, for polling on readability. Not to be read or closed.
    public let socket: FileDescriptor
    /// Size of the receive buffer in force, in bytes; the kernel doubles what it is asked for.
    public let receiveBufferSize: Int
    /// Whether the kernel waits for answers; kernels before 4.15 do not.
    public let kernelExpectsReplies: Bool

    /// Family above, group below, each in 32 bits: they change together, when the kernel's side comes again.
    private let numbers: Atomic<UInt64>
    private let trustedPort: UInt32
    private let sequence: Atomic<UInt32>
    private let inbox: Mutex<Inbox>

    private struct Inbox {
        /// Events that came before the acknowledgement of the set-up.
        var early: [TCMUEvent]
        /// Bound: the longest event is a name, a configuration and five numbers, well under 1 KiB of attributes in a
        /// page the kernel allocates; a longer datagram counts as lost.
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
    }

    /// Connects to the kernel: family TCM-USER, group "config", and the promise to answer its requests.
    ///
    /// - Parameter receiveBuffer: bytes of receive buffer to ask for; beyond the system's limit only with CAP_NET_ADMIN.
    /// - Throws: ``NetlinkError/familyMissing`` without target_core_user.
    public convenience init(receiveBuffer: Int) throws(NetlinkError) {
        let connection = try NetlinkConnection.open(family: Self.familyName, group: "config")
        try self.init(adopting: connection.socket, family: connection.family, receiveBuffer: receiveBuffer)
        number(connection)
    }

    /// TCMU's family (linux/target_core_user.h).
    static let familyName = "TCM-USER"

    private var family: UInt16 {
        // Ordering: relaxed, the number alone is looked at.
        UInt16(truncatingIfNeeded: numbers.load(ordering: .relaxed) >> 32)
    }

    private func number(_ connection: NetlinkConnection) {
        numbers.store(UInt64(connection.family) << 32 | UInt64(connection.group), ordering: .relaxed)
    }

    /// The family has come again, under a number of its own (``TCMUEvent/familyCame``): a connection to the new one takes the
    /// place of the old one under the same descriptor. By the thread that receives.
    public func renew() throws(NetlinkError) {
        let connection = try NetlinkConnection.open(family: Self.familyName, group: "config")
        defer { try? connection.socket.close() }
        _ = try Self.checked(
            clinux_set_receive_buffer(connection.socket.rawValue, CInt(clamping: receiveBufferSize / 2)),
            "SO_RCVBUF")
        let flags = fcntl(connection.socket.rawValue, F_GETFL)
        guard flags >= 0, fcntl(connection.socket.rawValue, F_SETFL, flags | O_NONBLOCK) >= 0 else {
            throw .system(call: "O_NONBLOCK", Errno(rawValue: errno))
        }
        let result = inbox.withLock { inbox -> Result<Void, NetlinkError> in
            Result { () throws(NetlinkError) in
                _ = try Self.promiseReplies(
                    socket: connection.socket, family: connection.family, trustedPort: trustedPort, inbox: &inbox)
            }
        }
        try result.get()
        guard dup2(connection.socket.rawValue, socket.rawValue) >= 0 else {
            throw .system(call: "dup2", Errno(rawValue: errno))
        }
        _ = fcntl(socket.rawValue, F_SETFD, FD_CLOEXEC)
        number(connection)
    }

    /// Other sockets of this network namespace that hear the kernel as this one does: those of other daemons, by netlink port.
    /// Sockets of other namespaces, which hear it as well, cannot be seen.
    public var otherListeners: [UInt32] {
        NetlinkListeners.ports(
            inGroup: UInt32(truncatingIfNeeded: numbers.load(ordering: .relaxed)), besides: socket.rawValue)
    }

    /// Takes over a connected socket at whose other end is the kernel, or something that behaves like it.
    ///
    /// - Parameters:
    ///   - socket: closed with the session, also if this fails.
    ///   - family: the number of the family TCM-USER.
    ///   - receiveBuffer: bytes of receive buffer to ask for.
    ///   - trustedPort: netlink port whose messages count; 0 is the kernel. Other processes may send to us, too.
    public init(
        adopting socket: FileDescriptor, family: UInt16, receiveBuffer: Int, trustedPort: UInt32 = 0
    ) throws(NetlinkError) {
        self.socket = socket
        numbers = Atomic(UInt64(family) << 32)
        self.trustedPort = trustedPort
        sequence = Atomic(1)
        do throws(NetlinkError) {
            let bytes = Int32(clamping: receiveBuffer)
            receiveBufferSize = Int(
                try Self.checked(clinux_set_receive_buffer(socket.rawValue, bytes), "SO_RCVBUF"))
            let flags = fcntl(socket.rawValue, F_GETFL)
            guard flags >= 0, fcntl(socket.rawValue, F_SETFL, flags | O_NONBLOCK) >= 0 else {
                throw .system(call: "O_NONBLOCK", Errno(rawValue: errno))
            }
            var inbox = Inbox(early: [])
            kernelExpectsReplies = try Self.promiseReplies(
                socket: socket, family: family, trustedPort: trustedPort, inbox: &inbox)
            self.inbox = Mutex(inbox)
        } catch {
            try? socket.close()
            throw error
        }
    }

    deinit { try? socket.close() }

    /// What has arrived, without waiting; empty if nothing has.
    ///
    /// To be called once right after the set-up, too: events that came in between do not make the socket readable.
    /// At most 256 messages at a time; if there are more, the socket stays readable.
    public func receive() throws(NetlinkError) -> [TCMUEvent] {
        // The closure's error would be widened to any Error: a Result carries it through.
        let result: Result<[TCMUEvent], NetlinkError> = inbox.withLock { inbox in
            var events = inbox.early
            inbox.early = []
            do throws(NetlinkError) {
                // Bound: a flood must not keep the caller from answering the events it already has.
                for _ in 0..<256 {
                    switch try Self.receiveOnce(socket, trustedPort: trustedPort, into: &inbox.buffer) {
                    case .nothing: return .success(events)
                    case .event(let event): events.append(event)
                    case .datagram(let bytes): events += TCMUMessage.events(in: bytes, family: family)
                    }
                }
                return .success(events)
            } catch {
                // What was received is not lost with the error, which will be back next time if it lasts.
                return events.isEmpty ? .failure(error) : .success(events)
            }
        }
        return try result.get()
    }

    /// Answers a request.
    ///
    /// - Parameter error: nil if all went well; the errno is what whoever configures the device gets to see.
    public func reply(to request: NetlinkRequest, error: Errno?) throws(NetlinkError) {
        // The wire wants the negative; an Errno made from a negative number by mistake must not turn into success.
        let status = error.map { -Int32(clamping: $0.rawValue.magnitude) } ?? 0
        // Ordering: relaxed, the number has only to differ from the last ones.
        let number = sequence.add(1, ordering: .relaxed).newValue
        try Self.send(
            TCMUMessage.reply(to: request, status: status, family: family, sequence: number), to: socket)
    }
}

extension NetlinkSession {
    /// SET_FEATURES and its acknowledgement; false if the kernel knows no such thing.
    private static func promiseReplies(
        socket: FileDescriptor, family: UInt16, trustedPort: UInt32, inbox: inout Inbox
    ) throws(NetlinkError) -> Bool {
        let number: UInt32 = 1
        try send(TCMUMessage.answersRequests(family: family, sequence: number), to: socket)
        while true {
            switch try receiveOnce(socket, trustedPort: trustedPort, into: &inbox.buffer) {
            case .nothing:
                // The kernel acknowledges within send; only a peer that plays it may take its time.
                try waitUntilReadable(socket, milliseconds: 5000)
            case .event(let event): inbox.early.append(event)
            case .datagram(let bytes):
                let (messages, _) = NetlinkMessage.split(bytes)
                var answer: (sequence: UInt32, error: Errno?)?
                for message in messages {
                    // We have joined the group already, so that no device slips in unheard before the promise.
                    if let acknowledgement = TCMUMessage.acknowledgement(message),
                        acknowledgement.sequence == number
                    {
                        answer = acknowledgement
                    } else if let event = TCMUMessage.event(message, family: family) {
                        inbox.early.append(event)
                    }
                }
                guard let answer else { continue }
                if let error = answer.error, error != .notSupportedOnSocket { throw .featuresRefused(error) }
                return answer.error == nil
            }
        }
    }

    private enum Received {
        case nothing
        case event(TCMUEvent)
        case datagram(ArraySlice<UInt8>)
    }

    private static func receiveOnce(
        _ socket: FileDescriptor, trustedPort: UInt32, into buffer: inout [UInt8]
    ) throws(NetlinkError) -> Received {
        var sender = sockaddr_nl()
        let count = buffer.withUnsafeMutableBytes { bytes in
            withUnsafeMutableBytes(of: &sender) { address in
                var length = socklen_t(address.count)
                var count: Int
                repeat {
                    // SAFETY: both buffers live and are as long as said; with MSG_TRUNC the kernel returns the
                    // datagram's length but still writes no more than the buffer takes.
                    count = recvfrom(
                        socket.rawValue, bytes.baseAddress, bytes.count, Int32(MSG_TRUNC),
                        address.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
                } while count < 0 && errno == EINTR
                return count < 0 ? -Int(errno) : count
            }
        }
        switch count {
        case -Int(EAGAIN): return .nothing
        case -Int(ENOBUFS): return .event(.overrun)
        case ..<0: throw .system(call: "recvfrom", Errno(rawValue: Int32(-count)))
        default: break
        }
        if sender.nl_family == AF_NETLINK, sender.nl_pid != trustedPort {
            return .event(.ignored(reason: "message from port \(sender.nl_pid), not from the kernel"))
        }
        // Only a peer over another kind of socket can hang up.
        if count == 0, sender.nl_family != AF_NETLINK { throw .system(call: "recvfrom", .connectionReset) }
        if count > buffer.count { return .event(.overrun) }
        return .datagram(buffer[..<count])
    }

    private static func send(_ bytes: [UInt8], to socket: FileDescriptor) throws(NetlinkError) {
        while true {
            let sent = bytes.withUnsafeBytes {
                Glibc.send(socket.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent == bytes.count { return }
            if sent < 0 && errno == EINTR { continue }
            throw .system(call: "send", sent < 0 ? Errno(rawValue: errno) : .ioError)
        }
    }

    private static func waitUntilReadable(_ socket: FileDescriptor, milliseconds: Int32) throws(NetlinkError) {
        var entry = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
        switch poll(&entry, 1, milliseconds) {
        case 0: throw .noAcknowledgement
        case 1...: return
        default: if errno != EINTR { throw .system(call: "poll", Errno(rawValue: errno)) }
        }
    }

    private static func checked(_ result: Int32, _ call: String) throws(NetlinkError) -> Int32 {
        guard result >= 0 else { throw .system(call: call, Errno(rawValue: -result)) }
        return result
    }
}
