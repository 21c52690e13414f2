import Glibc
import Reactor
import Synchronization
import SystemPackage
import Testing

@testable import DBusService

@Suite("The daemon on the bus", .enabled(if: PrivateBus.program != nil, "no dbus-daemon: apt-get install dbus"))
struct DBusServiceTests {
    static let root = "/org/kernel/TCMUService1"
    static let check = "\(DBusService.name).CheckConfig"

    /// Two subtypes: one that answers with what it was asked, one that does not answer until it is let go.
    private func subtypes(_ gate: Gate = Gate()) -> [ServedSubtype] {
        [
            ServedSubtype(name: "echo", description: "any text") { text in
                text.hasSuffix("bad") ? .invalid("bad: \(text)") : .success
            },
            ServedSubtype(name: "slow", description: "no text at all") { _ in
                gate.wait()
                return .success
            },
        ]
    }

    private func service(
        on bus: PrivateBus, _ events: BusEvents, gate: Gate = Gate(), limit: Duration = .seconds(20)
    ) throws -> DBusService {
        var options = DBusService.Options()
        options.address = bus.address
        options.checkLimit = limit
        options.patience = .milliseconds(50)
        return try #require(DBusService.run(subtypes(gate), options: options) { events.add($0) })
    }

    private func running(_ body: (PrivateBus, BusEvents) throws -> Void) throws {
        let (bus, events) = (try PrivateBus(), BusEvents())
        try bus.start()
        let service = try service(on: bus, events)
        defer { service.stop() }
        try until("the name") { events.named == 1 }
        try body(bus, events)
    }

    @Test("the manager lists an object per subtype, and nothing that targetcli would take for one")
    func managedObjects() throws {
        try running { bus, _ in
            let answer = try bus.call(Self.root, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
            #expect(answer.status == 0)
            #expect(answer.text.contains("\(Self.root)/echo"))
            #expect(answer.text.contains("\(Self.root)/slow"))
            #expect(answer.text.contains("any text"))
            #expect(!answer.text.contains("HandlerManager1"))
        }
    }

    @Test("CheckConfig answers what the check says")
    func verdicts() throws {
        try running { bus, _ in
            let good = try bus.call("\(Self.root)/echo", Self.check, ["string:echo/good"])
            #expect(good.text.contains("true") && good.text.contains("success"), "\(good)")
            let bad = try bus.call("\(Self.root)/echo", Self.check, ["string:echo/bad"])
            #expect(bad.text.contains("false") && bad.text.contains("bad: echo/bad"), "\(bad)")
        }
    }

    @Test("a handler in another process is refused with a reason")
    func registration() throws {
        try running { bus, _ in
            let answer = try bus.call(
                "\(Self.root)/HandlerManager1", "\(DBusService.name).HandlerManager1.RegisterHandler",
                ["string:other", "string:anything"])
            #expect(answer.status == 0)
            #expect(
                answer.text.contains("false") && answer.text.contains("handlers in other processes"), "\(answer)")
            let introspection = try bus.call(
                "\(Self.root)/HandlerManager1", "org.freedesktop.DBus.Introspectable.Introspect")
            #expect(introspection.text.contains("RegisterHandler"))
        }
    }

    /// A call that nobody means well by. Told by its title alone: some are long.
    struct HostileCall: CustomTestStringConvertible {
        let testDescription: String
        let path: String
        let method: String
        let arguments: [String]

        init(_ title: String, _ path: String, _ method: String, _ arguments: [String]) {
            (testDescription, self.path, self.method, self.arguments) = (title, path, method, arguments)
        }
    }

