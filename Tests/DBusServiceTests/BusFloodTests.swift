import Testing

@testable import DBusService

@Suite("Many calls at once", .enabled(if: PrivateBus.program != nil, "no dbus-daemon: apt-get install dbus"))
struct BusFloodTests {
    /// Whoever asks is found out from the bus, which takes a moment; a text is only checked then.
    @Test("a caller's flood of CheckConfig is refused beyond its own limit, and costs no other caller an answer")
    func flood() throws {
        let (bus, events, gate) = (try PrivateBus(), BusEvents(), Gate())
        gate.open()
        try bus.start()
        var options = DBusService.Options()
        options.address = bus.address
        let echo = ServedSubtype(name: "echo", description: "any text") { _ in .success }
        let service = try #require(DBusService.run([echo], options: options, gate: gate) { events.add($0) })
        defer {
            gate.open()
            service.stop()
        }
        try until("the name") { events.named == 1 }
        let (rude, polite) = (try RawBusClient(bus), try RawBusClient(bus))
        // All of it is on its way before the service reads the first of it, and so before the bus says who asks.
        gate.shut()
        let flood = (0..<100).map { _ in rude.check("echo", "echo/a") }
        try rude.ask("GetId")
        let single = polite.check("echo", "echo/b")
        try polite.ask("GetId")
        gate.open()
        #expect(try polite.errors(of: [single]) == 0)
        let refused = try rude.errors(of: flood)
        #expect(refused >= 50 && refused < 100, "\(refused) of 100")
        // Later, alone, the same caller is heard again.
        #expect(try rude.errors(of: [rude.check("echo", "echo/c")]) == 0)
    }
}
