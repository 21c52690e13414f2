import Glibc
import TCMUTestKit

extension SeededRandom {
    /// A run of its own, announced so that a failure can be run again with `TCMU_SEED`.
    static func announced(_ title: String) -> SeededRandom {
        let random = SeededRandom.replayable()
        print("\(title): \(random)")
        return random
    }

    /// Bytes that differ from those of every other call and repeat only every 8 KiB: enough to tell blocks apart,
    /// and quick in a debug build.
    mutating func tiles(_ count: Int) -> [UInt8] {
        let tile = bytes(min(8192, count))
        var all: [UInt8] = []
        while all.count < count { all.append(contentsOf: tile.prefix(count - all.count)) }
        return all
    }
}

/// A directory on some file system that is gone at the end.
final class Scratch {
    let path: String
    /// nil where `parent` does not take a directory.
    init?(in parent: String) {
        var template = Array("\(parent)/tcmu-file-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return nil }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit {
        for name in names { unlink("\(path)/\(name)") }
        rmdir(path)
    }
    private var names: [String] = []
    /// A file of `size` bytes, all hole.
    func file(_ name: String, size: Int) -> String {
        let full = "\(path)/\(name)"
        names.append(name)
        let fd = open(full, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        precondition(fd >= 0 && ftruncate(fd, size) == 0, "cannot make \(full)")
        close(fd)
        return full
    }
    func facts(_ name: String) -> stat {
        var facts = stat()
        stat("\(path)/\(name)", &facts)
        return facts
    }
    /// One on a disk and one in memory, where there are such.
    static let places: [String] = ["/var/tmp", "/dev/shm"].filter { (place: String) in access(place, W_OK) == 0 }
}

/// A small file's text; empty where it cannot be read.
func contents(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 4096)
    let count = text.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return String(decoding: text.prefix(max(count, 0)), as: UTF8.self)
}

/// Where a symbolic link points; empty where there is none.
func linkTarget(_ path: String) -> String {
    var target = [CChar](repeating: 0, count: 512)
    let length = readlink(path, &target, target.count)
    return String(decoding: target.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
