import TCMUTestKit
import Testing

/// Scenarios that the fuzzer starts from: each command once as it is meant, and what else can befall a unit. A new command
/// gets a row; `TCMU_WRITE_SEEDS=1 swift test --filter UnitFuzzCorpusTests` then writes its file.
struct UnitSeed: Sendable, CustomTestStringConvertible {
    /// The file in Tests/Fuzz/corpus/unit.
    let name: String
    let scenario: UnitScenario
    /// The statuses in the order of the answers.
    let statuses: [UInt8]

    var testDescription: String { name }

    /// One command on memory.
    init(_ name: String, _ command: UnitScenario.Command, _ status: UInt8 = 0) {
        self.init(name, UnitScenario([.command(command)]), [status])
    }

    init(_ name: String, _ scenario: UnitScenario, _ statuses: [UInt8]) {
        self.name = name
        self.scenario = scenario
        self.statuses = statuses
    }

    static let all: [UnitSeed] = commands + lists + surroundings + further + copies

    private static let commands: [UnitSeed] = [
        UnitSeed("test-unit-ready", UnitScenario.Command(InitiatorCDB.testUnitReady)),
        UnitSeed("request-sense", .init(InitiatorCDB.requestSense, .dataIn, length: 252)),
        UnitSeed("inquiry", .init(InitiatorCDB.inquiry(), .dataIn, length: 255)),
        UnitSeed("inquiry-00", .init(InitiatorCDB.inquiry(page: 0x00), .dataIn, length: 255)),
        UnitSeed("inquiry-80", .init(InitiatorCDB.inquiry(page: 0x80), .dataIn, length: 255)),
        UnitSeed("inquiry-83", .init(InitiatorCDB.inquiry(page: 0x83), .dataIn, length: 255)),
        UnitSeed("inquiry-b0", .init(InitiatorCDB.inquiry(page: 0xB0), .dataIn, length: 255)),
        UnitSeed("inquiry-b1", .init(InitiatorCDB.inquiry(page: 0xB1), .dataIn, length: 255)),
        UnitSeed("inquiry-b2", .init(InitiatorCDB.inquiry(page: 0xB2), .dataIn, length: 255)),
        UnitSeed("read-capacity10", .init(InitiatorCDB.readCapacity10, .dataIn, length: 8)),
        UnitSeed("read-capacity16", .init(InitiatorCDB.readCapacity16, .dataIn, length: 32)),
        UnitSeed("mode-sense6", .init(InitiatorCDB.modeSense6(), .dataIn, length: 255)),
        UnitSeed("mode-sense10", .init(InitiatorCDB.modeSense10(), .dataIn, length: 255)),
        UnitSeed("start-stop-unit", .init(InitiatorCDB.startUnit)),
        UnitSeed("read6", .moving(InitiatorCDB.read6(1, 2), .dataIn, blocks: 2)),
        UnitSeed("read10", .moving(InitiatorCDB.read10(40, 8), .dataIn, blocks: 8)),
        UnitSeed("read12", .moving(InitiatorCDB.read12(0, 40), .dataIn, blocks: 40)),
        UnitSeed("read16", .moving(InitiatorCDB.read16(47, 1), .dataIn, blocks: 1)),
        UnitSeed("read10-beyond", .moving(InitiatorCDB.read10(41, 8), .dataIn, blocks: 8), 2),
        UnitSeed("read10-short-buffer", .moving(InitiatorCDB.read10(1, 8), .dataIn, blocks: 4), 2),
        UnitSeed("read10-long-buffer", .moving(InitiatorCDB.read10(1, 4), .dataIn, blocks: 8)),
        UnitSeed("write6", .moving(InitiatorCDB.write6(1, 2), .dataOut, blocks: 2, pattern: [1, 2, 3])),
        UnitSeed("write10", .moving(InitiatorCDB.write10(8, 2, flags: 8), .dataOut, blocks: 2, pattern: [1])),
        UnitSeed("write12", .moving(InitiatorCDB.write12(8, 2), .dataOut, blocks: 2, pattern: [1])),
        UnitSeed("write16", .moving(InitiatorCDB.write16(8, 2), .dataOut, blocks: 2, pattern: [1])),
        UnitSeed("write10-long-buffer", .moving(InitiatorCDB.write10(8, 2), .dataOut, blocks: 5, pattern: [1])),
        UnitSeed("synchronize-cache10", .init(InitiatorCDB.synchronizeCache10())),
        UnitSeed("synchronize-cache16", .init(InitiatorCDB.synchronizeCache16())),
        UnitSeed("write-same10", .moving(InitiatorCDB.writeSame10(1, 40), .dataOut, blocks: 1, pattern: [7, 8])),
        UnitSeed("write-same16", .moving(InitiatorCDB.writeSame16(1, 40, flags: 8), .dataOut, blocks: 1)),
        UnitSeed("compare-and-write", comparing),
        UnitSeed(
            "compare-and-write-differs",
            .moving(InitiatorCDB.compareAndWrite(4, 1), .dataOut, blocks: 2, pattern: [4, 4, 5]), 2),
        UnitSeed("vendor", .init([0xC0, 0, 0, 0, 0, 0], .dataIn, length: 64), 2),
        UnitSeed(
            "variable-length", .init([0x7F, 0, 0, 0, 0, 0, 0, 24, 0, 9] + [UInt8](repeating: 0, count: 22)), 2),
    ]

