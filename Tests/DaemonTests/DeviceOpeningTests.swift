import Configuration
import KernelFiles
import SystemPackage
import TCMURing
import TCMUTestKit
import Testing

@testable import Daemon

/// Whoever reads the log must see what is wrong and what would be right; the kernel gets an errno.
@Suite("Opening a device: what cannot be, and what is said of it")
struct DeviceOpeningTests {
    /// Opens a device as the daemon does; there is no ring in its node, so that the best end is that it cannot be mapped.
    private func open(
        _ configuration: String, in tree: KernelTree = KernelTree(),
        change: (inout SimulatedDevice) -> Void = { _ in }
    ) throws -> Result<OpenedDevice, OpenFailure> {
        var device = SimulatedDevice(7, configuration)
        change(&device)
        tree.add(device)
        let node = try UIONode(minor: 7, sysfs: tree.configuration.sysfsRoot)
        return DeviceOpening(service: tree.configuration).open(node, try emptyClaim(node, in: tree)) { _ in }
    }

    private func failure(of result: Result<OpenedDevice, OpenFailure>) -> OpenFailure? {
        guard case .failure(let failure) = result else { return nil }
        return failure
    }

    static let mistakes: [(configuration: String, value: String, expected: String)] = [
        ("file/", "path is \"\"", "an absolute path, as in file//var/lib/image"),
        ("file", "path is \"\"", "an absolute path"),
        ("file/relative/image", "path is \"relative/image\"", "an absolute path"),
        ("file//", "path is \"/\"", "an absolute path"),
        ("file//image;direct", "direct is \"\"", "on or off"),
        ("file//image;direct=yes", "direct is \"yes\"", "on or off"),
        ("file//image;sync=on", "option is \"sync=on\"", "direct=on|off"),
        ("rbd", "image is \"\"", "<pool>[/<namespace>]/<image>[@<snapshot>]"),
        ("rbd/pool", "image is \"pool\"", "<pool>[/<namespace>]/<image>[@<snapshot>]"),
        ("rbd/a/b/c/d", "image is \"a/b/c/d\"", "<pool>[/<namespace>]/<image>[@<snapshot>]"),
        ("rbd/pool/", "image of pool/ is \"\"", "<pool>[/<namespace>]/<image>[@<snapshot>]"),
        ("rbd//image", "image is \"image\"", "<pool>[/<namespace>]/<image>[@<snapshot>]"),
        ("rbd/pool/image@a@b", "image is \"image@a@b\"", "at most one @<snapshot>"),
        ("rbd/pool/image;osd_op_timeout=soon", "osd_op_timeout is \"soon\"", "a whole number of seconds"),
        ("rbd/pool/image;osd_op_timeout=-1", "osd_op_timeout is \"-1\"", "a whole number of seconds"),
        ("rbd/pool/image;conf=", "conf is \"\"", "the path of a ceph.conf"),
        ("rbd/pool/image;id", "id is \"\"", "a cephx name without the client."),
        ("rbd/pool/image;passphrase=hunter2", "passphrase is \"…\"", "no secret in the configuration string"),
        ("rbd/;key=hunter2;pool/image;id", "key is \"…\"", "no secret in the configuration string"),
        ("rbd/pool/image;token=hunter2", "token is \"…\"", "no secret in the configuration string"),
        ("file//image;password=hunter2", "password is \"…\"", "no secret in the configuration string"),
        ("file//;pwd=hunter2", "pwd is \"…\"", "no secret in the configuration string"),
        ("mem/a;credentials=hunter2", "credentials is \"…\"", "no secret in the configuration string"),
        ("file//passwords=2;direct=hunter2", "direct is \"hunter2\"", "on or off"),
        ("mem/;tcmur_cmd_time_out=soon;a", "tcmur_cmd_time_out is \"soon\"", "a whole number of seconds"),
        ("file//image;tcmur_cmd_time_out=", "tcmur_cmd_time_out is \"\"", "a whole number of seconds"),
        ("", "configuration is \"\"", "<subtype>/<configuration>, as in rbd/pool/image"),
    ]

    @Test("a malformed configuration: EINVAL, the part, its value, and what was expected", arguments: mistakes)
    func malformed(configuration: String, value: String, expected: String) throws {
        let failure = try #require(failure(of: try open(configuration)))
        #expect(failure.errno == .invalidArgument)
        #expect(failure.message.contains("\(value), expected \(expected)"), "\(failure.message)")
    }

