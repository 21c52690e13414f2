import RBDBackend
import Testing

@Suite("What gateways say to each other")
struct HandOverMessageTests {
    @Test("a request comes out as it went in", arguments: [("gw1.example", UInt64(4123)), ("", 0), ("x", .max)])
    func request(host: String, client: UInt64) throws {
        let request = HandOverRequest(host: host, client: client)
        let read = try #require(HandOverRequest(request.bytes))
        #expect(read == request)
        #expect(read.host == host)
        #expect(HandOverReply(request.bytes) == nil, "no reply")
    }

    @Test(
        "a reply comes out as it went in",
        arguments: [
            HandOverReply.Verdict.released, .hold(milliseconds: 0), .hold(milliseconds: .max), .fenceMe,
        ])
    func reply(verdict: HandOverReply.Verdict) throws {
        let reply = HandOverReply(verdict, host: "gw2")
        #expect(try #require(HandOverReply(reply.bytes)) == reply)
        #expect(HandOverRequest(reply.bytes) == nil, "no request")
    }

    @Test("the bytes are those of version 1")
    func golden() {
        #expect(
            HandOverRequest(host: "gw1", client: 0x0102).bytes
                == Array("tcmH".utf8) + [1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 3] + Array("gw1".utf8))
        #expect(
            HandOverReply(.hold(milliseconds: 500), host: "gw1").bytes
                == Array("tcmH".utf8) + [1, 17, 0xF4, 1, 0, 0, 0, 0, 0, 0, 3] + Array("gw1".utf8))
    }

    @Test("a host's name is cut to what fits, and shows nothing that a terminal would obey")
    func hosts() throws {
        let long = HandOverRequest(host: String(repeating: "é\u{1B}\n", count: 100), client: 1)
        #expect(long.host == String(repeating: "?", count: 64))
        #expect(try #require(HandOverRequest(long.bytes)) == long)
    }

    @Test("what is no message of this version is none, and what follows a message is skipped")
    func malformed() {
        let good = HandOverRequest(host: "gw1", client: 7).bytes
        for length in 0..<good.count { #expect(HandOverRequest(good.prefix(length)) == nil, "cut to \(length)") }
        #expect(HandOverRequest(good + [1, 2, 3]) == HandOverRequest(host: "gw1", client: 7))
        #expect(HandOverRequest(good + [UInt8](repeating: 0, count: 512)) == nil, "too long")
        for index in [0, 3, 4, 5] {
            var bad = good
            bad[index] ^= 0x80
            #expect(HandOverRequest(bad) == nil, "byte \(index)")
        }
        var overlong = good
        overlong[14] = 65
        #expect(HandOverRequest(overlong + [UInt8](repeating: 0x61, count: 100)) == nil)
    }

    @Test("random bytes, and messages with random changes, never stop the reader", arguments: 1...8)
    func random(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let buffer = answers([(9, 1, HandOverReply(.fenceMe, host: "gw").bytes)], silent: [(3, 4)])
        let samples = [
            HandOverRequest(host: "gw1.example", client: 9).bytes,
            HandOverReply(.hold(milliseconds: 9), host: "gw2").bytes, buffer,
        ]
        for _ in 0..<2000 {
            var bytes = samples[Int.random(in: 0..<3, using: &generator)]
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &generator)))
            for text in [bytes, generator.bytes(Int.random(in: 0...80, using: &generator))] {
                if let request = HandOverRequest(text) {
                    #expect(request.host.utf8.allSatisfy { (0x21...0x7E).contains($0) })
                    #expect(HandOverRequest(request.bytes) == request)
                }
                if let reply = HandOverReply(text) { #expect(HandOverReply(reply.bytes) == reply) }
                if let answers = NotifyAnswers(text, own: 1) { #expect(answers.silent.count <= text.count / 16) }
            }
        }
    }

    @Test("librados' list of answers is taken apart; own watches are left out")
    func decoded() throws {
        let reply = HandOverReply(.released, host: "gw2")
        let buffer = answers(
            [(7, 1, reply.bytes), (8, 2, []), (9, 3, [1, 2, 3]), (42, 4, reply.bytes)], silent: [(5, 6), (42, 7)])
        let read = try #require(NotifyAnswers(buffer, own: 42))
        #expect(read.answers.map(\.client) == [7, 8, 9])
        #expect(read.answers.map(\.reply) == [reply, nil, nil])
        #expect(read.silent == [5])
        for length in 0..<buffer.count {
            #expect(NotifyAnswers(Array(buffer.prefix(length)), own: 42) == nil, "cut to \(length)")
        }
        #expect(NotifyAnswers(answers([], silent: []), own: 1) != nil)
        #expect(NotifyAnswers([UInt8](repeating: 0xFF, count: 64), own: 1) == nil, "counts beyond the buffer")
    }

    private func answers(
        _ given: [(client: UInt64, cookie: UInt64, payload: [UInt8])], silent: [(client: UInt64, cookie: UInt64)]
    ) -> [UInt8] {
        func number(_ value: UInt64, _ bytes: Int) -> [UInt8] {
            (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
        }
        var buffer = number(UInt64(given.count), 4)
        for each in given {
            buffer +=
                number(each.client, 8) + number(each.cookie, 8) + number(UInt64(each.payload.count), 4)
                + each.payload
        }
        buffer += number(UInt64(silent.count), 4)
        for each in silent { buffer += number(each.client, 8) + number(each.cookie, 8) }
        return buffer
    }
}