    private static let lists: [UnitSeed] = [
        UnitSeed(
            "unmap",
            .sending(
                InitiatorCDB.unmap(parameterListLength: 40),
                InitiatorCDB.unmapParameters([(lba: 8, blocks: 8), (lba: 32, blocks: 4)]))),
        UnitSeed(
            "mode-select6",
            .sending([0x15, 0x10, 0, 0, 24, 0], [0, 0, 0, 0, 0x08, 0x12] + [UInt8](repeating: 0, count: 18))),
        UnitSeed(
            "mode-select10",
            .sending(
                [0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0],
                [0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x12] + [UInt8](repeating: 0, count: 18))),
    ]

    private static let surroundings: [UnitSeed] = [
        UnitSeed(
            "no-read-len",
            UnitScenario(
                saysLength: false,
                [
                    .command(.init(InitiatorCDB.inquiry(page: 0x83), .dataIn, length: 300)),
                    .command(.moving(InitiatorCDB.read10(1, 1), .dataIn, blocks: 3)),
                ]), [0, 0]),
        UnitSeed(
            "port-groups",
            UnitScenario(
                facts: .withPort,
                [
                    .command(.init(InitiatorCDB.reportTargetPortGroups, .dataIn, length: 64)),
                    .command(.init(InitiatorCDB.inquiry(page: 0x83), .dataIn, length: 255)),
                ]), [0, 0]),
        UnitSeed(
            "facts-late",
            UnitScenario(
                facts: .byStep,
                [
                    .command(.init(InitiatorCDB.inquiry(), .dataIn, length: 36)), .deliverFacts,
                    .command(.init(InitiatorCDB.inquiry(), .dataIn, length: 36)), .wait,
                    .command(.init(InitiatorCDB.inquiry(page: 0x80), .dataIn, length: 36)), .wait,
                ]), [0, 8, 0]),
        UnitSeed(
            "facts-never",
            UnitScenario(facts: .byStep, [.command(.init(InitiatorCDB.inquiry(), .dataIn, length: 36))]), [8]),
        UnitSeed(
            "facts-unreadable",
            UnitScenario(facts: .unreadable, [.command(.init(InitiatorCDB.inquiry(), .dataIn, length: 36))]), [2]),
        UnitSeed(
            "several-out-of-order",
            UnitScenario(
                backend: 1, holdsAtFirst: true,
                [
                    .command(batched(InitiatorCDB.read10(0, 1), .dataIn, blocks: 1)),
                    .command(batched(InitiatorCDB.write10(8, 3, flags: 8), .dataOut, blocks: 3)),
                    .command(batched(InitiatorCDB.testUnitReady, .none, blocks: 0)),
                    .command(.moving(InitiatorCDB.read10(16, 2), .dataIn, blocks: 2)), .releaseOne(3),
                    .releaseNewestFirst, .answerAtOnce,
                ]), [0, 0, 0, 0]),
        UnitSeed(
            "exclusion",
            UnitScenario(
                backend: 2, holdsAtFirst: true,
                [
                    .command(comparing), .command(.moving(InitiatorCDB.read10(4, 1), .dataIn, blocks: 1)),
                    .command(.moving(InitiatorCDB.write10(4, 1, flags: 8), .dataOut, blocks: 1)),
                    .releaseOldestFirst, .releaseOldestFirst, .releaseOldestFirst,
                ]), [0, 0, 0]),
        UnitSeed(
            "errno-io", UnitScenario(backend: 1, [.fail(kind: 0, errno: 5), .command(reading)]), [2]),
        UnitSeed(
            "errno-timed-out", UnitScenario(backend: 1, [.fail(kind: 0, errno: 110), .command(reading)]), [8]),
        UnitSeed(
            "errno-no-space",
            UnitScenario(
                backend: 3,
                [
                    .fail(kind: 1, errno: 28),
                    .command(.moving(InitiatorCDB.write10(8, 1), .dataOut, blocks: 1, pattern: [9])),
                ]), [2]),
        UnitSeed(
            "late",
            UnitScenario(
                backend: 1, hasTimeLimit: true, holdsAtFirst: true,
                [.command(reading), .wait, .command(reading), .releaseOldestFirst, .command(reading)]), [8, 0, 0]),
        UnitSeed(
            "read-only",
            UnitScenario(
                backend: 6, [.command(.moving(InitiatorCDB.write10(8, 1), .dataOut, blocks: 1)), .command(reading)]),
            [2, 0]),
        UnitSeed(
            "large-blocks-low-space",
            UnitScenario(
                backend: 4, hasLargeBlocks: true,
                [
                    .command(.moving(InitiatorCDB.write10(1, 2), .dataOut, blocks: 2, pattern: [9])),
                    .command(.moving(InitiatorCDB.read10(0, 5), .dataIn, blocks: 5)),
                ]), [0, 2]),
        UnitSeed(
            "task-management",
            UnitScenario(
                backend: 1, holdsAtFirst: true,
                [.command(reading), .taskManagement(function: 5, commands: 1), .releaseOldestFirst]), [0]),
        UnitSeed("unknown-operation", UnitScenario([.unknownOperation(0), .turn]), [2]),
        UnitSeed(
            "both-directions",
            UnitScenario([.command(.init(InitiatorCDB.testUnitReady, .both, length: 512))]), [2]),
        UnitSeed(
            "busy-long-buffer",
            UnitScenario(
                backend: 1,
                [
                    .fail(kind: 0, errno: 110),
                    .command(.moving(InitiatorCDB.read10(1, 1), .dataIn, blocks: 3)),
                ]), [8]),
    ]

    /// Block 4 holds bytes 4, and shall hold them again.
    private static let comparing = UnitScenario.Command.moving(
        InitiatorCDB.compareAndWrite(4, 1), .dataOut, blocks: 2, pattern: [4])

    private static let reading = UnitScenario.Command.moving(InitiatorCDB.read10(1, 1), .dataIn, blocks: 1)

    private static func batched(
        _ cdb: [UInt8], _ direction: UnitScenario.Direction, blocks: UInt16
    ) -> UnitScenario.Command {
        UnitScenario.Command(cdb, direction, length: blocks, countsBlocks: true, turns: false)
    }
}
