import Configuration
import Glibc
import SystemPackage

@testable import Daemon

/// A device as sysfs and configfs show it.
struct SimulatedDevice: Sendable {
    let minor: UInt32
    /// Its name in configfs, below `user_1`.
    var name: String
    var configuration: String
    var bytes: UInt64 = 1 << 20
    var blockSize = "512"
    /// Bytes of the node's map 0.
    var mapSize = 0x10000

    init(_ minor: UInt32, _ configuration: String) {
        self.minor = minor
        self.configuration = configuration
        name = "disk\(minor)"
    }

    /// Name of the UIO node; netlink events carry it as well.
    var nodeName: String { "tcm-user/1/\(name)/\(configuration)" }
    /// Its directories in a ``KernelTree``.
    var sysfs: String { "sys/class/uio/uio\(minor)" }
    var configFS: String { "config/target/core/user_1/\(name)" }
}

/// A directory that plays sysfs, configfs and /dev: plain files where the kernel has attributes. Gone with its owner.
final class KernelTree: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/daemon-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { name in
            guard let start = name.baseAddress, mkdtemp(start) != nil else { return "" }
            return String(cString: start)
        }
        precondition(!path.isEmpty, "no directory for the test")
        makeDirectory("sys/class/uio")
        makeDirectory("config/target/core")
        makeDirectory("dev")
    }

    deinit { Self.remove(path) }

    /// A configuration that finds everything in here.
    var configuration: ServiceConfiguration {
        var configuration = ServiceConfiguration()
        configuration.loopThreads = 1
        configuration.sysfsRoot = FilePath(path).appending("sys")
        configuration.configFSRoot = FilePath(path).appending("config")
        configuration.deviceRoot = FilePath(path).appending("dev")
        configuration.lockFile = FilePath(path).appending("lock")
        configuration.runDirectory = FilePath(path).appending("run")
        configuration.lunDirectory = FilePath(path).appending("luns.d")
        return configuration
    }

    /// Everything that the kernel makes for a device, but for the node itself.
    func add(_ device: SimulatedDevice) {
        write("\(device.nodeName)\n", to: "\(device.sysfs)/name")
        write("0x\(String(device.mapSize, radix: 16))\n", to: "\(device.sysfs)/maps/map0/size")
        write("2\n", to: "\(device.sysfs)/version")
        write("\(device.blockSize)\n", to: "\(device.configFS)/attrib/hw_block_size")
        write("128\n", to: "\(device.configFS)/attrib/hw_max_sectors")
        write("0\n", to: "\(device.configFS)/attrib/emulate_write_cache")
        write(
            """
            Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 128
                    Config: \(device.configuration) Size: \(device.bytes) MaxDataAreaMB: 8 DataPagesPerBlk: 1

            """, to: "\(device.configFS)/info")
        write("T10 VPD Unit Serial Number: serial-\(device.minor)\n", to: "\(device.configFS)/wwn/vpd_unit_serial")
        write("unblocked\n", to: "\(device.configFS)/action/block_dev")
        write("", to: "\(device.configFS)/action/reset_ring")
        write("0\n", to: "\(device.configFS)/enable")
        makeDirectory("\(device.configFS)/alua")
    }

    /// Takes a device away as its removal does.
    func remove(_ device: SimulatedDevice) {
        Self.remove("\(path)/\(device.sysfs)")
        Self.remove("\(path)/\(device.configFS)")
    }

    /// What was last written to an attribute, up to the NUL.
    func read(_ name: String) -> String {
        guard let file = fopen("\(path)/\(name)", "r") else { return "no such file" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Writes a file and the directories it needs.
    func write(_ text: String, to name: String) {
        makeDirectory(name.split(separator: "/").dropLast().joined(separator: "/"))
        let file = fopen("\(path)/\(name)", "w")
        precondition(file != nil, "cannot write \(name)")
        let bytes = Array(text.utf8)
        precondition(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        fclose(file)
    }

    func removeFile(_ name: String) {
        precondition(unlink("\(path)/\(name)") == 0, "cannot remove \(name)")
    }

    /// Puts a file in place whose reader hangs until ``release(_:with:)``.
    func hang(_ name: String) {
        unlink("\(path)/\(name)")
        precondition(mkfifo("\(path)/\(name)", 0o600) == 0, "cannot make the FIFO \(name)")
    }

    /// Lets the reader of a hanging file go on with `text`; waits for it to read, for ten seconds at most.
    func release(_ name: String, with text: String) {
        // For both directions: such an open of a FIFO waits for nobody.
        let descriptor = open("\(path)/\(name)", O_RDWR | O_CLOEXEC)
        precondition(descriptor >= 0, "cannot open the FIFO \(name)")
        let bytes = Array(text.utf8)
        precondition(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
        var left = CInt(0)
        for _ in 0..<10_000 {
            guard ioctl(descriptor, UInt(FIONREAD), &left) == 0, left > 0 else { break }
            usleep(1000)
        }
        close(descriptor)
    }

    /// Waits for the writer of a hanging file, runs `body` before the writer goes on, and says what it wrote.
    func receives(_ name: String, _ body: @escaping @Sendable () -> Void = {}) async -> String? {
        let file = "\(path)/\(name)"
        let text = await BlockingCall.run("test-fifo") { () -> String in
            body()
            let descriptor = open(file, O_RDONLY | O_CLOEXEC)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            return String(decoding: bytes.prefix(max(count, 0)).prefix { $0 != 0 }, as: UTF8.self)
        }
        return text
    }

    private func makeDirectory(_ name: String) {
        var directory = path
        for part in name.split(separator: "/") {
            directory += "/\(part)"
            mkdir(directory, 0o755)
        }
    }

    private static func remove(_ path: String) {
        guard let stream = opendir(path) else {
            unlink(path)
            return
        }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        closedir(stream)
        for name in names where name != "." && name != ".." { remove("\(path)/\(name)") }
        rmdir(path)
    }
}
