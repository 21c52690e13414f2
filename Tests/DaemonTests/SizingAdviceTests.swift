import LogicalUnit
import TCMURing
import TCMUTestKit
import Testing

@testable import Daemon

/// Expected numbers are worked out by hand from the kernel's rules, not by the code under test.
@Suite("Sizing: what a unit's settings leave room for, and what to change")
struct SizingAdviceTests {
    typealias Settings = SizingAdvice.Settings

    struct Case: Sendable, CustomTestStringConvertible {
        let title: String
        let settings: Settings
        let line: String
        let remedy: String?
        var testDescription: String { title }

        init(_ title: String, _ line: String, remedy: String? = nil, change: (inout Settings) -> Void = { _ in }) {
            var settings = Settings()
            change(&settings)
            (self.title, self.settings, self.line, self.remedy) = (title, settings, line, remedy)
        }
    }

    static let enough: [Case] = [
        Case(
            "the kernel's defaults",
            "the queue depth of 128 is the bound; tcmud lets 4096 commands of 64 KiB run at once (4096 of 4 KiB)"),
        Case(
            "exactly the queue depth",
            """
            the queue depth of 128 is the bound; max_data_area_mb=64 lets 128 commands of 512 KiB run at once \
            (4096 of 4 KiB)
            """
        ) { ($0.transferBlocks, $0.dataAreaMebibytes) = (1024, 64) },
        Case(
            "hw_max_sectors beyond what is advertised counts as 4 MiB",
            """
            the queue depth of 128 is the bound; max_data_area_mb=1024 lets 256 commands of 4 MiB run at once \
            (4096 of 4 KiB)
            """
        ) { $0.transferBlocks = 1 << 20 },
        Case(
            "logical blocks of 4096 bytes: hw_max_sectors counts those",
            """
            the queue depth of 128 is the bound; max_data_area_mb=256 lets 512 commands of 512 KiB run at once \
            (4096 of 4 KiB)
            """
        ) { ($0.blockSize, $0.dataAreaMebibytes) = (4096, 256) },
        Case(
            "one size only: nothing in brackets",
            "the queue depth of 128 is the bound; max_data_area_mb=1 lets 256 commands of 512 bytes run at once"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes) = (1, 1) },
        Case(
            "the ring of 8 MiB is enough for the longest commands, each in 1024 pieces: 8388480 of 16448 bytes, less one",
            """
            the queue depth of 128 is the bound; cmd_ring_size_mb=8 lets 509 commands of 4 MiB run at once \
            (4096 of 4 KiB)
            """
        ) { ($0.transferBlocks, $0.dataAreaMebibytes) = (8192, 2048) },
        Case(
            "nothing helps against the daemon's own bound",
            "tcmud lets 4096 commands of 64 KiB run at once (4096 of 4 KiB), of a queue depth of 5000"
        ) { $0.queueDepth = 5000 },
        Case(
            "nor against the largest ring there is",
            "cmd_ring_size_mb=8 lets 509 commands of 4 MiB run at once (4096 of 4 KiB), of a queue depth of 1000"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.queueDepth) = (8192, 1 << 20, 1000) },
        Case(
            "a queue depth of 0 counts as 1",
            "the queue depth of 1 is the bound; max_data_area_mb=8 lets 128 commands of 64 KiB run at once (2048 of 4 KiB)"
        ) { ($0.queueDepth, $0.dataAreaMebibytes) = (0, 8) },
    ]

    static let wanting: [Case] = [
        Case(
            "ceph-iscsi's defaults",
            """
            max_data_area_mb=8 lets 16 commands of 512 KiB run at once (2048 of 4 KiB), of a queue depth of 128; \
            raise max_data_area_mb to 128
            """, remedy: "raise max_data_area_mb to 128"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes) = (1024, 8) },
        Case(
            "one command short",
            """
            max_data_area_mb=63 lets 126 commands of 512 KiB run at once (4096 of 4 KiB), of a queue depth of 128; \
            raise max_data_area_mb to 128
            """, remedy: "raise max_data_area_mb to 128"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes) = (1024, 63) },
        Case(
            "room for none: the kernel refuses each of them",
            """
            max_data_area_mb=1 has no room for a command of 4 MiB, so that the kernel refuses it; \
            raise max_data_area_mb to 1024
            """, remedy: "raise max_data_area_mb to 1024"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes) = (8192, 1) },
        Case(
            "a block of 1 MiB for each command, whatever its size: smaller blocks do",
            """
            max_data_area_mb=64 with data_pages_per_blk=256 lets 64 commands of 512 KiB run at once (64 of 4 KiB), \
            of a queue depth of 128; lower data_pages_per_blk to 128
            """, remedy: "lower data_pages_per_blk to 128"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.pagesPerDataBlock) = (1024, 64, 256) },
        Case(
            "the same, but smaller blocks do not do",
            """
            max_data_area_mb=8 with data_pages_per_blk=256 lets 8 commands of 512 KiB run at once (8 of 4 KiB), \
            of a queue depth of 128; lower data_pages_per_blk to 128 and raise max_data_area_mb to 128
            """, remedy: "lower data_pages_per_blk to 128 and raise max_data_area_mb to 128"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.pagesPerDataBlock) = (1024, 8, 256) },
        Case(
            "blocks that a transfer fills only in part: three of 192 KiB for 512 KiB, 14 in 8 MiB of 42",
            """
            max_data_area_mb=8 with data_pages_per_blk=48 lets 14 commands of 512 KiB run at once (42 of 4 KiB), \
            of a queue depth of 128; raise max_data_area_mb to 144
            """, remedy: "raise max_data_area_mb to 144"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.pagesPerDataBlock) = (1024, 8, 48) },
        Case(
            "the kernel's bound for all devices leaves only what is needed",
            """
            max_data_area_mb=8 lets 16 commands of 512 KiB run at once (2048 of 4 KiB), of a queue depth of 128; \
            raise max_data_area_mb to 64
            """, remedy: "raise max_data_area_mb to 64"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.globalDataAreaMebibytes) = (1024, 8, 100) },
        Case(
            "or not even that",
            """
            max_data_area_mb=8 lets 16 commands of 512 KiB run at once (2048 of 4 KiB), of a queue depth of 128; \
            raise max_data_area_mb to 64, and global_max_data_area_mb first
            """, remedy: "raise max_data_area_mb to 64, and global_max_data_area_mb first"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.globalDataAreaMebibytes) = (1024, 8, 32) },
        Case(
            "a ring too small for long commands in many pieces: 1048448 bytes, 16448 each, less one",
            """
            cmd_ring_size_mb=1 lets 62 commands of 4 MiB run at once (4096 of 4 KiB), of a queue depth of 128; \
            raise cmd_ring_size_mb to 3
            """, remedy: "raise cmd_ring_size_mb to 3"
        ) { ($0.transferBlocks, $0.commandRingMebibytes) = (8192, 1) },
        Case(
            "pages of 64 KiB: a block is never smaller",
            """
            max_data_area_mb=4 lets 8 commands of 512 KiB run at once (64 of 4 KiB), of a queue depth of 128; \
            raise max_data_area_mb to 128
            """, remedy: "raise max_data_area_mb to 128"
        ) { ($0.transferBlocks, $0.dataAreaMebibytes, $0.pageSize) = (1024, 4, 65536) },
    ]

    @Test("the line, and what to change", arguments: enough + wanting)
    func line(_ row: Case) {
        let advice = SizingAdvice(row.settings)
        #expect(advice.line == row.line)
        #expect(advice.remedy == row.remedy)
    }

    @Test("who follows the advice is not told again", arguments: wanting)
    func followed(_ row: Case) throws {
        var settings = row.settings
        let remedy = try #require(row.remedy).replacing(", and global_max_data_area_mb first", with: "")
        for words in remedy.split(separator: " and ") {
            let numbers = words.split { $0 == " " || $0 == "," }.compactMap { UInt32($0) }
            let value = try #require(numbers.first, "a value in every part of the advice")
            if words.contains("data_pages_per_blk") { settings.pagesPerDataBlock = value }
            if words.contains("max_data_area_mb to") { settings.dataAreaMebibytes = value }
            if words.contains("cmd_ring_size_mb") { settings.commandRingMebibytes = value }
        }
        #expect(SizingAdvice(row.settings).remedy != nil)
        #expect(SizingAdvice(settings).remedy == nil, "\(SizingAdvice(settings).line)")
        #expect(SizingAdvice(settings).largest.commands >= UInt64(settings.queueDepth))
    }

    @Test("no combination of extreme settings traps, and a line comes of each")
    func extremes() {
        let values: [UInt32] = [0, 1, 3, 0x7FFF_FFFF, .max]
        var count = 0
        // Eight settings with five values each, as the digits of a number.
        for number in 0..<390_625 {
            var digits = number
            func next() -> UInt32 {
                defer { digits /= 5 }
                return values[digits % 5]
            }
            let settings = Settings(
                blockSize: next(), transferBlocks: next(), dataAreaMebibytes: next(), pagesPerDataBlock: next(),
                commandRingMebibytes: next(), queueDepth: next(), globalDataAreaMebibytes: next(), pageSize: next())
            let advice = SizingAdvice(settings)
            if advice.largest.commands > UInt64(Limits.commandsInFlight) { count += 1 }
            // Lines are made from the same numbers; every tenth is enough for their own arithmetic.
            if number % 10 == 0, advice.line.isEmpty { count += 1 }
        }
        #expect(count == 0)
    }
}
