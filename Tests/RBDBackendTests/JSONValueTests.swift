import BlockBackend
import RBDBackend
import Testing

@Suite("Monitors' answers")
struct JSONValueTests {
    @Test("nested values are found")
    func nested() {
        let value = JSONValue(#" {"a":[1,{"b":"c"},[],{}],"d":null,"a2":-1.5e3,"n":18446744073709551615} "#)
        #expect(value?["a"]?.elements?.count == 4)
        #expect(value?["a"]?.elements?[0].number == 1)
        #expect(value?["a"]?.elements?[1]["b"] == .string("c"))
        #expect(value?["d"] == .word("null"))
        #expect(value?["a2"]?.number == nil)
        #expect(value?["n"]?.number == .max)
        #expect(value?["missing"] == nil)
        #expect(value?["a"]?["b"] == nil)
    }

    @Test(
        "what is no JSON is nil",
        arguments: [
            "", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "[1] 2", "[1}", "\"a",
            "]", ",", ":", "{\"a\":1]",
        ])
    func malformed(text: String) {
        #expect(JSONValue(text) == nil)
    }

    @Test("nesting has a bound")
    func depth() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(JSONValue(nested(32)) != nil)
        #expect(JSONValue(nested(33)) == nil)
        #expect(JSONValue(nested(1_000_000)) == nil)
    }

    private static func df(_ stats: String) -> String {
        #"{"stats":{"total_avail_bytes":999},"pools":[{"name":"b","id":2,"stats":{"max_avail":5}},"#
            + #"{"name":"a","id":7,"stats":{\#(stats)}}]}"#
    }

    @Test(
        "a pool's space is the smaller one of what the OSDs and the quota leave",
        arguments: [
            (#""stored":10,"max_avail":1000"#, 1000), (#""stored":10,"quota_bytes":0,"max_avail":1000"#, 1000),
            (#""stored":10,"quota_bytes":300,"max_avail":1000"#, 290),
            (#""stored":10,"quota_bytes":3000,"max_avail":1000"#, 1000),
            (#""stored":310,"quota_bytes":300,"max_avail":1000"#, 0), (#""stored":10"#, nil),
            (#""max_avail":"1000""#, nil), (#""max_avail":-1"#, nil),
        ] as [(String, UInt64?)])
    func space(stats: String, bytes: UInt64?) {
        #expect(availableBytes(pool: 7, in: Self.df(stats)) == bytes)
    }

    @Test("an unknown pool has no space", arguments: [-1, 0, 3, Int64.max, Int64.min])
    func unknownPool(pool: Int64) {
        #expect(availableBytes(pool: pool, in: Self.df(#""max_avail":1000"#)) == nil)
        #expect(availableBytes(pool: 7, in: "[]") == nil)
        #expect(availableBytes(pool: 7, in: "") == nil)
    }
}

@Suite("Runs out of a diff")
struct DiffRunsTests {
    private func runs(_ mapped: [(UInt64, UInt64)], limit: Int = 100) -> [AllocationRun] {
        let window = ByteExtent(offset: 100, length: 100)
        let survey = Survey(.allocation(window, limit: limit))
        let extents = mapped.map { ByteExtent(offset: $0.0, length: $0.1) }
        fillRuns(of: survey, in: window, mapped: extents, limit: limit)
        return survey.runs
    }

    private func expected(_ runs: [(UInt64, Bool)]) -> [AllocationRun] {
        var offset: UInt64 = 100
        return runs.map { length, isMapped in
            defer { offset += length }
            return AllocationRun(extent: ByteExtent(offset: offset, length: length), isMapped: isMapped)
        }
    }

    @Test(
        "cover the window exactly, whatever the diff says",
        arguments: [
            ([], [(100, false)]), ([(0, 1000)], [(100, true)]), ([(100, 100)], [(100, true)]),
            ([(0, 100), (200, 50)], [(100, false)]), ([(110, 10)], [(10, false), (10, true), (80, false)]),
            ([(150, 50), (100, 50)], [(100, true)]),
            ([(150, 10), (120, 10), (130, 20)], [(20, false), (40, true), (40, false)]),
            ([(120, 50), (130, 10)], [(20, false), (50, true), (30, false)]),
            ([(190, .max)], [(90, false), (10, true)]),
            ([(150, 0)], [(100, false)]), ([(.max, .max)], [(100, false)]),
        ] as [([(UInt64, UInt64)], [(UInt64, Bool)])])
    func cover(mapped: [(UInt64, UInt64)], wanted: [(UInt64, Bool)]) {
        #expect(runs(mapped) == expected(wanted))
    }

    @Test("are cut at the limit", arguments: 1...5)
    func limit(limit: Int) {
        let all = expected([(10, false), (10, true), (10, false), (10, true), (60, false)])
        #expect(runs([(110, 10), (130, 10)], limit: limit) == Array(all.prefix(limit)))
    }
}