    static let hostile: [HostileCall] = [
        HostileCall(
            "a text of 100,000 bytes", "/echo", check, ["string:" + String(repeating: "a", count: 100_000)]),
        HostileCall("a text one byte too long", "/echo", check, ["string:" + String(repeating: "a", count: 256)]),
        HostileCall("an empty text", "/echo", check, ["string:"]),
        HostileCall("control characters", "/echo", check, ["string:echo/\u{1B}[2J\n\r\u{7F}bad"]),
        HostileCall("a format string", "/echo", check, ["string:echo/%s%n%x bad"]),
        HostileCall("no argument", "/echo", check, []),
        HostileCall("an argument of another type", "/echo", check, ["uint32:4294967295"]),
        HostileCall("an argument too many", "/echo", check, ["string:echo/a", "string:b"]),
        HostileCall("an array instead of a text", "/echo", check, ["array:string:a,b"]),
        HostileCall("an object that is not there", "/nothing", check, ["string:echo/a"]),
        HostileCall("a method that is not there", "/echo", "\(DBusService.name).ChangeMedium", ["string:echo/a"]),
        HostileCall("the manager has no CheckConfig", "", check, ["string:echo/a"]),
        HostileCall(
            "a registration of another signature", "/HandlerManager1",
            "\(DBusService.name).HandlerManager1.RegisterHandler", ["string:a"]
        ),
        HostileCall(
            "a registration of a path", "/HandlerManager1",
            "\(DBusService.name).HandlerManager1.RegisterHandler", ["string:../../x", "string:%n"]
        ),
        HostileCall(
            "a property is set", "/echo", "org.freedesktop.DBus.Properties.Set",
            ["string:\(DBusService.name)", "string:ConfigDesc", "variant:string:mine"]
        ),
        HostileCall(
            "a property that is not there", "/echo", "org.freedesktop.DBus.Properties.Get",
            ["string:\(DBusService.name)", "string:Nothing"]
        ),
    ]

    @Test("hostile calls are answered and change nothing", arguments: hostile)
    func hostility(call: HostileCall) throws {
        try running { bus, events in
            _ = try bus.call(Self.root + call.path, call.method, call.arguments)
            let after = try bus.call("\(Self.root)/echo", Self.check, ["string:echo/good"])
            #expect(after.text.contains("true"), "\(after)")
            let description = try bus.call(
                "\(Self.root)/echo", "org.freedesktop.DBus.Properties.Get",
                ["string:\(DBusService.name)", "string:ConfigDesc"])
            #expect(description.text.contains("any text"))
            // A bus that is slow to start is waited for; what counts is that nothing follows.
            #expect(Array(events.all.drop { $0 != .named }) == [.named])
        }
    }

    @Test("a text that the kernel could not keep is refused unread")
    func tooLong() throws {
        try running { bus, _ in
            let answer = try bus.call(
                "\(Self.root)/echo", Self.check, ["string:" + String(repeating: "a", count: 256)])
            #expect(answer.text.contains("false") && answer.text.contains("256 bytes"), "\(answer)")
        }
    }

    @Test("a check that does not end is answered for, holds up no other, and is bounded in number")
    func hanging() throws {
        let (bus, events, gate) = (try PrivateBus(), BusEvents(), Gate())
        try bus.start()
        let service = try service(on: bus, events, gate: gate, limit: .milliseconds(100))
        defer {
            gate.open()
            service.stop()
        }
        try until("the name") { events.named == 1 }
        for _ in 0..<PendingChecks.atOnce {
            let late = try bus.call("\(Self.root)/slow", Self.check, ["string:slow/a"])
            #expect(late.text.contains("false") && late.text.contains("could not be checked within"), "\(late)")
        }
        // Their threads still hang.
        let refused = try bus.call("\(Self.root)/echo", Self.check, ["string:echo/good"])
        #expect(refused.text.contains("false") && refused.text.contains("under way"), "\(refused)")
        let listed = try bus.call(Self.root, "org.freedesktop.DBus.ObjectManager.GetManagedObjects")
        #expect(listed.text.contains("\(Self.root)/echo"))
        gate.open()
        try until("a free thread") {
            try bus.call("\(Self.root)/echo", Self.check, ["string:echo/good"]).text.contains("true")
        }
    }

