import RBDBackend
import Testing

@Suite("Addresses of clients, and lists of them")
struct ClientAddressTests {
    @Test(
        "an address is read in every form that Ceph writes, and written as the monitors do",
        arguments: [
            ("10.77.0.254:0/3383152355", "10.77.0.254:0/3383152355"),
            ("v1:10.0.0.1:0/1", "10.0.0.1:0/1"),
            ("v2:10.0.0.1:0/1", "10.0.0.1:0/1"),
            ("any:10.0.0.1:0/4294967295", "10.0.0.1:0/4294967295"),
            ("10.0.0.1:6789/0", "10.0.0.1:6789/0"),
            ("[fd00::1]:0/77", "[fd00::1]:0/77"),
            ("v2:[FD00:0:0::1]:0/77", "[fd00::1]:0/77"),
            ("[::ffff:10.0.0.1]:0/5", "[::ffff:10.0.0.1]:0/5"),
        ])
    func forms(text: String, written: String) throws {
        let address = try #require(ClientAddress(text))
        #expect(address.description == written)
        #expect(ClientAddress(written) == address)
    }

    @Test(
        "what is no single client's address is none",
        arguments: [
            "", "-", ":/0", "10.0.0.1", "10.0.0.1:0", "10.0.0.1/5", "10.0.0.1:0/", "10.0.0.1:/5",
            "10.0.0.1:0/4294967296",
            "10.0.0.1:65536/1", "10.0.0.1:-1/1", "10.0.0.1:+1/1", "10.0.0.1:0/+5", "10.0.0.1:0/5 ", " 10.0.0.1:0/5",
            "10.0.0:0/5", "10.0.0.256:0/5", "fd00::1:0/5", "[fd00::1:0/5", "[]:0/5", "[10.0.0.1]:0/5",
            "v3:10.0.0.1:0/5",
            "cidr:10.0.0.0/24", "10.0.0.0:0/24:", "10.0.0.1\0:0/5", "[fd00::1%eth0]:0/5", "10.0.0.1:0/٥",
            "gateway.example:0/5", "v1:v2:10.0.0.1:0/5", String(repeating: "1", count: 100),
        ])
    func refused(text: String) {
        #expect(ClientAddress(text) == nil)
    }

    @Test("clients of one host have one IP address and differ in the nonce")
    func hosts() throws {
        let one = try #require(ClientAddress("10.0.0.1:0/1"))
        let two = try #require(ClientAddress("v2:10.0.0.1:0/2"))
        let other = try #require(ClientAddress("10.0.0.2:0/1"))
        #expect(one != two)
        #expect(one.hasSameHost(as: two))
        #expect(!one.hasSameHost(as: other))
        #expect(one.host == "10.0.0.1")
    }

    @Test(
        "a connection's addresses, one or a vector of them",
        arguments: [
            ("10.0.0.1:0/1", ["10.0.0.1:0/1"]),
            ("[v2:10.0.0.1:0/1,v1:10.0.0.1:0/2]", ["10.0.0.1:0/1", "10.0.0.1:0/2"]),
            ("[v2:[fd00::1]:0/1,v1:[fd00::1]:0/1]", ["[fd00::1]:0/1", "[fd00::1]:0/1"]),
            ("[fd00::1]:0/9", ["[fd00::1]:0/9"]), ("[]", []), ("[", []), ("-", []), ("", []),
        ])
    func vectors(text: String, addresses: [String]) {
        #expect(ClientAddress.all(in: text).map(\.description) == addresses)
    }

    @Test(
        "the blocklist is read as JSON with and without ranges, and as text",
        arguments: [
            (#"[{"addr":"10.0.0.1:0/1","until":"2026-11-23T00:37:58"}][]"#, ["10.0.0.1:0/1"]),
            (#"[][]"#, []), ("", []), ("[", []), (#"[{"addr":"#, []),
            (#"{"addr":"10.0.0.1:0/1"}"#, [#"{"addr":"10.0.0.1:0/1"}"#]),
            (#" [{"until":"addr","addr":"v1:[fd00::1]:0/1"},{"addr":7},{"addr":"x"}]"#, ["v1:[fd00::1]:0/1", "x"]),
            (#"[{"addr":"10.0.0.1:0/1"}][{"range":"cidr:10.0.0.0:0/24"}]"#, ["10.0.0.1:0/1"]),
            ("10.0.0.1:0/1 2026-11-23T00:37:58.0+0000\nlisted 1 entries\n", ["10.0.0.1:0/1", "listed"]),
        ])
    func listing(text: String, entries: [String]) {
        #expect(Blocklist.listedEntries(text) == entries)
    }

    @Test("a blocklist entry is due twice the detection time after its client was closed, on its own cluster")
    func due() throws {
        let one = try #require(ClientAddress("10.0.0.1:0/1"))
        let two = try #require(ClientAddress("10.0.0.1:0/2"))
        let other = try #require(ClientAddress("10.0.0.1:0/3"))
        var queue = PendingRemovals()
        #expect(queue.nextDue(of: "a") == nil)
        queue.add([one], of: "a", closedAt: .seconds(100), detectionSeconds: 26)
        queue.add([two], of: "a", closedAt: .seconds(110), detectionSeconds: 26)
        queue.add([other], of: "b", closedAt: .seconds(90), detectionSeconds: 26)
        queue.add([], of: "a", closedAt: .seconds(0), detectionSeconds: 26)
        #expect(queue.nextDue(of: "a") == .seconds(152))
        #expect(queue.takeDue(.milliseconds(151_999), of: "a") == [])
        #expect(queue.takeDue(.seconds(152), of: "a") == [one])
        #expect(queue.takeDue(.seconds(152), of: "a") == [], "once only")
        #expect(queue.nextDue(of: "a") == .seconds(162))
        #expect(queue.takeDue(.seconds(1000), of: "a") == [two])
        #expect(queue.nextDue(of: "a") == nil)
        #expect(queue.takeDue(.seconds(1000), of: "b") == [other])
    }

    @Test(
        "absurd detection times neither overflow nor make an entry due before its client was closed",
        arguments: [Int.min, -1, 0, Int.max])
    func absurd(detectionSeconds: Int) throws {
        let address = try #require(ClientAddress("10.0.0.1:0/1"))
        var queue = PendingRemovals()
        queue.add([address], of: "a", closedAt: .seconds(5), detectionSeconds: detectionSeconds)
        #expect(try #require(queue.nextDue(of: "a")) >= .seconds(5))
    }
}
