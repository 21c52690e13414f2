import SystemPackage
import Testing

@testable import KernelFiles

@Suite("UIO nodes of TCMU")
struct UIONodeTests {
    @Test(
        "names",
        arguments: [
            ("tcm-user/0/disk/rbd/pool/image", 0, "disk", "rbd/pool/image"),
            ("tcm-user/12/disk", 12, "disk", ""),
            ("tcm-user/12/disk/", 12, "disk", ""),
            ("tcm-user/4294967295/a b/file//x//y/", UInt32.max, "a b", "file//x//y/"),
            ("tcm-user/1/d/\u{301}x", 1, "d", "\u{301}x"),
            ("tcm-user/1/\u{301}/x", 1, "\u{301}", "x"),
        ] as [(String, UInt32, String, String)])
    func names(text: String, hba: UInt32, device: String, configuration: String) throws {
        let name = try UIODeviceName(parsing: text)
        #expect(name.hba == hba)
        #expect(Array(name.device.utf8) == Array(device.utf8))
        #expect(Array(name.configuration.utf8) == Array(configuration.utf8))
    }

    @Test(
        "names of other drivers",
        arguments: [
            "", "/", "uio_pdrv_genirq", "tcm-user", "tcm-users/0/a/b", "TCM-USER/0/a/b", "xtcm-user/0/a", "tcm",
        ])
    func foreign(text: String) {
        #expect(throws: UIONodeError.Reason.foreign) { try UIODeviceName(parsing: text) }
    }

    @Test(
        "malformed names",
        arguments: [
            "tcm-user/", "tcm-user/0", "tcm-user/0/", "tcm-user//disk/x", "tcm-user/x/disk/x", "tcm-user/-1/disk/x",
            "tcm-user/+1/disk/x", "tcm-user/ 1/disk/x", "tcm-user/0x1/disk/x", "tcm-user/4294967296/disk/x",
            "tcm-user/0//x", "tcm-user/0/./x", "tcm-user/0/../x", "tcm-user/0/a\0b/x", "tcm-user/0/a/x\0y",
        ])
    func malformed(text: String) {
        #expect(
            throws: UIONodeError.Reason.malformed(
                // What it was configured with is not repeated.
                value: text.split(separator: "/", omittingEmptySubsequences: false).prefix(3).joined(
                    separator: "/"),
                expected: "tcm-user/<hba>/<device>[/<dev_config>]")
        ) { try UIODeviceName(parsing: text) }
    }

    @Test(
        "map sizes",
        arguments: [
            ("0x0000000000805000", 0x805000), ("805000", 0x805000), ("0x1", 1),
            ("0x7fffffffffffffff", Int.max), ("0x8000000000000000", nil), ("0x0", nil), ("0x", nil), ("", nil),
            ("-0x1", nil), ("0x-1", nil), ("0x+1", nil), ("0xg", nil), ("0x1 ", nil),
        ] as [(String, Int?)])
    func sizes(text: String, size: Int?) {
        #expect((try? UIONode.size(text)) == size)
    }

    @Test("a scan finds TCMU's nodes by minor, passes over others and names the broken ones")
    func scan() throws {
        let tree = TemporaryTree()
        tree.node("uio10", name: "tcm-user/1/b/mem/x\n", size: "0x0000000000101000\n")
        tree.node("uio2", name: "tcm-user/0/a\n", size: "0x0000000000100000\n")
        tree.node("uio3", name: "uio_pci_generic\n", size: "0x1000\n")
        tree.node("uio4", name: "tcm-user/zero/a\n", size: "0x1000\n")
        tree.node("uio5", name: "tcm-user/0/c\n", size: "huge\n")
        tree.node("uio6", name: nil, size: nil)
        tree.node("uio07", name: "tcm-user/0/d\n", size: "0x1000\n")
        tree.node("uiox", name: "tcm-user/0/e\n", size: "0x1000\n")
        let scan = try UIONode.scan(sysfs: FilePath(tree.path))
        #expect(scan.nodes.map(\.nodeName) == ["uio2", "uio10"])
        #expect(scan.nodes.map(\.name.device) == ["a", "b"])
        #expect(scan.nodes.map(\.name.configuration) == ["", "mem/x"])
        #expect(scan.nodes.map(\.mapSize) == [0x100000, 0x101000])
        #expect(scan.nodes.map(\.version) == ["2", "2"])
        #expect(
            scan.rejected.map(\.description) == [
                "\(tree.path)/class/uio/uio4/name holds \"tcm-user/zero/a\", "
                    + "expected tcm-user/<hba>/<device>[/<dev_config>]",
                "\(tree.path)/class/uio/uio5/maps/map0/size holds \"huge\", "
                    + "expected a size in hexadecimal, as in 0x805000",
            ])
    }

    @Test("without the uio module there is nothing to find, and a single node says what is missing")
    func noUIO() throws {
        let tree = TemporaryTree()
        #expect(try UIONode.scan(sysfs: FilePath(tree.path)) == UIONode.Scan())
        let error = try #require(throws: UIONodeError.self) { try UIONode(minor: 7, sysfs: FilePath(tree.path)) }
        #expect(error.description == "cannot read \(tree.path)/class/uio/uio7/name: No such file or directory")
    }
}

extension TemporaryTree {
    /// Describes a node as sysfs does; nil leaves a file out.
    fileprivate func node(_ node: String, name: String?, size: String?) {
        if let name { write(name, to: "class/uio/\(node)/name") }
        if let size { write(size, to: "class/uio/\(node)/maps/map0/size") }
        write("2\n", to: "class/uio/\(node)/version")
    }
}