    @Test("a bus that comes later is found, one that goes is told of once, and one that comes back is found again")
    func comingAndGoing() throws {
        let (bus, events) = (try PrivateBus(), BusEvents())
        let service = try service(on: bus, events)
        defer { service.stop() }
        func isUnavailable(_ event: BusEvent) -> Bool { if case .unavailable = event { true } else { false } }
        func isLost(_ event: BusEvent) -> Bool { if case .lost = event { true } else { false } }
        try until("the complaint") { events.count(isUnavailable) == 1 }
        for round in 1...2 {
            try bus.start()
            try until("the name") { events.named == round }
            #expect(try bus.call("\(Self.root)/echo", Self.check, ["string:echo/good"]).text.contains("true"))
            bus.stop()
            try until("the loss") { events.count(isLost) == round }
        }
        #expect(events.count(isUnavailable) == 1, "\(events.all)")
    }

    @Test("behind another owner of the name it waits in the queue, and gets it")
    func queue() throws {
        let (bus, first, second) = (try PrivateBus(), BusEvents(), BusEvents())
        try bus.start()
        let one = try service(on: bus, first)
        try until("the name") { first.named == 1 }
        let two = try service(on: bus, second)
        defer { two.stop() }
        try until("the queue") { second.all == [.queued] }
        one.stop()
        try until("the name, inherited") { second.named == 1 }
    }

    @Test("an address that no bus can have is given up", arguments: ["nonsense", "unix:", "unix:path="])
    func badAddress(address: String) throws {
        let events = BusEvents()
        var options = DBusService.Options()
        options.address = address
        let service = try #require(DBusService.run(subtypes(), options: options) { events.add($0) })
        defer { service.stop() }
        try until("a word") { !events.all.isEmpty }
    }

    @Test("a server that is no bus, with bytes from a seed", arguments: [1, 2, 3, 4] as [UInt32])
    func noBus(seed: UInt32) throws {
        let (bus, events) = (try PrivateBus(), BusEvents())
        let listener = try LocalListener(path: "\(bus.folder)/bus")
        let service = try service(on: bus, events)
        defer { service.stop() }
        let peer = listener.accept()
        var random = seed
        let bytes = (0..<4096).map { _ -> UInt8 in
            random = random &* 1_664_525 &+ 1_013_904_223
            return UInt8(random >> 24)
        }
        _ = bytes.withUnsafeBytes { write(peer, $0.baseAddress, $0.count) }
        close(peer)
        try until("a word") { !events.all.isEmpty }
        #expect(events.named == 0)
    }
}

/// Holds threads until it is opened.
final class Gate: Sendable {
    private let isOpen = Atomic<Bool>(false)

    func wait() {
        while !isOpen.load(ordering: .acquiring) { usleep(2000) }
    }

    func open() {
        isOpen.store(true, ordering: .releasing)
    }

    func shut() {
        isOpen.store(false, ordering: .releasing)
    }
}

/// A listening socket at a path.
struct LocalListener: ~Copyable {
    private let descriptor: CInt

    init(path: String, type: __socket_type = SOCK_STREAM) throws {
        descriptor = socket(AF_UNIX, CInt(type.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0, type != SOCK_STREAM || listen(descriptor, 4) == 0 else { throw Errno(rawValue: errno) }
    }

    /// One datagram as text; empty if none is there.
    func receive() -> String {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }

    func accept() -> CInt { Glibc.accept(descriptor, nil, nil) }

    deinit {
        close(descriptor)
    }
}

@Suite("The service manager")
struct ServiceManagerTests {
    @Test("is told that the daemon is ready, and that it stops")
    func notices() throws {
        var template = Array("/tmp/tcmu-notify-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { rmdir(folder) }
        let path = "\(folder)/notify"
        defer { unlink(path) }
        let manager = try LocalListener(path: path, type: SOCK_DGRAM)
        setenv("NOTIFY_SOCKET", path, 1)
        defer { unsetenv("NOTIFY_SOCKET") }
        ServiceManager.ready()
        #expect(manager.receive() == "READY=1")
        ServiceManager.stopping()
        #expect(manager.receive() == "STOPPING=1")
    }
}
