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

    @Test(
        "a daemon that is started again and again fences its predecessors at a pace, once there are many entries of its host",
        arguments: [
            // Entries of this host, images, the attempt that is the first to get through of ten, one a second.
            (nil as Int?, 1, 0), (0, 0, 0), (103, 1, 0), (104, 1, 10), (400, 100, 0), (499, 100, 0), (500, 100, 10),
        ])
    func pace(entries: Int?, images: Int, through: Int) {
        let pace = FencePace()
        let waits = (0...10).map {
            pace.mustWait(entries: { entries }, images: images, now: 5_000 + Int64($0) * 1000)
        }
        #expect(waits.firstIndex(of: false) == through)
        // One in ten seconds from there on.
        if through > 0 {
            #expect(pace.mustWait(entries: { entries }, images: images, now: 24_999))
            #expect(!pace.mustWait(entries: { entries }, images: images, now: 25_000))
            #expect(!pace.mustWait(entries: { 0 }, images: images, now: 25_001))
        }
    }
}
