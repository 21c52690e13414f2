import SystemPackage
import Testing

@testable import KernelFiles

@Suite("A device's attributes")
struct BackstoreTests {
    static let device = "target/core/user_3/disk"

    /// A tree with the device's files, and the device.
    static func backstore(_ files: [String: String]) throws -> (TemporaryTree, Backstore) {
        let tree = TemporaryTree(Dictionary(uniqueKeysWithValues: files.map { ("\(device)/\($0)", $1) }))
        let name = try #require(BackstoreName(hba: 3, name: "disk"))
        return (tree, ConfigFSTree(mountedAt: FilePath(tree.path)).backstore(name))
    }

    @Test("numbers and texts as the kernel prints them")
    func values() throws {
        let (tree, backstore) = try Self.backstore([
            "attrib/hw_block_size": "512\n",
            "attrib/hw_max_sectors": "128\n",
            "info": """
            Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 128
                    TCMU Config: rbd/p/a Size: 7 b Size: 1073741824 MaxDataAreaMB: 8 DataPagesPerBlk: 1

            """,
            "wwn/vpd_unit_serial": "T10 VPD Unit Serial Number: 8a5f-0001 é\n",
            "action/block_dev": "unblocked\n",
            "action/reset_ring": "",
        ])
        #expect(try backstore.blockSize() == 512)
        #expect(try backstore.maximumTransferBlocks() == 128)
        #expect(try backstore.size() == 1_073_741_824)
        #expect(try backstore.unitSerial() == "8a5f-0001 é")
        try backstore.setBlocked(true, holding: Held())
        #expect(tree.read("\(Self.device)/action/block_dev").starts(with: [0x31, 0x00]))
        try backstore.setBlocked(false, holding: Held())
        #expect(tree.read("\(Self.device)/action/block_dev").starts(with: [0x30, 0x00]))
        try backstore.resetRing(.checkCondition, holding: Held())
        #expect(tree.read("\(Self.device)/action/reset_ring") == [0x32, 0x00])
    }

