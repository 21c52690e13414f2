import SCSI
import TCMUTestKit

// Commands beyond reading and writing.
extension UnitSeed {
    static let further: [UnitSeed] = [
        UnitSeed("verify10", .init(cdb(0x2F, [0, 0, 0, 0, 1, 0, 0, 8, 0]))),
        UnitSeed(
            "verify10-bytes",
            .moving(cdb(0x2F, [0x02, 0, 0, 0, 4, 0, 0, 1, 0]), .dataOut, blocks: 1, pattern: [4])),
        UnitSeed(
            "verify16-one-block",
            .moving(
                cdb(0x8F, [0x06, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0]), .dataOut, blocks: 1, pattern: [4]), 2),
        UnitSeed("verify12", .init(cdb(0xAF, [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]))),
        UnitSeed(
            "write-and-verify10",
            .moving(cdb(0x2E, [0x02, 0, 0, 0, 4, 0, 0, 1, 0]), .dataOut, blocks: 1, pattern: [5])),
        UnitSeed(
            "write-and-verify16",
            .moving(cdb(0x8E, [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0]), .dataOut, blocks: 1, pattern: [5])),
        UnitSeed(
            "orwrite16",
            .moving(cdb(0x8B, [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0]), .dataOut, blocks: 1, pattern: [9])),
        on(
            4, "write-atomic16",
            .moving(cdb(0x9C, [0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]), .dataOut, blocks: 8, pattern: [9])),
        UnitSeed("pre-fetch10", .init(cdb(0x34, [0, 0, 0, 0, 1, 0, 0, 8, 0]))),
        UnitSeed("pre-fetch16", .init(cdb(0x90, [0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0]))),
        UnitSeed("read-defect-data10", .init(cdb(0x37, [0, 0x1D, 0, 0, 0, 0, 0, 8, 0]), .dataIn, length: 8)),
        UnitSeed("read-defect-data12", .init(cdb(0xB7, [0x1D, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0]), .dataIn, length: 8)),
        UnitSeed(
            "get-lba-status",
            .init(cdb(0x9E, [0x12, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 88, 0, 0]), .dataIn, length: 88)),
        on(
            4, "get-lba-status-scripted",
            .init(cdb(0x9E, [0x12, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 88, 0, 0]), .dataIn, length: 88)),
        UnitSeed("prevent-allow", .init(cdb(0x1E, [0, 0, 0, 1, 0]))),
        UnitSeed("log-sense-pages", .init(cdb(0x4D, [0, 0x40, 0, 0, 0, 0, 0, 64, 0]), .dataIn, length: 64)),
        on(
            4, "log-sense-provisioning",
            .init(cdb(0x4D, [0, 0x4C, 0, 0, 0, 0, 0, 64, 0]), .dataIn, length: 64)),
        UnitSeed(
            "supported-operation-codes",
            .init(cdb(0xA3, [0x0C, 0x80, 0, 0, 0, 0, 0, 16, 0, 0, 0]), .dataIn, length: 4096)),
        UnitSeed(
            "supported-operation-code",
            .init(cdb(0xA3, [0x0C, 0x03, 0x9E, 0, 0x12, 0, 0, 0, 64, 0, 0]), .dataIn, length: 64)),
        UnitSeed(
            "supported-task-management",
            .init(cdb(0xA3, [0x0D, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0]), .dataIn, length: 16)),
        UnitSeed("format-unit", .init(cdb(0x04, [0, 0, 0, 0, 0]))),
        UnitSeed(
            "format-unit-immediate",
            UnitScenario(
                backend: 1, holdsAtFirst: true,
                [
                    .command(.sending(cdb(0x04, [0x10, 0, 0, 0, 0]), [0, 0x8A, 0, 0, 0, 1, 0, 2, 1, 2])),
                    .command(.init(InitiatorCDB.testUnitReady)), .releaseOldestFirst,
                    .command(.init(InitiatorCDB.requestSense, .dataIn, length: 252)), .answerAtOnce,
                    .releaseOldestFirst, .command(.init(InitiatorCDB.testUnitReady)),
                ]), [0, 2, 0, 0]),
        UnitSeed(
            "sanitize-overwrite",
            .sending(cdb(0x48, [0x01, 0, 0, 0, 0, 0, 0, 8, 0]), [0x82, 0, 0, 4, 1, 2, 3, 4])),
        UnitSeed("sanitize-block-erase", .init(cdb(0x48, [0x82, 0, 0, 0, 0, 0, 0, 0, 0]))),
        UnitSeed(
            "sanitize-fails",
            UnitScenario(
                backend: 3,
                [
                    .fail(kind: 3, errno: 5), .command(.init(cdb(0x48, [0x22, 0, 0, 0, 0, 0, 0, 0, 0]))),
                    .command(.moving(InitiatorCDB.read10(1, 1), .dataIn, blocks: 1)),
                    .command(.init(cdb(0x48, [0x1F, 0, 0, 0, 0, 0, 0, 0, 0]))),
                    .command(.moving(InitiatorCDB.read10(1, 1), .dataIn, blocks: 1)),
                ]), [2, 2, 0, 0]),
        UnitSeed(
            "descriptor-sense",
            UnitScenario([
                .command(
                    .sending(
                        [0x15, 0x10, 0, 0, 16, 0],
                        [0, 0, 0, 0, 0x0A, 0x0A, 0x06, 0x10, 0, 0x40, 0, 0, 0xFF, 0xFF, 0, 0])),
                .command(.moving(InitiatorCDB.read10(100, 1), .dataIn, blocks: 1)),
            ]), [0, 2]),
    ]

    /// Within the unit, whose designator is made of the serial number that every scenario has.
    static let copies: [UnitSeed] = [
        copy("copy-lid1", .lid1, to: 16), copy("copy-lid4", .lid4, to: 16), copy("copy-beyond", .lid1, to: 47, 2),
        UnitSeed(
            "receive-copy-parameters",
            .init(InitiatorCDB.receiveCopyOperatingParameters(), .dataIn, length: 1024)),
        UnitSeed(
            "receive-copy-status",
            UnitScenario(
                backend: 1,
                [
                    .command(copying(.lid1, to: 16)),
                    .command(.init(InitiatorCDB.receiveCopyStatusLID1(1), .dataIn, length: 64)),
                    .command(.init(InitiatorCDB.receiveCopyFailureDetails(1), .dataIn, length: 64)),
                    .command(.init(InitiatorCDB.receiveCopyStatusLID4(1), .dataIn, length: 64)),
                ]), [0, 0, 2, 2]),
    ]

    private static func copy(
        _ name: String, _ form: CopyListBuilder.Form, to destination: UInt64, _ status: UInt8 = 0
    ) -> UnitSeed {
        UnitSeed(name, copying(form, to: destination), status)
    }

    private static func copying(_ form: CopyListBuilder.Form, to destination: UInt64) -> UnitScenario.Command {
        let designator = InitiatorCDB.designator(serial: "0123456789abcdef")
        let list = CopyListBuilder.within(designator, from: 1, to: destination, blocks: 4, form: form)
        return .sending(list.cdb, list.bytes)
    }

    private static func on(_ backend: UInt8, _ name: String, _ command: UnitScenario.Command) -> UnitSeed {
        UnitSeed(name, UnitScenario(backend: backend, [.command(command)]), [0])
    }

    private static func cdb(_ code: UInt8, _ rest: [UInt8]) -> [UInt8] { [code] + rest }
}
