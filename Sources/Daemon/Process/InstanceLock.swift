import CLinux
import Glibc
import KernelFiles
public import SystemPackage

/// The lock that makes this daemon the only one on the machine. The original takes the same one on the same file, so
/// the two exclude each other as well: with both, every event of the kernel would be answered twice.
///
/// Held until the value goes away or the process ends, however it ends; the file stays. No other part of the process may
/// open the file meanwhile: closing it would drop the lock (POSIX locks belong to the process, not to the descriptor).
public struct InstanceLock: ~Copyable {
    private let file: FileDescriptor

    /// Takes the lock without waiting for it.
    ///
    /// - Throws: ``InstanceLockError/held(path:pid:process:)`` if another process has it.
    public init(path: FilePath) throws(InstanceLockError) {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(
                path, .readWrite, options: [.create, .closeOnExec, .noFollow], permissions: .ownerReadWrite)
        } catch {
            throw .unusable(path: path, error as? Errno ?? .ioError)
        }
        var holder: Int32 = 0
        let result = clinux_lock_file(file.rawValue, &holder)
        guard result == 0 else {
            try? file.close()
            if result == -EAGAIN {
                throw .held(path: path, pid: holder, process: Self.processName(holder))
            }
            throw .unusable(path: path, Errno(rawValue: -result))
        }
        self.file = file
    }

    deinit { try? file.close() }

    /// The process's name; empty if it has gone or is in a PID namespace that we do not see (then its number is 0).
    private static func processName(_ pid: Int32) -> String {
        guard pid > 0, let bytes = try? SmallFile.prefix(of: FilePath("/proc/\(pid)/comm"), 64) else { return "" }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}

/// The instance lock could not be had.
public enum InstanceLockError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another process has it. `pid` is 0 if the kernel does not say which.
    case held(path: FilePath, pid: Int32, process: String)
    /// The file cannot be opened or locked.
    case unusable(path: FilePath, Errno)

    /// One line naming the holder, or what is wrong with the file.
    public var description: String {
        switch self {
        case .held(let path, 0, _): "already running: another process holds \(path)"
        case .held(let path, let pid, ""): "already running: process \(pid) holds \(path)"
        case .held(let path, let pid, let process): "already running: \(process) (pid \(pid)) holds \(path)"
        case .unusable(let path, let errno): "cannot lock \(path): \(errno)"
        }
    }
}