    @Test("without the claim nothing is written that another daemon's device would feel")
    func unclaimed() throws {
        let (tree, backstore) = try Self.backstore([
            "action/block_dev": "unblocked\n", "action/reset_ring": "", "attrib/tmr_notification": "0\n",
        ])
        let blocked = try #require(throws: KernelFileError.self) {
            try backstore.setBlocked(true, holding: NotHeld())
        }
        let reset = try #require(throws: KernelFileError.self) {
            try backstore.resetRing(.busy, holding: NotHeld())
        }
        let told = try #require(throws: KernelFileError.self) {
            try backstore.setTaskManagementNotices(true, holding: NotHeld())
        }
        #expect([blocked, reset, told].allSatisfy { $0.errno == .operationNotSupportedByDevice })
        #expect(tree.read("\(Self.device)/action/block_dev") == Array("unblocked\n".utf8))
        #expect(tree.read("\(Self.device)/action/reset_ring").isEmpty)
        #expect(tree.read("\(Self.device)/attrib/tmr_notification") == Array("0\n".utf8))
    }

    @Test(
        "whether the kernel waits for answers, as the attribute has it",
        arguments: [("1\n", true), ("0\n", false), ("-1\n", false), (nil, nil)] as [(String?, Bool?)])
    func waits(text: String?, expected: Bool?) throws {
        let (tree, backstore) = try Self.backstore(text.map { ["attrib/nl_reply_supported": $0] } ?? [:])
        #expect(try backstore.waitsForAnswers() == expected)
        withExtendedLifetime(tree) {}
    }

    @Test(
        "size in info",
        arguments: [
            ("Config: NULL Size: 0 MaxDataAreaMB: 8", 0),
            ("Config: a Size: 5 Size: 6 MaxDataAreaMB: 8", 6),
            ("Size: 18446744073709551615\n", UInt64.max),
            ("Size: 18446744073709551616 ", nil), ("Size: ", nil), ("Size:5 ", nil), ("SectorSize: 512", nil),
            ("Size: -1 ", nil), ("Size: 5 Size: x ", nil), ("", nil),
        ] as [(String, UInt64?)])
    func size(info: String, bytes: UInt64?) {
        #expect(Backstore.size(inInfo: info) == bytes)
    }

    @Test("no serial yet is an empty serial")
    func noSerial() throws {
        let (tree, backstore) = try Self.backstore(["wwn/vpd_unit_serial": "T10 VPD Unit Serial Number: \n"])
        #expect(try withExtendedLifetime(tree) { try backstore.unitSerial() } == "")
    }

    @Test(
        "what the kernel never prints is an error that names the file and the value",
        arguments: [
            ("attrib/hw_block_size", "0\n", "\"0\", expected a number from 1 to 2147483647"),
            ("attrib/hw_block_size", "99999999999999999999999\n", nil),
            ("attrib/hw_block_size", "512 \n", nil),
            ("attrib/hw_block_size", "", nil),
            ("attrib/hw_max_sectors", "-1\n", nil),
            ("info", "Status: DEACTIVATED\n", "\"Status: DEACTIVATED\", expected \" Size: <bytes>\""),
            ("wwn/vpd_unit_serial", "8a5f\n", "\"8a5f\", expected \"T10 VPD Unit Serial Number: <serial>\""),
        ] as [(String, String, String?)])
    func malformed(file: String, text: String, message: String?) throws {
        let (tree, backstore) = try Self.backstore([file: text])
        let error = try #require(throws: KernelFileError.self) {
            switch file {
            case "info": _ = try backstore.size()
            case "attrib/hw_block_size": _ = try backstore.blockSize()
            case "attrib/hw_max_sectors": _ = try backstore.maximumTransferBlocks()
            default: _ = try backstore.unitSerial()
            }
        }
        #expect(error.errno == .ioError)
        #expect(error.path == "\(tree.path)/\(Self.device)/\(file)")
        if let message { #expect(error.description == "\(error.path) holds \(message)") }
    }

    @Test("a missing file is the kernel's own errno, read or written")
    func missing() throws {
        let (tree, backstore) = try Self.backstore([:])
        let read = try #require(throws: KernelFileError.self) { try backstore.size() }
        #expect(
            read.description == "cannot read \(tree.path)/\(Self.device)/info: No such file or directory")
        let written = try #require(throws: KernelFileError.self) { try backstore.setBlocked(true, holding: Held()) }
        #expect(
            written.description
                == "cannot write \"1\" to \(tree.path)/\(Self.device)/action/block_dev: No such file or directory")
        #expect(written.errno == read.errno)
    }

    @Test("task management notices: switched where the kernel has them, ENOENT where it has not")
    func taskManagementNotices() throws {
        let (tree, backstore) = try Self.backstore(["attrib/tmr_notification": "0\n"])
        try backstore.setTaskManagementNotices(true, holding: Held())
        #expect(tree.read("\(Self.device)/attrib/tmr_notification").starts(with: [0x31, 0x00]))
        try backstore.setTaskManagementNotices(false, holding: Held())
        #expect(tree.read("\(Self.device)/attrib/tmr_notification").starts(with: [0x30, 0x00]))
        let (_, old) = try Self.backstore([:])
        let error = try #require(throws: KernelFileError.self) {
            try old.setTaskManagementNotices(true, holding: Held())
        }
        #expect(error.errno == .noSuchFileOrDirectory)
    }

    @Test("sizes: as the kernel prints them, nil where it is too old to have them, and nothing but numbers")
    func sizes() throws {
        let (tree, backstore) = try Self.backstore([
            "attrib/max_data_area_mb": "8\n", "attrib/data_pages_per_blk": "0\n",
            "attrib/cmd_ring_size_mb": "4294967295\n", "attrib/hw_queue_depth": "128\n",
        ])
        #expect(try backstore.dataAreaMebibytes() == 8)
        #expect(try backstore.pagesPerDataBlock() == 0)
        #expect(try backstore.commandRingMebibytes() == 4_294_967_295)
        #expect(try withExtendedLifetime(tree) { try backstore.queueDepth() } == 128)
        let (_, old) = try Self.backstore([:])
        #expect(try old.dataAreaMebibytes() == nil)
        #expect(try old.pagesPerDataBlock() == nil)
        #expect(try old.commandRingMebibytes() == nil)
        #expect(try old.queueDepth() == nil)
        let (other, odd) = try Self.backstore(["attrib/max_data_area_mb": "4294967296\n"])
        let error = try #require(throws: KernelFileError.self) { try odd.dataAreaMebibytes() }
        #expect(error.path == "\(other.path)/\(Self.device)/attrib/max_data_area_mb")
        #expect(error.errno == .ioError)
    }

    @Test("names that lead elsewhere are no names", arguments: ["", ".", "..", "a/b", "/a", "a\0b"])
    func names(name: String) {
        #expect(BackstoreName(hba: 0, name: name) == nil)
    }

    @Test("names are bytes: two spellings of one letter are two devices")
    func equality() throws {
        let composed = try #require(BackstoreName(hba: 1, name: "caf\u{e9}"))
        let decomposed = try #require(BackstoreName(hba: 1, name: "cafe\u{301}"))
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed, composed]).count == 2)
        #expect(composed.description == "user_1/caf\u{e9}")
    }

    @Test("module parameters: written when there, unsupported when not")
    func parameters() throws {
        let tree = TemporaryTree(["module/target_core_user/parameters/block_netlink": ""])
        let parameters = ModuleParameters(sysfs: FilePath(tree.path))
        #expect(SoleDaemon(ifNoneOf: ["a node is held"]) == nil)
        let sole = try #require(SoleDaemon(ifNoneOf: []))
        #expect(try parameters.setNetlinkBlocked(true, by: sole) == .done)
        #expect(tree.read("module/target_core_user/parameters/block_netlink") == [0x31, 0x00])
        #expect(try parameters.resetNetlink(by: sole) == .unsupported)
        #expect(try parameters.globalDataAreaMebibytes() == nil)
        tree.write("2048\n", to: "module/target_core_user/parameters/global_max_data_area_mb")
        #expect(try parameters.globalDataAreaMebibytes() == 2048)
    }

    @Test("the tree is present once target_core_mod has made its directory")
    func presence() {
        let tree = TemporaryTree()
        #expect(!ConfigFSTree(mountedAt: FilePath(tree.path)).isPresent)
        tree.write("", to: "target/version")
        #expect(ConfigFSTree(mountedAt: FilePath(tree.path)).isPresent)
    }
}

private struct Held: DeviceClaim {
    func whileHeld<Result>(_ body: () -> Result) -> Result? { body() }
}

private struct NotHeld: DeviceClaim {
    func whileHeld<Result>(_ body: () -> Result) -> Result? { nil }
}