    @Test("what would break the log's line, or a terminal, is written as escapes")
    func controlCharacters() throws {
        let failure = try #require(failure(of: try open("file/a\u{1B}[2J\rb")))
        #expect(failure.message.unicodeScalars.allSatisfy { $0.value >= 32 }, "\(failure.message)")
    }

    @Test("a configuration that does not open may have lost its end, which is said", arguments: [254, 255])
    func cutConfiguration(bytes: Int) throws {
        let start = "file//nowhere/"
        let text = start + String(repeating: "a", count: bytes - start.utf8.count)
        let failure = try #require(failure(of: try open(text)))
        #expect(failure.message.contains("255 bytes, which is all that the kernel keeps") == (bytes == 255))
    }

    @Test("a subtype that is not served")
    func subtype() throws {
        let failure = try #require(failure(of: try open("tape/a")))
        #expect(
            failure
                == OpenFailure(errno: .operationNotSupportedByDevice, message: "subtype tape is not served here"))
    }

    @Test(
        "an image smaller than configured: both sizes are named, and the image is left as it was",
        arguments: [0, 512, 1 << 20 - 512])
    func size(bytes: Int) throws {
        let image = try TemporaryImage(size: bytes)
        let failure = try #require(failure(of: try open("file/\(image.path)")))
        #expect(failure.errno == .invalidArgument)
        #expect(failure.message.contains("has \(bytes) bytes: expected at least 1048576"), "\(failure.message)")
    }

    @Test(
        "block sizes that SCSI disks cannot have",
        arguments: ["1", "256", "511", "513", "520", "3072", "131072", "2147483647"])
    func blockSize(text: String) throws {
        let failure = try #require(failure(of: try open("mem/a") { $0.blockSize = text }))
        #expect(
            failure
                == OpenFailure(
                    errno: .invalidArgument,
                    message: "hw_block_size is \(text), expected a power of two from 512 to 65536"))
    }

    @Test(
        "block sizes that are none at all: the file, its content, and what was expected",
        arguments: ["0", "-512", "x", ""])
    func blockSizeNumber(text: String) throws {
        let tree = KernelTree()
        let failure = try #require(failure(of: try open("mem/a", in: tree) { $0.blockSize = text }))
        #expect(failure.errno == .ioError)
        let file = "\(tree.path)/config/target/core/user_1/disk7/attrib/hw_block_size"
        #expect(
            failure.message.hasPrefix("\(file) holds \"\(text)\", expected a number from 1"), "\(failure.message)")
    }

    @Test("block sizes from 512 to 65536 go on to the node", arguments: [512, 1024, 2048, 4096, 65536])
    func goodBlockSize(bytes: Int) throws {
        let tree = KernelTree()
        let failure = try #require(failure(of: try open("mem/a", in: tree) { $0.blockSize = "\(bytes)" }))
        #expect(failure.errno == .operationNotSupportedByDevice)
        #expect(failure.message.hasPrefix("cannot map 65536 bytes of the ring"), "\(failure.message)")
    }

    @Test("a backend is closed again when its ring cannot be mapped: the image can be had at once")
    func givenBack() throws {
        let image = try TemporaryImage(size: 1 << 20)
        for _ in 0..<3 {
            let failure = try #require(failure(of: try open("file/\(image.path)")))
            #expect(failure.errno == .operationNotSupportedByDevice, "\(failure.message)")
        }
    }

    @Test("a mailbox of another version is refused, and so is a node too small for one")
    func mailbox() throws {
        var geometry = RingGeometry()
        geometry.version = 3
        let ring = try RingSimulator(geometry)
        let tree = KernelTree()
        var device = SimulatedDevice(7, "mem/a")
        device.mapSize = geometry.mapSize
        tree.add(device)
        let nodes = NodeStand()
        nodes.put(ring, minor: 7)
        let opening = DeviceOpening(service: tree.configuration) { (path, size) throws(RingError) in
            try nodes.open(path, size)
        }
        let node = try UIONode(minor: 7, sysfs: tree.configuration.sysfsRoot)
        let wrong = failure(of: opening.open(node, try opening.claim(node)) { _ in })
        #expect(wrong == OpenFailure(errno: .invalidArgument, message: "mailbox version 3, expected 2"))

        device.mapSize = 64
        tree.add(device)
        let small = try UIONode(minor: 7, sysfs: tree.configuration.sysfsRoot)
        let tooSmall = try #require(failure(of: opening.open(small, try opening.claim(small)) { _ in }))
        #expect(tooSmall.errno == .invalidArgument)
        #expect(tooSmall.message.contains("64 bytes"), "\(tooSmall.message)")
    }
}
