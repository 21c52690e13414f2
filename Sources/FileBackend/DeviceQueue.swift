internal import CLinux
internal import Glibc

/// What sysfs says of the request queue of the disk that a device number belongs to.
struct DeviceQueue {
    private let device: dev_t

    /// The queue of `device`, which may be a partition, or no disk at all: then nothing is known of it.
    init(device: dev_t) {
        self.device = device
    }

    /// The number in the attribute `name`, or nil where there is none.
    func number(_ name: String) -> UInt64? {
        let disk = "/sys/dev/block/\(clinux_major(UInt64(device))):\(clinux_minor(UInt64(device)))"
        // A partition has no queue directory; its disk is the directory above.
        return DeviceQueue.read("\(disk)/queue/\(name)") ?? DeviceQueue.read("\(disk)/../queue/\(name)")
    }

    private static func read(_ path: String) -> UInt64? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { text in
            let count = Glibc.read(descriptor, text.baseAddress, text.count)
            guard count > 0 else { return nil }
            let digits = text.prefix(count).prefix { $0 != UInt8(ascii: "\n") }
            return UInt64(String(decoding: digits, as: UTF8.self))
        }
    }
}
