internal import CLinux
internal import Glibc
internal import KernelFiles
internal import SystemPackage

/// What sysfs says of the request queue of the disk that a device number belongs to.
struct DeviceQueue {
    private let device: dev_t

    /// The queue of `device`, which may be a partition, or no disk at all: then nothing is known of it.
    init(device: dev_t) {
        self.device = device
    }

    /// The number in the attribute `name`, or nil where there is none.
    func number(_ name: String) -> UInt64? {
        let disk = FilePath("/sys/dev/block/\(clinux_major(UInt64(device))):\(clinux_minor(UInt64(device)))")
        // A partition has no queue directory; its disk is the directory above.
        return DeviceQueue.read(disk.appending("queue/\(name)"))
            ?? DeviceQueue.read(disk.appending("../queue/\(name)"))
    }

    private static func read(_ path: FilePath) -> UInt64? {
        guard let text = try? SmallFile.prefix(of: path, 32) else { return nil }
        return UInt64(String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }
}
